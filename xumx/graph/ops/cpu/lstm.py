"""The LSTM: products over all frames on NumPy's BLAS, the walk through time in compiled code."""

from __future__ import annotations

from itertools import pairwise

import nnabla as nn
import numpy as np

from xumx.base.memory import aligned
from xumx.graph.ops.cpu.base import (
    THREADS,
    Array,
    Flags,
    Function,
    Variables,
    add_grad,
    data,
    grad,
    new_data,
    parallel,
    rows,
)
from xumx.graph.ops.cpu.walk import tiles, walk, walk_back


def lstm(
    x: nn.Variable,
    weight_l0: nn.Variable,
    weight: nn.Variable | None,
    bias: nn.Variable,
    *,
    dropout: float = 0.0,
    rng: np.random.Generator | None = None,
) -> nn.Variable:
    """Walk through time with long short-term memory, from a state of zeros, in any number of layers.

    With x_t the input and h_t the output of a layer and direction (Hochreiter & Schmidhuber 1997, with the
    forget gate of Gers et al. 2000)::

        i, f, o = sigmoid(W_{i,f,o} · [x_t, h_{t-1}] + b_{i,f,o}),  z = tanh(W_z · [x_t, h_{t-1}] + b_z)
        c_t = f · c_{t-1} + i · z,  h_t = o · tanh(c_t)

    Parameters
    ----------
    x : Variable (frames, batch, in)
    weight_l0 : Variable (directions, 4, hidden, in + hidden)
        Of the first layer, in the order i, f, z, o.
    weight : Variable (layers - 1, directions, 4, hidden, directions · hidden + hidden)
        Of the other layers; None if there are none.
    bias : Variable (layers, directions, 4, hidden)
    dropout : float
        Share of each layer's outputs, but the last one's, that are zeroed; the others are scaled by
        1 / (1 - dropout).
    rng : Generator, optional
        Draws the dropout, anew at each forward: the outputs are a function of the inputs and of its state.
        Given, the graph is one for training; not given, there is no dropout and no backward.

    Returns
    -------
    Variable (frames, batch, directions · hidden)

    Raises
    ------
    ValueError
        For a dropout that is no share.

    Examples
    --------
    >>> shapes = (7, 1, 3), (2, 4, 5, 3 + 5), (2, 2, 4, 5)
    >>> x, first, bias = (nn.Variable.from_numpy_array(np.zeros(shape)) for shape in shapes)
    >>> others = nn.Variable.from_numpy_array(np.zeros((1, 2, 4, 5, 2 * 5 + 5)))
    >>> y = lstm(x, first, others, bias)
    >>> y.forward()
    >>> y.shape, bool(y.d.any())
    ((7, 1, 10), False)
    """
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be at least 0 and below 1, not {dropout}")
    weights = (weight_l0, bias) if weight is None else (weight_l0, bias, weight)
    return _LSTM(dropout, rng)(x, *weights)


