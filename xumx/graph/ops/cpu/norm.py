"""Batch norm with what follows it, over the last axis, in as few passes over memory as can be."""

from __future__ import annotations

import nnabla as nn
import numpy as np

from xumx.graph.ops.cpu.base import (
    Array,
    Flags,
    Function,
    Variables,
    add_grad,
    data,
    fill_grads,
    grad,
    kernel,
    new_data,
    parallel,
    tanh,
)

_TANH, _RELU = 0, 1
_ACTIVATIONS = {"tanh": _TANH, "relu": _RELU}
_BLOCK = 512
"""Columns that one task works on: 2 KiB of each row, and column sums that stay in the first-level cache."""


def batch_norm(
    x: nn.Variable,
    beta: nn.Variable,
    gamma: nn.Variable,
    mean: nn.Variable,
    var: nn.Variable,
    *,
    activation: str,
    batch_stat: bool,
    decay: float = 0.9,
    eps: float = 1e-5,
) -> nn.Variable:
    """Normalise and activate: ``activation(gamma · (x − mean) / sqrt(var + eps) + beta)``.

    Each column of the last axis is normalised by itself (Ioffe & Szegedy 2015).

    Parameters
    ----------
    x : Variable (frames, batch, columns)
    beta, gamma : Variable (1, 1, columns)
    mean, var : Variable (1, 1, columns)
        Running statistics. With ``batch_stat`` the batch's own are used, and these are moved towards them
        in place (the variance towards the unbiased one), ``decay`` being the weight of the past.
    activation : 'tanh' or 'relu'
    batch_stat : bool

    Returns
    -------
    Variable (frames, batch, columns)

    Raises
    ------
    KeyError
        For another activation.

    Examples
    --------
    >>> x = nn.Variable.from_numpy_array([[[1, 5]], [[3, 5]]])
    >>> beta, gamma, mean, var = (nn.Variable.from_numpy_array([[[v, v]]]) for v in (0, 1, 0, 1))
    >>> y = batch_norm(x, beta, gamma, mean, var, activation="relu", batch_stat=True)
    >>> y.forward()
    >>> y.d.round(3).tolist(), mean.d.round(3).tolist()
    ([[[0.0, 0.0]], [[1.0, 0.0]]], [[[0.20000000298023224, 0.5]]])
    """
    return _Norm(_ACTIVATIONS[activation], batch_stat, decay, eps)(x, beta, gamma, mean, var)


def mask(
    x: nn.Variable,
    beta: nn.Variable,
    gamma: nn.Variable,
    mean: nn.Variable,
    var: nn.Variable,
    scale: nn.Variable,
    offset: nn.Variable,
    mixture: nn.Variable,
    *,
    batch_stat: bool,
    decay: float = 0.9,
    eps: float = 1e-5,
) -> nn.Variable:
    """Multiply the mixture by its mask: ``relu(scale · BN(x) + offset) · mixture``.

    Parameters
    ----------
    x : Variable (frames, batch, channels · bins)
    beta, gamma, mean, var, batch_stat, decay, eps
        As in :func:`batch_norm`, with channels · bins columns.
    scale, offset : Variable (bins,)
        The same for all channels.
    mixture : Variable (frames, batch, channels, bins)
        A constant: it gets no gradient.

    Returns
    -------
    Variable (frames, batch, channels, bins)

    Examples
    --------
    >>> x, mixture = nn.Variable.from_numpy_array([[[1, -3]]]), nn.Variable.from_numpy_array([[[[10, 10]]]])
    >>> norm = [nn.Variable.from_numpy_array([[[v, v]]]) for v in (0, 1, 0, 1)]
    >>> scale, offset = (nn.Variable.from_numpy_array([v, v]) for v in (0.25, 0.5))
    >>> y = mask(x, *norm, scale, offset, mixture, batch_stat=False, eps=0)
    >>> y.forward()
    >>> y.d.tolist()
    [[[[7.5, 0.0]]]]
    """
    mixture = mixture.get_unlinked_variable(need_grad=False)
    return _Norm(_RELU, batch_stat, decay, eps)(x, beta, gamma, mean, var, scale, offset, mixture)


