"""The combination losses of any number of sources: closed forms against the sums that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from types import ModuleType

import nnabla as nn
import numpy as np
import pytest

from xumx.graph import losses
from xumx.graph.ops import cpu as cpu_ops
from xumx.graph.ops import stock as stock_ops

TRIM = 200
"""Samples that the time-domain loss leaves out at each end."""


def subsets(n: int) -> list[tuple[int, ...]]:
    """All that have a member, but the whole, unless there is nothing else."""
    return [c for size in range(1, n + 1) for c in combinations(range(n), size) if size < n or n == 1]


def variables(arrays: Sequence[np.ndarray]) -> list[nn.Variable]:
    return [nn.Variable.from_numpy_array(np.ascontiguousarray(a, np.float32)) for a in arrays]


def value(loss: nn.Variable) -> float:
    loss.forward()
    return float(loss.d)


def weighted_sdr(estimate: np.ndarray, target: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """Of Kim et al. (2018), in each channel of each item: 1 is perfect."""
    rest, left = mixture - target, mixture - estimate
    energy, others = (target**2).sum(-1), (rest**2).sum(-1)
    alpha = energy / (energy + others)
    first = (estimate * target).sum(-1) / np.sqrt((estimate**2).sum(-1) * energy)
    second = (left * rest).sum(-1) / np.sqrt((left**2).sum(-1) * others)
    result: np.ndarray = alpha * first + (1 - alpha) * second
    return result


@pytest.mark.parametrize("n", range(2, 7))
def test_the_number_of_subsets(n: int) -> None:
    assert len(subsets(n)) == 2**n - 2


@pytest.mark.parametrize("ops", [cpu_ops, stock_ops], ids=["cpu", "stock"])
@pytest.mark.parametrize("n", (1, 2, 4, 6))
def test_frequency(n: int, ops: ModuleType) -> None:
    rng = np.random.default_rng(n)
    shape = (rng.integers(2, 5), 3, 2, rng.integers(4, 9))
    x, y = rng.uniform(0, 1, (2, n, *shape))
    wanted = np.mean([np.mean((x[list(c)] - y[list(c)]).sum(axis=0) ** 2) for c in subsets(n)])
    found = value(losses.combination_mse(variables(x), variables(y), ops))
    assert found == pytest.approx(wanted, rel=1e-5), f"{n} sources of {shape}"


@pytest.mark.parametrize("ops", [cpu_ops, stock_ops], ids=["cpu", "stock"])
@pytest.mark.parametrize("other", [0.0, 0.5], ids=["sum", "more"])
@pytest.mark.parametrize("n", (2, 4, 6))
def test_time(n: int, other: float, ops: ModuleType) -> None:
    """The mixture may hold more than the sources: interferers, or what a recording has of its own."""
    rng = np.random.default_rng(10 + n)
    shape = (2, rng.integers(1, 3), 700)
    y = rng.normal(size=(n, *shape)) * rng.uniform(0.1, 2, (n, 1, 1, 1))
    x = 0.7 * y + 0.5 * rng.normal(size=y.shape)
    rest = other * rng.normal(size=shape)
    inner = (..., slice(TRIM, -TRIM))
    mixture = y.sum(axis=0) + rest
    scores = [
        weighted_sdr(x[list(c)].sum(axis=0)[inner], y[list(c)].sum(axis=0)[inner], mixture[inner])
        for c in subsets(n)
    ]
    (residual,) = variables([rest])
    found = value(losses.combination_sdr(variables(x), variables(y), residual, ops))
    assert found == pytest.approx(1 - np.mean(scores), abs=1e-5), f"{n} sources of {shape}"
