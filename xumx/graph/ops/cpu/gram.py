"""Inner products of many long signals, of which losses are made, in one pass over memory."""

from __future__ import annotations

import nnabla as nn
import numpy as np

from xumx.graph.ops.cpu.base import (
    Array,
    Flags,
    Function,
    Variables,
    constant,
    data,
    grad,
    kernel,
    new_data,
    parallel,
)

Ranges = tuple[list[int], list[int]]
Arrays = tuple[Array, ...]

_CHUNK = 1024
"""Values of each signal that are worked on together: those of nine signals stay in the first-level cache."""

_PARTS = 64
"""Of a mean over all values; a fixed number, so that the sum does not depend on the number of threads."""


def gram(signals: list[nn.Variable], *, trim: int = 0) -> nn.Variable:
    """Compute inner products of signals, a matrix for each member of the batch and channel.

    Parameters
    ----------
    signals : list of K Variable (batch, channels, samples)
    trim : int
        Samples that are left out at each end.

    Returns
    -------
    Variable (batch, channels, K, K)
        The sums of signals[i] · signals[j].

    Raises
    ------
    ValueError
        If nothing is left between the ends.

    Examples
    --------
    >>> signals = [nn.Variable.from_numpy_array([[values]]) for values in ([9, 1, 2, 9], [9, 0, 5, 9])]
    >>> products = gram(signals, trim=1)
    >>> products.forward()
    >>> products.d.tolist()
    [[[[5.0, 10.0], [10.0, 25.0]]]]
    """
    samples = signals[0].shape[2]
    if samples <= 2 * trim:
        raise ValueError(f"{samples} samples are too few to leave out {trim} at each end")
    return _Gram(trim)(*signals)


def error_gram(estimates: list[nn.Variable], targets: list[nn.Variable]) -> nn.Variable:
    """Compute mean products of the errors e_j = estimates[j] - targets[j]; on the diagonal are their squares.

    Parameters
    ----------
    estimates, targets : lists of K Variable, all of one shape
        The targets are constants, or computed of constants: they get no gradient.

    Returns
    -------
    Variable (K, K)
        The means over all values of e_i · e_j.

    Examples
    --------
    >>> x, y = (nn.Variable.from_numpy_array(values) for values in ([1, 2], [0, 4]))
    >>> products = error_gram([x], [y])
    >>> products.forward()
    >>> products.d.tolist()  # of the errors 1 and -2
    [[2.5]]
    """
    return _ErrorGram()(*estimates, *map(constant, targets))


class _Gram(Function):
    """G = E Eᵀ for each member and channel, E (K, samples) having the signals e_i as rows.

    With the gradient D of G, dL = Σ_ik D_ik (de_i · e_k + e_i · de_k) = Σ_i de_i · Σ_k (D_ik + D_ki) e_k: the
    gradient of E is (D + Dᵀ) E, a sum of the signals for each signal.
    """

    def __init__(self, trim: int) -> None:
        super().__init__()
        self._trim = trim

    def setup_impl(self, inputs: Variables, outputs: Variables) -> None:
        batch, channels, samples = inputs[0].shape
        outputs[0].reset_shape((batch, channels, len(inputs), len(inputs)), True)
        starts = range(0, batch * channels * samples, samples)
        self._ranges = [n + self._trim for n in starts], [n + samples - self._trim for n in starts]

    def forward_impl(self, inputs: Variables, outputs: Variables) -> None:
        new_data(outputs[0])[...] = _products(inputs, [], self._ranges).reshape(outputs[0].shape)

    def backward_impl(self, inputs: Variables, outputs: Variables, wanted: Flags, accum: Flags) -> None:
        factors = grad(outputs[0]).reshape(-1, len(inputs), len(inputs))
        _fill(inputs, [], self._ranges, factors, wanted, accum)