class _Norm(Function):
    """y = act(s·(γ·x̂ + β) + o) · f with x̂ = (x − mean) / sqrt(var + eps), a column at a time.

    s, o and f are those of :func:`mask`, or 1, 0 and 1. With g = dy · f · act'(·) the gradients of a column
    follow from two sums, S = Σg and T = Σ g·x̂, over its n rows:

        dβ = sS,  dγ = sT,  do = S,  ds = γT + βS,  dx = sγ / sqrt(var + eps) · (g − S/n − x̂·T/n),

    the terms S/n and T/n only if mean and var are the batch's. For then x̂ depends on all x of the column:
    with k = 1 / sqrt(var + eps), and E the mean over the column,

        dmean = E[dx],   dk = −½ k³ dvar = −k³ E[(x − mean) dx] = −k² E[x̂ dx],
        dx̂ = k (dx − dmean) + (x − mean) dk = k (dx − E[dx] − x̂ E[x̂ dx]).

    This map is symmetric, so that it also takes the gradient of x̂, which is sγg, to that of x.
    """

    def __init__(self, activation: int, batch_stat: bool, decay: float, eps: float) -> None:
        super().__init__()
        self._activation, self._batch_stat, self._decay, self._eps = activation, batch_stat, decay, eps

    def setup_impl(self, inputs: Variables, outputs: Variables) -> None:
        shape = inputs[-1].shape if len(inputs) == 8 else inputs[0].shape
        outputs[0].reset_shape(shape, True)

    def forward_impl(self, inputs: Variables, outputs: Variables) -> None:
        x, beta, gamma, scale, offset, factor = self._arrays(inputs)
        columns = x.shape[1]
        running = [v.data.get_data("rw" if self._batch_stat else "r", np.float32) for v in inputs[3:5]]
        if self._batch_stat:
            mean, var = np.empty((2, columns), np.float32)
            parallel(lambda lo, hi: _moments(x, lo, hi, mean, var), *_blocks(columns))
            unbiased = var * np.float32(len(x) / max(len(x) - 1, 1))
            for past, present in zip(running, (mean, unbiased), strict=True):
                past *= np.float32(self._decay)
                past += (np.float32(1 - self._decay) * present).reshape(past.shape)
        else:
            mean, var = (past.reshape(-1) for past in running)
        self._mean, self._inverse = mean.copy(), 1 / np.sqrt(var + np.float32(self._eps))
        # s·(γ·x̂ + β) + o = slope · (x − mean) + shift
        slope, shift = scale * gamma * self._inverse, scale * beta + offset
        y = new_data(outputs[0]).reshape(x.shape)
        parallel(
            lambda lo, hi: _forward(x, lo, hi, self._mean, slope, shift, factor, self._activation, y),
            *_blocks(columns),
        )

    def backward_impl(self, inputs: Variables, outputs: Variables, wanted: Flags, accum: Flags) -> None:
        x, beta, gamma, scale, offset, factor = self._arrays(inputs)
        columns = x.shape[1]
        slope, shift = scale * gamma * self._inverse, scale * beta + offset
        dy = grad(outputs[0]).reshape(x.shape)
        sums = np.empty((2, columns), np.float32)

        def fill(dx: Array) -> None:
            # dx first holds g, so that it is worked out once.
            dx = dx.reshape(x.shape)
            args = (x, dy, self._mean, self._inverse, slope, shift, factor, self._activation)
            parallel(lambda lo, hi: _slopes(lo, hi, *args, dx, sums), *_blocks(columns))
            if wanted[0]:
                means = sums / np.float32(len(x)) if self._batch_stat else np.zeros_like(sums)
                parallel(
                    lambda lo, hi: _backward(x, lo, hi, self._mean, self._inverse, slope, means, dx),
                    *_blocks(columns),
                )

        if wanted[0]:
            fill_grads(inputs[:1], accum[:1], fill)
        else:
            fill(np.empty_like(x))
        s, t = sums
        gradients = [None, scale * s, scale * t, None, None, gamma * t + beta * s, s]
        for i, value in enumerate(gradients[: len(inputs)]):
            if value is not None and wanted[i]:
                bins = inputs[i].shape[-1]  # those of s and o are of all channels
                add_grad(inputs[i], value.reshape(-1, bins).sum(axis=0), accum[i])

    def _arrays(self, inputs: Variables) -> tuple[Array, ...]:
        """x, beta, gamma, scale, offset, factor: as rows and columns, with an empty factor for none."""
        x = data(inputs[0])
        x = x.reshape(-1, x.shape[-1])
        beta, gamma = (data(v).reshape(-1) for v in inputs[1:3])
        if len(inputs) == 5:
            return (
                x,
                beta,
                gamma,
                np.ones(1, np.float32),
                np.zeros(1, np.float32),
                np.empty((0, 0), np.float32),
            )
        channels = x.shape[1] // inputs[5].shape[0]
        scale, offset = (np.tile(data(v), channels) for v in inputs[5:7])
        return x, beta, gamma, scale, offset, data(inputs[7]).reshape(x.shape)


