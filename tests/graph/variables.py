"""What the tests of graphs share: variables of random values, one step of a graph, comparison."""

from __future__ import annotations

import nnabla as nn
import numpy as np


def variable(
    rng: np.random.RandomState, *shape: int, positive: bool = False, need_grad: bool = True
) -> nn.Variable:
    """Normal values, or ones of at least 0.5."""
    values = rng.randn(*shape).astype(np.float32)
    v = nn.Variable(shape, need_grad=need_grad)
    v.d = abs(values) + 0.5 if positive else values
    return v


def run(y: nn.Variable, inputs: list[nn.Variable], dy: np.ndarray) -> list[np.ndarray]:
    """Output and gradients of one forward and backward."""
    for v in inputs:
        v.grad.zero()
    y.forward()
    value = y.d.copy()
    y.backward(nn.NdArray.from_numpy_array(dy))
    return [value, *(v.g.copy() for v in inputs)]


def assert_close(
    found: list[np.ndarray], wanted: list[np.ndarray], tolerance: float, what: str, floor: float = 1e-6
) -> None:
    """Each array within ``tolerance`` of the peak of the wanted one, or of ``floor`` if that is more."""
    for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
        assert a.shape == b.shape, f"{what}: array {i} is {a.shape}, not {b.shape}"
        error = abs(a - b).max() / max(abs(b).max(), floor)
        assert error < tolerance, f"{what}: array {i} {a.shape} is off by {error:.1e} of its peak"
