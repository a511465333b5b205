"""Through the Wiener filter: one function on the CPU, many of NNabla's elsewhere, and a run that uses it."""

from __future__ import annotations

import nnabla as nn
import nnabla.functions as F
import numpy as np
import pytest

from tests.networks import random_weights, small_config
from xumx.graph import losses, model
from xumx.graph.objective import Objective
from xumx.graph.ops import cpu as cpu_ops
from xumx.graph.ops import stock as stock_ops
from xumx.signal.stft import istft, stft
from xumx.signal.wiener import wiener


def waveforms(ops, channels: int, level: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The waveforms, the gradient of a sum over them, the magnitudes (sources first), and the mixture."""
    rng = np.random.default_rng(0)
    audio = (level * rng.normal(size=(2, 320, channels))).astype(np.float32)
    spectra = np.stack([stft(member, 64, 16) for member in audio], axis=1)  # frames, batch, channels, bins
    values = rng.uniform(0.1, 1, (3, *spectra.shape)) * np.abs(spectra).mean()
    magnitudes = [nn.Variable.from_numpy_array(v, need_grad=True) for v in values]
    unit = np.exp(1j * np.angle(spectra))
    mixture = [nn.Variable.from_numpy_array(part) for part in (np.abs(spectra), unit.real, unit.imag)]
    found = ops.filtered_synthesis(magnitudes, *mixture, n_fft=64, n_hop=16)
    weights = nn.Variable.from_numpy_array(rng.normal(size=(3, *found[0].shape)))
    for variable in (*found, *magnitudes):
        variable.persistent = True
    for magnitude in magnitudes:
        magnitude.grad.zero()
    loss = F.sum(F.stack(*found, axis=0) * weights)
    loss.forward()
    loss.backward()
    gradients = np.stack([magnitude.g for magnitude in magnitudes])
    return np.stack([y.d for y in found]), gradients, values.astype(np.float32), audio


@pytest.mark.parametrize("channels, level", [(1, 1.0), (2, 1.0), (2, 20.0)])
def test_both_ways_are_the_filter_that_separates(channels, level):
    found, gradients, magnitudes, audio = waveforms(cpu_ops, channels, level)
    for b in range(2):
        y = wiener(np.ascontiguousarray(magnitudes[:, :, b]), stft(audio[b], 64, 16), 1)
        wanted = np.stack([istft(s, 320, 64, 16).T for s in y])
        np.testing.assert_allclose(found[:, b], wanted, atol=1e-5 * level)
    others, theirs, *_ = waveforms(stock_ops, channels, level)
    np.testing.assert_allclose(others, found, atol=2e-3 * level)
    np.testing.assert_allclose(theirs, gradients, atol=5e-3 * np.abs(gradients).max())


def test_the_loss_is_that_of_the_filtered_waveforms():
    config = small_config()
    targets = np.random.default_rng(0).normal(size=(1, 4, 1280, 2)).astype(np.float32)
    with nn.parameter_scope("", {}):
        model.set_weights(random_weights(config))
        terms = losses.terms({"L2time": 1.0}, 0.0)
        objective = Objective(config, 1, 1280, cpu_ops, terms=terms, keep=True, through_filter=True)
        objective.feed(targets.sum(axis=1), targets)
        loss = objective.forward()
        magnitudes = np.stack([m.d[:, 0] for m in objective.magnitudes])
    y = wiener(magnitudes, stft(targets.sum(axis=1)[0], 256, 64), 1)
    errors = [istft(s, 1280, 256, 64) - target for s, target in zip(y, targets[0], strict=True)]
    assert loss == pytest.approx(sum(np.square(e).mean() for e in errors), rel=1e-4)
