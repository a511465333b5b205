"""Gradients against differences of an independent reference in double precision."""

from __future__ import annotations

from collections.abc import Callable

import nnabla as nn
import numpy as np


def variables(arrays: np.ndarray, need_grad: bool = False) -> list[nn.Variable]:
    return [
        nn.Variable.from_numpy_array(np.ascontiguousarray(a, np.float32)).apply(need_grad=need_grad)
        for a in arrays
    ]


def assert_equals(
    loss: nn.Variable,
    inputs: list[nn.Variable],
    reference: Callable[[np.ndarray], float],
    what: str,
    tolerance: float = 1e-4,
) -> None:
    """The value to 1e-5, and the gradient along random directions to ``tolerance`` of its length.

    The reference takes all inputs, stacked.
    """
    for v in inputs:
        v.grad.zero()
    loss.forward(clear_no_need_grad=True)
    x = np.stack([v.d for v in inputs]).astype(np.float64)
    wanted = reference(x)
    assert abs(float(loss.d) - wanted) < 1e-5 * max(abs(wanted), 1e-2), f"{what}: {loss.d}, not {wanted}"
    loss.backward(clear_buffer=True)
    gradient = np.stack([v.g for v in inputs]).astype(np.float64)
    rng, step = np.random.RandomState(0), 1e-6
    for _ in range(5):
        direction = rng.standard_normal(x.shape)
        slope = (reference(x + step * direction) - reference(x - step * direction)) / (2 * step)
        found = np.sum(gradient * direction)
        assert abs(found - slope) < tolerance * np.linalg.norm(gradient), f"{what}: {found}, not {slope}"