def _blocks(columns: int) -> tuple[range, list[int]]:
    starts = range(0, columns, _BLOCK)
    return starts, [min(lo + _BLOCK, columns) for lo in starts]


@kernel
def _moments(x: Array, lo: int, hi: int, mean: Array, var: Array) -> None:
    """Mean and (biased) variance of columns lo to hi; sums in double precision, so that one pass will do."""
    total, square = np.zeros(hi - lo), np.zeros(hi - lo)
    for i in range(x.shape[0]):
        row = x[i, lo:hi]
        for j in range(hi - lo):
            value = np.float64(row[j])
            total[j] += value
            square[j] += value * value
    for j in range(hi - lo):
        average = total[j] / x.shape[0]
        mean[lo + j] = average
        var[lo + j] = max(square[j] / x.shape[0] - average * average, 0.0)


@kernel
def _forward(
    x: Array,
    lo: int,
    hi: int,
    mean: Array,
    slope: Array,
    shift: Array,
    factor: Array,
    activation: int,
    y: Array,
) -> None:
    """Fill y = act(slope · (x − mean) + shift) · factor, columns lo to hi."""
    m, a, b = mean[lo:hi], slope[lo:hi], shift[lo:hi]
    for i in range(x.shape[0]):
        row, out = x[i, lo:hi], y[i, lo:hi]
        if activation == _TANH:
            for j in range(hi - lo):
                out[j] = tanh(a[j] * (row[j] - m[j]) + b[j])
        else:
            for j in range(hi - lo):
                u = a[j] * (row[j] - m[j]) + b[j]
                out[j] = np.float32(0) if u < 0 else u
        if factor.size:
            f = factor[i, lo:hi]
            for j in range(hi - lo):
                out[j] *= f[j]


@kernel
def _slopes(
    lo: int,
    hi: int,
    x: Array,
    dy: Array,
    mean: Array,
    inverse: Array,
    slope: Array,
    shift: Array,
    factor: Array,
    activation: int,
    g: Array,
    sums: Array,
) -> None:
    """Fill g = dy · f · act'(·) of columns lo to hi, and the sums S of g and T of g·x̂."""
    m, k, a, b = mean[lo:hi], inverse[lo:hi], slope[lo:hi], shift[lo:hi]
    total, product = np.zeros(hi - lo), np.zeros(hi - lo)
    for i in range(x.shape[0]):
        row, up, out = x[i, lo:hi], dy[i, lo:hi], g[i, lo:hi]
        if activation == _TANH:
            for j in range(hi - lo):
                v = tanh(a[j] * (row[j] - m[j]) + b[j])
                out[j] = up[j] * (np.float32(1) - v * v)  # tanh' = 1 − tanh²
        else:
            for j in range(hi - lo):
                u = a[j] * (row[j] - m[j]) + b[j]
                out[j] = up[j] if u > 0 else np.float32(0)
        if factor.size:
            f = factor[i, lo:hi]
            for j in range(hi - lo):
                out[j] *= f[j]
        for j in range(hi - lo):
            total[j] += out[j]
        for j in range(hi - lo):
            product[j] += out[j] * ((row[j] - m[j]) * k[j])
    sums[0, lo:hi] = total
    sums[1, lo:hi] = product


@kernel
def _backward(
    x: Array, lo: int, hi: int, mean: Array, inverse: Array, slope: Array, means: Array, dx: Array
) -> None:
    """dx = slope · (g − mean of g − x̂ · mean of g·x̂), in place: dx holds g."""
    m, a = mean[lo:hi], slope[lo:hi]
    s, t = means[0, lo:hi], means[1, lo:hi] * inverse[lo:hi]
    for i in range(x.shape[0]):
        row, out = x[i, lo:hi], dx[i, lo:hi]
        for j in range(hi - lo):
            out[j] = a[j] * (out[j] - s[j] - (row[j] - m[j]) * t[j])
