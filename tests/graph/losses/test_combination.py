"""The closed forms against golden values and against explicit sums over subsets."""

from __future__ import annotations

from itertools import combinations

import h5py
import nnabla as nn
import numpy as np
import pytest

from tests.networks import DATA
from xumx.graph import losses
from xumx.graph.ops import cpu as cpu_ops
from xumx.graph.ops import stock as stock_ops

NUMBERS = (1, 2, 4, 6)
"""Of sources; the functions are compiled anew for each."""

both_ops = pytest.mark.parametrize("ops", [cpu_ops, stock_ops], ids=["cpu", "stock"])


def variables(arrays, need_grad=False):
    return [
        nn.Variable.from_numpy_array(np.ascontiguousarray(a, np.float32)).apply(need_grad=need_grad)
        for a in arrays
    ]


def value_and_gradients(loss, estimates):
    for v in estimates:
        v.grad.zero()
    loss.forward(clear_no_need_grad=True)
    value = float(loss.d)
    loss.backward(clear_buffer=True)
    return value, np.stack([v.g for v in estimates])


def by_source(array, axis):
    """[bass1, bass2, drums1, drums2, ...] along an axis to one array a source."""
    return np.split(array, 4, axis=axis)


def subsets(n):
    return [c for size in range(1, max(n, 2)) for c in combinations(range(n), size)]


def singles(n):
    return [(j,) for j in range(n)]


@pytest.fixture(scope="module")
def golden():
    with h5py.File(DATA / "losses.h5") as file:
        found = {}
        file.visititems(
            lambda name, node: found.update({name: node[()]}) if isinstance(node, h5py.Dataset) else None
        )
    return found


@both_ops
def test_golden_mse(golden, ops):
    mix = golden["mse/mix"]
    estimates = variables([mask * mix for mask in by_source(golden["mse/mask"], 2)], need_grad=True)
    targets = variables(by_source(golden["mse/target"], 2))
    value, gradients = value_and_gradients(losses.combination_mse(estimates, targets, ops), estimates)
    assert value == pytest.approx(float(golden["mse/value"]), rel=1e-6)
    wanted = np.stack(by_source(golden["mse/grad_mask"], 2))
    np.testing.assert_allclose(gradients * mix, wanted, atol=2e-6 * np.abs(wanted).max())


@both_ops
def test_golden_sdr(golden, ops):
    estimates = variables(golden["sdr/pred"], need_grad=True)
    targets = by_source(golden["sdr/target"], 1)
    (residual,) = variables([golden["sdr/mix"] - sum(targets)])
    loss = losses.combination_sdr(estimates, variables(targets), residual, ops)
    value, gradients = value_and_gradients(loss, estimates)
    assert value == pytest.approx(float(golden["sdr/value"]), abs=1e-6)
    wanted = golden["sdr/grad_pred"]
    np.testing.assert_allclose(gradients, wanted, atol=1e-5 * np.abs(wanted).max())


@both_ops
@pytest.mark.parametrize("n", NUMBERS)
def test_mse_is_the_mean_over_subsets(n, ops):
    rng = np.random.default_rng(n)
    shape = (3, 2, rng.integers(1, 4), 5)
    x, y = rng.normal(size=(2, n, *shape))
    errors = x - y
    wanted = np.mean([np.mean(errors[list(c)].sum(axis=0) ** 2) for c in subsets(n)])
    gradient = np.zeros_like(x)
    for c in subsets(n):
        gradient[list(c)] += 2 * errors[list(c)].sum(axis=0) / errors[0].size / len(subsets(n))
    estimates = variables(x, need_grad=True)
    value, gradients = value_and_gradients(losses.combination_mse(estimates, variables(y), ops), estimates)
    assert value == pytest.approx(wanted, rel=1e-5), f"{n} sources {shape}"
    np.testing.assert_allclose(
        gradients, gradient, atol=1e-5 * np.abs(gradient).max(), err_msg=f"{n} {shape}"
    )


