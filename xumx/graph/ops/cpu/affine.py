"""Matrix products on NumPy's BLAS."""

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
    new_data,
    rows,
)


def affine(x: nn.Variable, weight: nn.Variable) -> nn.Variable:
    """Multiply the last axis of ``x`` by a matrix: ``x @ weight``.

    Parameters
    ----------
    x : Variable (frames, batch, in)
    weight : Variable (in, out)

    Returns
    -------
    Variable (frames, batch, out)

    Examples
    --------
    >>> x, w = nn.Variable.from_numpy_array([[[1, 2]]]), nn.Variable.from_numpy_array([[1, 0, 3], [0, 1, 4]])
    >>> y = affine(x, w)
    >>> y.forward()
    >>> y.d.tolist()
    [[[1.0, 2.0, 11.0]]]
    """
    return _Affine()(x, weight)


def normalized_affine(
    x: nn.Variable, mean: nn.Variable, scale: nn.Variable, weight: nn.Variable
) -> nn.Variable:
    """Crop, shift and scale each bin, then multiply by a matrix: ``((x + mean) · scale) @ weight``.

    Parameters
    ----------
    x : Variable (frames, batch, channels, bins)
    mean, scale : Variable (max_bin,)
        Only the first ``max_bin`` bins of ``x`` are used.
    weight : Variable (channels · max_bin, out)

    Returns
    -------
    Variable (frames, batch, out)

    Examples
    --------
    >>> x = nn.Variable.from_numpy_array([[[[1, 2, 9]]]])  # of 3 bins, the last of which is cropped
    >>> mean, scale, w = map(nn.Variable.from_numpy_array, ([-1, -1], [10, 10], [[1, 0], [0, 1]]))
    >>> y = normalized_affine(x, mean, scale, w)
    >>> y.forward()
    >>> y.d.tolist()
    [[[0.0, 10.0]]]
    """
    return _NormalizedAffine()(x, mean, scale, weight)


class _Affine(Function):
    """y = x W, so that dL = Σ dy · (dx W + x dW): the gradients are dy Wᵀ and xᵀ dy, of all rows together."""

    def setup_impl(self, inputs: Variables, outputs: Variables) -> None:
        x, weight = inputs
        outputs[0].reset_shape((*x.shape[:-1], weight.shape[1]), True)

    def forward_impl(self, inputs: Variables, outputs: Variables) -> None:
        x, weight = map(data, inputs)
        np.matmul(rows(x), weight, out=rows(new_data(outputs[0])))

    def backward_impl(self, inputs: Variables, outputs: Variables, wanted: Flags, accum: Flags) -> None:
        x, weight = map(data, inputs)
        dy = rows(grad(outputs[0]))
        if wanted[0]:
            fill_grads(inputs[:1], accum[:1], lambda dx: np.matmul(dy, weight.T, out=rows(dx)))
        if wanted[1]:
            fill_grads(inputs[1:], accum[1:], lambda dw: np.matmul(rows(x).T, dy, out=dw))


class _NormalizedAffine(Function):
    """With W_c the rows of channel c, s the scale and m the mean, y = Σ_c x_c (s·W_c) + (m·s) W_c: neither
    the normalised input (a copy of the whole batch) nor its gradient is ever formed. The gradients of all
    three parameters follow from one product a channel, G_c = x_cᵀ dy, and the column sums of dy, d = 1ᵀ dy:

        dW_c = s · (G_c + m dᵀ),   ds = Σ_c rowsum(W_c · (G_c + m dᵀ)),   dm = s · Σ_c W_c d.
    """

    def setup_impl(self, inputs: Variables, outputs: Variables) -> None:
        x, _, _, weight = inputs
        outputs[0].reset_shape((*x.shape[:2], weight.shape[1]), True)

    def forward_impl(self, inputs: Variables, outputs: Variables) -> None:
        x, mean, scale, weight = map(data, inputs)
        y = rows(new_data(outputs[0]))
        y[...] = 0
        for x_c, w_c in self._channels(x, weight, len(mean)):
            w_c = scale[:, None] * w_c  # s·W_c
            y += x_c @ w_c
            y += mean @ w_c  # the same row for all: (m·s) W_c

    def backward_impl(self, inputs: Variables, outputs: Variables, wanted: Flags, accum: Flags) -> None:
        x, mean, scale, weight = map(data, inputs)
        dy = rows(grad(outputs[0]))
        if wanted[0]:
            dx = np.zeros_like(x)
            for dx_c, w_c in self._channels(dx, weight, len(mean)):
                np.matmul(dy, (scale[:, None] * w_c).T, out=dx_c)
            add_grad(inputs[0], dx, accum[0])
        d = dy.sum(axis=0)
        if wanted[1]:  # dm: a value of m stands in all channels
            add_grad(inputs[1], scale * (weight @ d).reshape(-1, len(mean)).sum(axis=0), accum[1])
        if wanted[2] or wanted[3]:
            shifted = np.empty_like(weight)  # G_c + m dᵀ, of which both follow
            for x_c, g_c in self._channels(x, shifted, len(mean)):
                np.matmul(x_c.T, dy, out=g_c)
                g_c += np.outer(mean, d)
            if wanted[2]:
                products = np.einsum("ij,ij->i", weight, shifted)
                add_grad(inputs[2], products.reshape(-1, len(mean)).sum(axis=0), accum[2])
            if wanted[3]:
                shifted *= np.tile(scale, x.shape[2])[:, None]
                add_grad(inputs[3], shifted, accum[3])

    @staticmethod
    def _channels(x: Array, weight: Array, max_bin: int) -> list[tuple[Array, Array]]:
        frames, batch, channels, bins = x.shape
        x = x.reshape(frames * batch, channels, bins)
        weight = weight.reshape(channels, max_bin, -1)
        return [(x[:, c, :max_bin], weight[c]) for c in range(channels)]