class _LSTM(Function):
    """Per layer and direction, with rows = frames · batch and G the four gates side by side:

    forward    G = X W_xᵀ for all frames at once, then frame by frame G_t += h_{t-1} W_hᵀ + b and the gates;
    backward   frame by frame dG_t, with dh_{t-1} = dG_t W_h, then for all frames at once dX = dG W_x,
               dW_x = dGᵀ X, dW_h = dGᵀ H (H: outputs of the frame before) and db = 1ᵀ dG.

    Kept for the backward, of each layer: the activated gates, the cells, the outputs and what dropout kept.
    """

    def __init__(self, dropout: float, rng: np.random.Generator | None) -> None:
        super().__init__()
        self._dropout, self._rng = dropout if rng else 0.0, rng

    def grad_depends_output_data(self, i: int, o: int) -> bool:
        return True

    def setup_impl(self, inputs: Variables, outputs: Variables) -> None:
        frames, batch, _ = inputs[0].shape
        layers, directions, _, hidden = inputs[2].shape
        outputs[0].reset_shape((frames, batch, directions * hidden), True)
        # In training each layer has its own memory; in inference they take turns with one.
        sets = layers if self._rng else 1
        self._gates = [aligned(directions, frames, batch, 4 * hidden) for _ in range(sets)]
        self._cells = [aligned(directions, frames, batch, hidden) for _ in range(sets)]
        self._outputs = [np.empty(outputs[0].shape, np.float32) for _ in range(layers - 1)]
        self._kept = [np.empty(outputs[0].shape, bool) for _ in self._outputs] if self._dropout else []

    def forward_impl(self, inputs: Variables, outputs: Variables) -> None:
        if self._rng:
            for kept in self._kept:
                np.greater_equal(self._rng.random(kept.shape, np.float32), self._dropout, out=kept)
        bias = data(inputs[2])
        for layer, y in enumerate([*self._outputs, new_data(outputs[0])]):
            self._forward(layer, self._layer_input(inputs, layer), _weight(inputs, layer), bias[layer], y)

    def _forward(self, layer: int, x: Array, weight: Array, bias: Array, y: Array) -> None:
        gates, cells = (sets[layer % len(sets)] for sets in (self._gates, self._cells))
        directions, _, batch, hidden = cells.shape
        for d in range(directions):
            np.matmul(rows(x), weight[d, :, :-hidden].T, out=rows(gates[d]))
        w_h, bias = tiles(weight[:, :, -hidden:].swapaxes(1, 2)), bias.reshape(directions, -1)
        parallel(lambda d, lo, hi: walk(d, lo, hi, gates, cells, y, w_h, bias), *_shares(directions, batch))

    def backward_impl(self, inputs: Variables, outputs: Variables, wanted: Flags, accum: Flags) -> None:
        if not self._rng:
            raise RuntimeError("this LSTM was built for inference; give it a random generator to train it")
        outs, dy = [*self._outputs, data(outputs[0])], grad(outputs[0])
        dgates = aligned(*self._gates[0].shape)
        dweights = [np.empty(v.shape, np.float32) for v in inputs[1::2]]
        dbias = np.empty(inputs[2].shape, np.float32)
        # From the last layer to the first; dy is always the gradient of the layer's output.
        for layer in reversed(range(len(outs))):
            weight = _weight(inputs, layer)
            dweight = (dweights[0] if layer == 0 else dweights[1][layer - 1]).reshape(weight.shape)
            # The only walk through time. As G = X W_xᵀ + H W_hᵀ + b in all frames alike, what is left are
            # sums over frames, each one a product: of the weights and bias, and of X (dX = dG W_x).
            self._backward(layer, dy, weight, dgates)
            _weight_gradient(dgates, self._layer_input(inputs, layer), outs[layer], dweight)
            dbias[layer] = dgates.sum(axis=(1, 2)).reshape(dbias[layer].shape)
            if layer or wanted[0]:
                hidden = dgates.shape[3] // 4
                # Both directions read the same X, so their gradients add.
                dy = sum(rows(dg) @ w[:, :-hidden] for dg, w in zip(dgates, weight, strict=True))
                dy = dy.reshape(*dgates.shape[1:3], -1)
            if layer and self._kept:  # X was dropout of the layer below: what was zeroed gets no gradient
                self._drop(dy, layer - 1)
        for i, value in enumerate((dy, dweights[0], dbias, *dweights[1:])):
            if wanted[i]:
                add_grad(inputs[i], value, accum[i])

    def _backward(self, layer: int, dy: Array, weight: Array, dgates: Array) -> None:
        """Fill dgates, the gradients of all frames' gates before their activation."""
        gates, cells = self._gates[layer], self._cells[layer]
        directions, _, batch, hidden = cells.shape
        w_h = tiles(weight[:, :, -hidden:])
        parallel(
            lambda d, lo, hi: walk_back(d, lo, hi, gates, cells, dy, w_h, dgates), *_shares(directions, batch)
        )

    def _layer_input(self, inputs: Variables, layer: int) -> Array:
        if layer == 0:
            return data(inputs[0])
        y = self._outputs[layer - 1]
        return self._drop(y.copy(), layer - 1) if self._kept else y

    def _drop(self, y: Array, layer: int) -> Array:
        y *= self._kept[layer]
        y *= np.float32(1 / (1 - self._dropout))
        return y


def _weight(inputs: Variables, layer: int) -> Array:
    """A layer's weights (directions, 4 hidden, in + hidden): W_x and W_h side by side."""
    weight = data(inputs[1]) if layer == 0 else data(inputs[3])[layer - 1]
    return weight.reshape(len(weight), -1, weight.shape[-1])


def _weight_gradient(dgates: Array, x: Array, y: Array, dweight: Array) -> None:
    """Fill dweight (directions, 4 hidden, in + hidden), with x and y the layer's input and output.

    The weights stand side by side, and so do what they meet: one product is faster than two.
    """
    directions, frames, batch, columns = dgates.shape
    hidden = columns // 4
    y = y.reshape(frames, batch, directions, hidden)
    both = aligned(frames, batch, dweight.shape[2])
    both[..., :-hidden] = x
    for d, dg in enumerate(dgates):
        # To each frame belongs the output of the one before, in the direction's own sense of time.
        earlier = both[..., -hidden:]
        if d:
            earlier[:-1], earlier[-1] = y[1:, :, d], 0
        else:
            earlier[1:], earlier[0] = y[:-1, :, d], 0
        np.matmul(rows(dg).T, rows(both), out=dweight[d])


def _shares(directions: int, batch: int) -> tuple[list[int], list[int], list[int]]:
    """Directions and ranges of the batch to walk through in parallel: no two of them need each other."""
    parts = min(batch, -(-THREADS // directions))
    bounds = [batch * part // parts for part in range(parts + 1)]
    shares = [(d, lo, hi) for d in range(directions) for lo, hi in pairwise(bounds)]
    d, lo, hi = zip(*shares, strict=True)
    return list(d), list(lo), list(hi)