def explicit_sdr(x, y, mixture, subsets):
    """The definition, a subset at a time, in double precision; and its gradient by the chain rule."""
    x, y, mixture = (a[..., losses.TRIM : -losses.TRIM].astype(np.float64) for a in (x, y, mixture))
    total, gradient, rows = 0.0, np.zeros_like(x), mixture[..., 0].size
    for c in map(list, subsets):
        estimate, target = x[c].sum(axis=0), y[c].sum(axis=0)
        parts = [(estimate, target, 1), (mixture - estimate, mixture - target, -1)]
        energies = [(b * b).sum(-1, keepdims=True) for _, b, _ in parts]
        alpha = energies[0] / (sum(energies) + 1e-10)
        for (a, b, sign), weight, energy in zip(parts, (alpha, 1 - alpha), energies, strict=True):
            product, square = (a * b).sum(-1, keepdims=True), (a * a).sum(-1, keepdims=True)
            root = np.sqrt(energy + 1e-10)
            norm = np.sqrt(square + 1e-10) * root + 1e-10
            total -= (weight * product / norm).sum()
            slope = b / norm - product / norm**2 * root * a / np.sqrt(square + 1e-10)
            gradient[c] -= sign * weight * slope
    count = rows * len(subsets)
    return 1 + total / count, np.pad(gradient / count, [(0, 0)] * 3 + [(losses.TRIM, losses.TRIM)])


@both_ops
@pytest.mark.parametrize("silent", [False, True], ids=["all", "one-silent"])
@pytest.mark.parametrize("n", NUMBERS)
@pytest.mark.parametrize(
    "sdr, members",
    [(losses.combination_sdr, subsets), (losses.weighted_sdr, singles)],
    ids=["subsets", "singles"],
)
def test_sdr_is_the_mean_over_subsets(sdr, members, n, silent, ops):
    """With a silent source too, whose complement leaves nothing of the mixture."""
    rng = np.random.default_rng(n)
    shape = (2, rng.integers(1, 3), 1000)
    x, y = rng.normal(size=(2, n, *shape)).astype(np.float32)
    if silent:
        y[0] = 0
    mixture = y.sum(axis=0)
    wanted, gradient = explicit_sdr(x, y, mixture, members(n))
    estimates = variables(x, need_grad=True)
    (residual,) = variables([mixture - y.sum(axis=0)])
    value, gradients = value_and_gradients(sdr(estimates, variables(y), residual, ops), estimates)
    assert value == pytest.approx(wanted, abs=1e-5), f"{n} sources {shape}"
    np.testing.assert_allclose(
        gradients, gradient, atol=1e-5 * np.abs(gradient).max(), err_msg=f"{n} {shape}"
    )


@both_ops
def test_perfect_and_silent_estimates_are_finite(ops):
    rng = np.random.default_rng(0)
    y = rng.normal(size=(4, 2, 1, 900)).astype(np.float32)
    (residual,) = variables([np.zeros((2, 1, 900))])
    for factor, wanted in ((1.0, 0.0), (0.0, None), (-1.0, None)):
        estimates = variables(factor * y, need_grad=True)
        loss = losses.combination_sdr(estimates, variables(y), residual, ops)
        value, gradients = value_and_gradients(loss, estimates)
        assert np.isfinite(gradients).all(), factor
        assert 0 <= value <= 2 and (wanted is None or value == pytest.approx(wanted, abs=1e-5)), (
            factor,
            value,
        )


@both_ops
def test_plain_mse(ops):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 3, 4, 2, 1, 5))
    estimates = variables(x, need_grad=True)
    value, gradients = value_and_gradients(losses.mse(estimates, variables(y), ops), estimates)
    assert value == pytest.approx(np.mean((x - y) ** 2), rel=1e-5)
    np.testing.assert_allclose(gradients, 2 * (x - y) / x.size, atol=1e-6)
