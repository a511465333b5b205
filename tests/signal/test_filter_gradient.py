"""The filter that one trains through: against the one that separates, differences, and PyTorch's autograd."""

from __future__ import annotations

import numpy as np
import pytest

from xumx.signal.em import EPSILON, FLOOR
from xumx.signal.filter_gradient import filtered, gradient
from xumx.signal.wiener import wiener


def scene(channels: int, level: float, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Magnitudes, a mixture with a silent bin, and weights of a sum over the result."""
    rng = np.random.default_rng(seed)

    def noise(*shape: int) -> np.ndarray:
        return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)

    x = level * noise(6, channels, 5)
    x[2, :, 3] = 0
    v = (level * rng.uniform(0.05, 1, (3, 6, channels, 5))).astype(np.float32)
    return v, x, noise(3, 6, channels, 5)


CASES = [(1, 1.0), (2, 1.0), (2, 30.0), (2, 0.01)]


@pytest.mark.parametrize("channels, level", CASES)
def test_it_is_the_filter_that_separates(channels, level):
    v, x, _ = scene(channels, level)
    np.testing.assert_allclose(filtered(v, x), wiener(v, x, 1), atol=1e-5 * level)


@pytest.mark.parametrize("channels, level", CASES)
def test_its_gradient_is_that_of_differences(channels, level):
    """Of the sum of Re(weights* · result), in random directions."""
    v, x, weights = scene(channels, level)
    found = gradient(v, x, weights).astype(np.float64)

    def value(magnitude: np.ndarray) -> float:
        norbert = pytest.importorskip("norbert")
        scale = max(1, np.abs(x).max() / 10)
        parts = magnitude.transpose(1, 3, 2, 0) / scale, x.swapaxes(1, 2).astype(np.complex128) / scale
        first = parts[0] * np.exp(1j * np.angle(parts[1]))[..., None]
        y, _, _ = norbert.expectation_maximization(first, parts[1], 1)
        return float((weights.conj() * (y * scale).transpose(3, 0, 2, 1)).real.sum())

    rng, step = np.random.default_rng(1), 1e-5 * level
    for _ in range(4):
        direction = rng.normal(size=v.shape)
        slope = (value(v + step * direction) - value(v - step * direction)) / (2 * step)
        assert np.vdot(found, direction) == pytest.approx(slope, abs=2e-3 * np.linalg.norm(found))


@pytest.mark.parametrize("channels, level", CASES)
def test_its_gradient_is_that_of_autograd(channels, level):
    """The filter's definition in PyTorch, with a general inverse in place of the one of two channels."""
    torch = pytest.importorskip("torch")
    v, x, weights = scene(channels, level)
    scale = max(1, np.abs(x).max() / 10)
    magnitude = torch.tensor(v, dtype=torch.float64, requires_grad=True)
    mixture = torch.tensor(x, dtype=torch.complex128) / scale
    unit = torch.exp(1j * torch.angle(mixture))
    first = magnitude / scale * unit
    power = first.abs().square().mean(2)
    moments = torch.einsum("jtaf,jtbf->jabf", first, first.conj())
    spatial = moments / (EPSILON + power.sum(1))[:, None, None]
    covariance = torch.einsum("jtf,jabf->tfab", power.to(torch.complex128), spatial)
    covariance = covariance + FLOOR * torch.eye(channels)
    solved = torch.linalg.solve(covariance, mixture.swapaxes(1, 2)[..., None])[..., 0]
    y = scale * power[:, :, None] * torch.einsum("jabf,tfb->jtaf", spatial, solved)
    np.testing.assert_allclose(filtered(v, x), y.detach().numpy(), atol=1e-5 * level)
    (torch.tensor(weights).conj() * y).real.sum().backward()
    wanted = magnitude.grad.numpy()
    np.testing.assert_allclose(gradient(v, x, weights), wanted, rtol=1e-4, atol=1e-6 * np.abs(wanted).max())
