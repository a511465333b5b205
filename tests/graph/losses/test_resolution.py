"""The multi-resolution STFT loss against its definition, by NumPy's FFT in double precision."""

from __future__ import annotations

import numpy as np
import pytest

from tests.graph.losses.numeric import assert_equals, variables
from xumx.graph.losses import resolution
from xumx.graph.losses.resolution import multi_resolution_stft
from xumx.graph.ops import cpu as cpu_ops
from xumx.graph.ops import stock as stock_ops

FLOOR = 1e-7


def magnitudes(signals: np.ndarray, size: int) -> np.ndarray:
    """(..., samples) to (..., frames, bins), the audio between zeros."""
    window = np.sin(np.pi * np.arange(size) / size) ** 2
    padded = np.pad(signals, [(0, 0)] * (signals.ndim - 1) + [(size // 2, size // 2)])
    frames = [padded[..., t : t + size] for t in range(0, signals.shape[-1] + 1, size // 4)]
    power = np.abs(np.fft.rfft(np.stack(frames, axis=-2) * window)) ** 2
    return np.sqrt(np.maximum(power, FLOOR))


def definition(x: np.ndarray, y: np.ndarray, windows: tuple[int, ...]) -> float:
    total = 0.0
    for size in windows:
        a, b = magnitudes(x, size), magnitudes(y, size)
        total += np.linalg.norm(a - b) / np.linalg.norm(b) + np.mean(np.abs(np.log(a) - np.log(b)))
    return total / len(windows)


@pytest.mark.parametrize(
    "ops, windows, shape",
    [
        (cpu_ops, (512, 1024, 2048), (2, 1, 2, 2300)),
        (cpu_ops, (512, 1024, 2048), (1, 2, 1, 300)),  # less than a window
        (cpu_ops, (16, 64), (3, 2, 2, 333)),
        (stock_ops, (16, 64), (3, 2, 2, 333)),
    ],
)
def test_equals_its_definition(ops, windows, shape, monkeypatch):
    monkeypatch.setattr(resolution, "WINDOWS", windows)
    rng = np.random.RandomState(sum(shape))
    x, y = rng.normal(0, 0.3, (2, *shape)).astype(np.float32)
    y[0] *= np.arange(shape[-1]) < 40  # much of it silent
    y = y.astype(np.float64)
    estimates = variables(x, need_grad=True)
    loss = multi_resolution_stft(estimates, variables(y), ops)
    # The gradient of a logarithm is largest in the faintest bins, which rounding reaches.
    assert_equals(loss, estimates, lambda x: definition(x, y, windows), f"{windows} {shape}", 2e-3)


def test_of_a_scaled_copy():
    """Half the amplitude: spectral convergence 1/2, and log 2 from the target in each bin."""
    y = np.random.RandomState(0).normal(0, 0.3, (1, 2, 2, 4000))
    loss = multi_resolution_stft(variables(y / 2), variables(y), cpu_ops)
    loss.forward()
    assert float(loss.d) == pytest.approx(0.5 + np.log(2), rel=1e-4)


def test_not_a_number_stays_one():
    y = np.ones((1, 1, 1, 600))
    x = y.copy()
    x[..., 7] = np.nan
    loss = multi_resolution_stft(variables(x), variables(y), cpu_ops)
    loss.forward()
    assert np.isnan(float(loss.d))


def test_silent_estimates_have_no_direction():
    y = np.random.RandomState(0).normal(0, 0.3, (1, 1, 1, 1000))
    (x,) = estimates = variables(0 * y, need_grad=True)
    x.grad.zero()
    loss = multi_resolution_stft(estimates, variables(y), cpu_ops)
    loss.forward()
    assert float(loss.d) > 1
    loss.backward()
    assert not x.g.any()
