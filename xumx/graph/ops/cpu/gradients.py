"""What is done with all gradients, or all parameters, at once: one number of them, one factor, a mean."""

from __future__ import annotations

from collections.abc import Mapping

import nnabla as nn
import numpy as np

from xumx.graph.ops.cpu.base import Array, grad, kernel, parallel

_SHARE = 1 << 18
"""Values that one task walks; sums are added in the order of the tasks, whatever the number of threads."""


def gradient_norm(parameters: Mapping[str, nn.Variable]) -> float:
    """Compute the norm of the gradients of all parameters as one vector, in float64.

    Parameters
    ----------
    parameters : mapping of str to Variable
        By name; the order of the names does not count.

    Returns
    -------
    float
        Not finite if any value is not.

    Examples
    --------
    >>> a, b = (nn.Variable((1,), need_grad=True) for _ in range(2))
    >>> a.g, b.g = 3, 4
    >>> gradient_norm({"a": a, "b": b})
    5.0
    """
    parts = [part for name in sorted(parameters) for part in _shares(grad(parameters[name]).reshape(-1))]
    sums = np.zeros(len(parts))
    parallel(_add_squares, parts, [sums[i : i + 1] for i in range(len(parts))])
    return float(np.sqrt(sums.sum()))


def scale_gradients(parameters: Mapping[str, nn.Variable], factor: float) -> None:
    """Multiply the gradients of all parameters, in place.

    Examples
    --------
    >>> a = nn.Variable((2,), need_grad=True)
    >>> a.g = [3, 4]
    >>> scale_gradients({"a": a}, 0.5)
    >>> a.g.tolist()
    [1.5, 2.0]
    """
    arrays = [p.grad.get_data("rw", np.float32).reshape(-1) for p in parameters.values()]
    parts = [part for array in arrays for part in _shares(array)]
    parallel(lambda part: np.multiply(part, np.float32(factor), out=part), parts)


def approach(averages: Mapping[str, nn.NdArray], values: Mapping[str, nn.NdArray], share: float) -> None:
    """Move each array towards another of its shape, in place: ``average += share · (value - average)``.

    Examples
    --------
    >>> average, value = (nn.NdArray.from_numpy_array(np.full(2, x, np.float32)) for x in (1, 3))
    >>> approach({"a": average}, {"a": value}, 0.5)
    >>> average.data.tolist()
    [2.0, 2.0]
    """
    tasks: list[tuple[Array, Array]] = []
    for name, average in averages.items():
        mine, other = average.get_data("rw", np.float32), values[name].get_data("r", np.float32)
        tasks += zip(_shares(mine.reshape(-1)), _shares(other.reshape(-1)), strict=True)
    parallel(_approach, *zip(*tasks, strict=True), [np.float32(share)] * len(tasks))


def _shares(values: Array) -> list[Array]:
    return [values[lo : lo + _SHARE] for lo in range(0, values.size, _SHARE)]


@kernel
def _add_squares(values: Array, total: np.ndarray) -> None:
    found = np.float64(0)
    for j in range(values.size):
        found += np.float64(values[j]) * np.float64(values[j])
    total[0] = found


@kernel
def _approach(average: Array, value: Array, share: np.float32) -> None:
    for j in range(average.size):
        average[j] += share * (value[j] - average[j])