class _ErrorGram(Function):
    """The same of all values at once, E the errors x − y, divided by their number.

    As de_i = dx_i, the gradient of an estimate is that of its error.
    """

    def setup_impl(self, inputs: Variables, outputs: Variables) -> None:
        outputs[0].reset_shape((len(inputs) // 2, len(inputs) // 2), True)
        self._size = inputs[0].size
        bounds = [self._size * part // _PARTS for part in range(_PARTS + 1)]
        self._ranges = bounds[:-1], bounds[1:]

    def forward_impl(self, inputs: Variables, outputs: Variables) -> None:
        half = len(inputs) // 2
        sums = _products(inputs[:half], inputs[half:], self._ranges)
        new_data(outputs[0])[...] = sums.sum(axis=0) / self._size

    def backward_impl(self, inputs: Variables, outputs: Variables, wanted: Flags, accum: Flags) -> None:
        half = len(inputs) // 2
        # D is the same for all parts, as the matrix is one sum over them.
        factors = np.repeat(grad(outputs[0])[None] / np.float32(self._size), _PARTS, axis=0)
        _fill(inputs[:half], inputs[half:], self._ranges, factors, wanted, accum)


def _products(signals: Variables, subtracted: Variables, ranges: Ranges) -> np.ndarray:
    """The Gram matrix of each range, float64 (ranges, K, K)."""
    arrays, others = _flat(signals, subtracted)
    result = np.zeros((len(ranges[0]), len(arrays), len(arrays)))
    parallel(lambda lo, hi, out: _multiply(arrays, others, lo, hi, out), *ranges, list(result))
    return result


def _fill(
    signals: Variables, subtracted: Variables, ranges: Ranges, factors: Array, wanted: Flags, accum: Flags
) -> None:
    """Set or add the gradients of the wanted signals; factors (ranges, K, K) is dG of each range."""
    arrays, others = _flat(signals, subtracted)
    chosen = [k for k in range(len(signals)) if wanted[k]]
    factors = np.ascontiguousarray((factors + factors.swapaxes(1, 2))[:, chosen])  # D + Dᵀ

    # Added in place: the gradients of all values take as much memory as anything does.
    outs = tuple(signals[k].grad.get_data("rw" if accum[k] else "w", np.float32).reshape(-1) for k in chosen)
    for k, out in zip(chosen, outs, strict=True):
        if not accum[k]:
            out[...] = 0
    if chosen:
        parallel(lambda lo, hi, f: _combine(arrays, others, lo, hi, f, outs), *ranges, list(factors))


def _flat(signals: Variables, subtracted: Variables) -> tuple[Arrays, Arrays]:
    arrays = tuple(data(v).reshape(-1) for v in signals)
    return arrays, tuple(data(v).reshape(-1) for v in subtracted) or (np.empty(0, np.float32),) * len(arrays)


@kernel
def _load(arrays: Arrays, others: Arrays, lo: int, hi: int, chunk: Array) -> None:
    """Copy values lo to hi of all signals into the rows of a chunk, or of their differences: errors."""
    for k in range(len(arrays)):
        a, row = arrays[k][lo:hi], chunk[k]
        if others[k].size:
            b = others[k][lo:hi]
            for j in range(hi - lo):
                row[j] = a[j] - b[j]
        else:
            row[: hi - lo] = a


@kernel
def _multiply(arrays: Arrays, others: Arrays, lo: int, hi: int, out: np.ndarray) -> None:
    """Add the products of values lo to hi to out: float32 within a chunk, and float64 over all chunks."""
    chunk = np.empty((len(arrays), _CHUNK), np.float32)
    for start in range(lo, hi, _CHUNK):
        size = min(_CHUNK, hi - start)
        _load(arrays, others, start, start + size, chunk)
        for i in range(len(arrays)):
            for k in range(i + 1):  # The matrix is symmetric: half of the products do.
                total = np.float32(0)
                for j in range(size):
                    total += chunk[i, j] * chunk[k, j]
                out[i, k] += total
                if k < i:
                    out[k, i] += total


@kernel
def _combine(arrays: Arrays, others: Arrays, lo: int, hi: int, factors: Array, outs: Arrays) -> None:
    """Add to values lo to hi of each out its sum of signals, Σ_k factors_ik e_k."""
    chunk = np.empty((len(arrays), _CHUNK), np.float32)
    for start in range(lo, hi, _CHUNK):
        size = min(_CHUNK, hi - start)
        _load(arrays, others, start, start + size, chunk)
        for i in range(len(outs)):
            row = outs[i][start : start + size]
            for k in range(len(arrays)):
                factor = factors[i, k]
                for j in range(size):
                    row[j] += factor * chunk[k, j]
