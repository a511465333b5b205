"""Discriminators and both sides of their losses against plain loops in double precision."""

from __future__ import annotations

from functools import partial

import nnabla as nn
import numpy as np
import pytest

from tests.graph.losses.numeric import assert_equals, variables
from tests.networks import small_config
from xumx.graph.losses import adversarial
from xumx.graph.losses.adversarial import create_discriminators, discriminate
from xumx.graph.ops import cpu as cpu_ops

CONFIG = small_config(sources=("a", "b"), nb_channels=2)


def convolve(x: np.ndarray, w: np.ndarray, b: np.ndarray, stride: tuple[int, int]) -> np.ndarray:
    """(batch, inputs, frames, bins) and (outputs, inputs, 3, 5); zeros around."""
    x = np.pad(x, [(0, 0), (0, 0), (1, 1), (2, 2)])
    rows = range(0, x.shape[2] - 2, stride[0])
    columns = range(0, x.shape[3] - 4, stride[1])
    patches = np.array([[x[:, :, r : r + 3, c : c + 5] for c in columns] for r in rows])
    return np.einsum("rcbijk,oijk->borc", patches, w) + b[:, None, None]


def scores(x: np.ndarray, source: str) -> np.ndarray:
    """By hand, from (frames, batch, channels, bins)."""
    found = {name: p.d.astype(np.float64) for name, p in nn.get_parameters().items()}
    y = np.log1p(x.transpose(1, 2, 0, 3))
    for layer in (1, 2, 3, 4):
        w, b = (found[f"discriminator/{source}/conv{layer}/{part}"] for part in "Wb")
        y = convolve(y, w, b, (2, 4) if layer < 4 else (1, 1))
        if layer < 4:
            y = np.where(y > 0, y, 0.2 * y)
    return y


def set_up(seed: int):
    rng = np.random.RandomState(seed)
    create_discriminators(CONFIG, rng)
    for parameter in nn.get_parameters().values():
        parameter.d = parameter.d + 0.1 * rng.standard_normal(parameter.shape)
    shape = (rng.randint(1, 20), rng.randint(1, 4), 2, rng.randint(1, 130))
    return rng.uniform(0, 9, (2, 2, *shape)), shape


def critics(frozen: bool):
    return [partial(discriminate, source=source, frozen=frozen) for source in CONFIG.sources]


def least_squares(x):
    return sum(np.mean((scores(e, s) - 1) ** 2) for e, s in zip(x, CONFIG.sources, strict=True))


def hinge(x):
    return -sum(np.mean(scores(e, s)) for e, s in zip(x, CONFIG.sources, strict=True))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name, reference", [("least_squares", least_squares), ("hinge", hinge)])
def test_the_separators_side(name, reference, seed):
    (x, y), shape = set_up(seed)
    estimates = variables(x, need_grad=True)
    loss = getattr(adversarial, name)(estimates, variables(y), critics(frozen=True), cpu_ops)
    for parameter in nn.get_parameters().values():
        parameter.grad.fill(7)
    assert_equals(loss, estimates, reference, f"{name} {shape}")
    assert all((p.g == 7).all() for p in nn.get_parameters().values()), "it moves the discriminators"


@pytest.mark.parametrize("name", ["least_squares_critic", "hinge_critic"])
def test_the_discriminators_side(name):
    """Its gradients are those of the definition with respect to one parameter after the other."""
    (real, fake), shape = set_up(5)

    def definition() -> float:
        total = 0.0
        for source, y, x in zip(CONFIG.sources, real, fake, strict=True):
            d, g = scores(y, source), scores(x, source)
            if name == "hinge_critic":
                total += np.mean(np.maximum(0, 1 - d)) + np.mean(np.maximum(0, 1 + g))
            else:
                total += (np.mean((d - 1) ** 2) + np.mean(g**2)) / 2
        return total

    loss = getattr(adversarial, name)(variables(real), variables(fake), critics(frozen=False))
    loss.forward()
    assert float(loss.d) == pytest.approx(definition(), rel=1e-5)
    parameters = nn.get_parameters()
    assert len(parameters) == 16
    for parameter in parameters.values():
        parameter.grad.zero()
    loss.backward()
    gradients = {key: p.g.copy() for key, p in parameters.items()}
    size = np.sqrt(sum(np.sum(g**2) for g in gradients.values()))
    for key, parameter in parameters.items():
        values, step = parameter.d.copy(), 2e-3
        direction = np.random.RandomState(1).standard_normal(parameter.shape)
        sums = []
        for sign in (1, -1):
            parameter.d = values + sign * step * direction
            sums.append(definition())
        parameter.d = values
        slope = (sums[0] - sums[1]) / (2 * step)
        assert np.sum(gradients[key] * direction) == pytest.approx(slope, abs=0.02 * size), f"{key} {shape}"


def test_scores_have_the_documented_shape_and_sight():
    config = small_config(sources=("a",), n_fft=2048, n_hop=512, max_bin=60)
    create_discriminators(config, np.random.RandomState(0))
    x = variables(np.zeros((1, 65, 3, 2, 1025)), need_grad=True)[0]
    y = discriminate(x, "a", frozen=True)
    assert y.shape == (3, 1, 9, 17)
    y.forward()
    dy = np.zeros(y.shape, np.float32)
    dy[1, 0, 4, 8] = 1
    x.grad.zero()
    y.backward(nn.NdArray.from_numpy_array(dy))
    frames, members, _, bins = np.nonzero(x.g)
    assert set(members) == {1}
    assert np.ptp(frames) + 1 == 31 and np.ptp(bins) + 1 == 341
