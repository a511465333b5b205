"""Parametric functions as NNabla has them (``PF.affine`` …), but computed by operations of one's choice.

As those of :mod:`nnabla.parametric_functions`, each takes its parameters by their names from the current
parameter scope and makes those that are not there, with the same names, shapes and initial values, in the
same order. What differs is that ``ops`` computes, one of the modules that :func:`xumx.graph.ops_for` gives,
and that a function takes along what follows its layer, as ``ops`` does both in one pass over memory.

>>> import nnabla as nn
>>> from xumx.graph import ops_for
>>> x, scope = nn.Variable((7, 1, 6)), {}
>>> with nn.parameter_scope("", scope), nn.parameter_scope("fc2_bass"):
...     y = affine(x, 4, ops_for("cpu"))
...     y = batch_normalization(y, ops_for("cpu"), "relu")
>>> y.shape
(7, 1, 4)
>>> with nn.parameter_scope("", scope):
...     print(*nn.get_parameters(grad_only=False))
fc2_bass/affine/W fc2_bass/bn/beta fc2_bass/bn/gamma fc2_bass/bn/mean fc2_bass/bn/var

References
----------
.. [1] Glorot & Bengio, "Understanding the Difficulty of Training Deep Feedforward Neural Networks", AISTATS
   2010: what affine layers and LSTM are drawn after.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import nnabla as nn
import nnabla.initializer as I
import numpy as np
from nnabla.parameter import get_parameter_or_create
from nnabla.parametric_functions import parametric_function_api

_WEIGHT = [("W", "Weight matrix", "(in, out)", True)]
_STATISTICS = [
    ("beta", "Trainable bias", "(1, 1, columns)", True),
    ("gamma", "Trainable factor", "(1, 1, columns)", True),
    ("mean", "Running mean", "(1, 1, columns)", False),
    ("var", "Running variance", "(1, 1, columns)", False),
]


@parametric_function_api("affine", _WEIGHT)
def affine(
    x: nn.Variable,
    n_outmaps: int,
    ops: ModuleType,
    rng: np.random.RandomState | None = None,
    fix_parameters: bool = False,
) -> nn.Variable:
    """Multiply the last axis by a matrix, ``x @ W``: an affine layer without bias.

    Parameters
    ----------
    x : Variable (frames, batch, in)
    n_outmaps : int
    ops : module
    rng : RandomState, optional
        Draws a new W; by default NNabla's own.
    fix_parameters : bool
        W gets no gradient.

    Returns
    -------
    Variable (frames, batch, n_outmaps)
    """
    return ops.affine(x, _matrix(x.shape[2], n_outmaps, rng, fix_parameters))


@parametric_function_api("affine", _WEIGHT)
def normalized_affine(
    x: nn.Variable,
    mean: nn.Variable,
    scale: nn.Variable,
    n_outmaps: int,
    ops: ModuleType,
    rng: np.random.RandomState | None = None,
    fix_parameters: bool = False,
) -> nn.Variable:
    """Crop, shift and scale each bin, then multiply by a matrix: ``((x + mean) · scale) @ W``.

    Parameters
    ----------
    x : Variable (frames, batch, channels, bins)
    mean, scale : Variable (max_bin,)
        Bins above are left out.
    n_outmaps, ops, rng, fix_parameters
        As in :func:`affine`.

    Returns
    -------
    Variable (frames, batch, n_outmaps)
    """
    return ops.normalized_affine(
        x, mean, scale, _matrix(x.shape[2] * mean.shape[0], n_outmaps, rng, fix_parameters)
    )


@parametric_function_api("bn", _STATISTICS)
def batch_normalization(
    x: nn.Variable,
    ops: ModuleType,
    activation: str,
    decay_rate: float = 0.9,
    eps: float = 1e-5,
    batch_stat: bool = True,
    fix_parameters: bool = False,
) -> nn.Variable:
    """Normalise each column of the last axis (Ioffe & Szegedy 2015), and activate: ``act(γ · x̂ + β)``.

    Parameters
    ----------
    x : Variable (frames, batch, columns)
    ops : module
    activation : 'tanh' or 'relu'
    decay_rate : float
        Weight of the past in the running statistics.
    eps : float
        Is added to the variance.
    batch_stat : bool
        Normalise by the batch's own statistics and let the running ones follow; else by the running ones.
    fix_parameters : bool
        β and γ get no gradient.

    Returns
    -------
    Variable (frames, batch, columns)
    """
    norm = _norm(x.shape[2], fix_parameters)
    return ops.batch_norm(x, *norm, activation=activation, batch_stat=batch_stat, decay=decay_rate, eps=eps)


@parametric_function_api("bn", _STATISTICS)
def mask(
    x: nn.Variable,
    scale: nn.Variable,
    mean: nn.Variable,
    mixture: nn.Variable,
    ops: ModuleType,
    decay_rate: float = 0.9,
    eps: float = 1e-5,
    batch_stat: bool = True,
    fix_parameters: bool = False,
) -> nn.Variable:
    """Normalise, make a mask of it and apply that: ``relu(scale · BN(x) + mean) · mixture``.

    Parameters
    ----------
    x : Variable (frames, batch, channels · bins)
    scale, mean : Variable (bins,)
        The same for all channels.
    mixture : Variable (frames, batch, channels, bins)
        A constant: it gets no gradient.
    ops, decay_rate, eps, batch_stat, fix_parameters
        As in :func:`batch_normalization`.

    Returns
    -------
    Variable (frames, batch, channels, bins)
    """
    norm = _norm(x.shape[2], fix_parameters)
    return ops.mask(x, *norm, scale, mean, mixture, batch_stat=batch_stat, decay=decay_rate, eps=eps)


@parametric_function_api(
    "lstm",
    [
        ("weight_l0", "Weights of the first layer: i, f, z, o", "(D, 4, H, I + H)", True),
        ("weight", "Weights of the others", "(L - 1, D, 4, H, D · H + H)", True),
        ("bias", "Biases", "(L, D, 4, H)", True),
    ],
)
def lstm(
    x: nn.Variable,
    hidden_size: int,
    ops: ModuleType,
    num_layers: int = 1,
    bidirectional: bool = False,
    dropout: float = 0.0,
    dropout_rng: np.random.Generator | None = None,
    rng: np.random.RandomState | None = None,
    fix_parameters: bool = False,
) -> nn.Variable:
    """Walk through time with long short-term memory that begins at zero (Hochreiter & Schmidhuber 1997).

    Parameters
    ----------
    x : Variable (frames, batch, I)
    hidden_size : int
        H, of each direction.
    ops : module
    num_layers : int
        L.
    bidirectional : bool
        D is 2: each layer walks both ways and puts its outputs side by side.
    dropout : float
        Share of each layer's outputs, but the last one's, that are zeroed.
    dropout_rng : Generator, optional
        Draws the dropout. Given, the graph is one for training; not given, there is neither dropout nor
        backward.
    rng, fix_parameters
        As in :func:`affine`.

    Returns
    -------
    Variable (frames, batch, D · H)
    """
    directions, init, need_grad = 2 if bidirectional else 1, GatesInitializer(rng), not fix_parameters

    def parameter(name: str, *shape: int, init: I.BaseInitializer = init) -> nn.Variable:
        return get_parameter_or_create(name, shape, init, True, need_grad)

    gates = directions, 4, hidden_size
    weight_l0 = parameter("weight_l0", *gates, x.shape[2] + hidden_size)
    weight = None
    if num_layers > 1:
        weight = parameter("weight", num_layers - 1, *gates, directions * hidden_size + hidden_size)
    bias = parameter("bias", num_layers, *gates, init=I.ConstantInitializer(0))
    return ops.lstm(x, weight_l0, weight, bias, dropout=dropout, rng=dropout_rng)


class GatesInitializer(I.BaseInitializer):
    """Draw the weights of an LSTM's gates, for its input and for its state each as [1]_.

    Parameters
    ----------
    rng : RandomState, optional
        By default NNabla's own.

    Examples
    --------
    >>> GatesInitializer(np.random.RandomState(0))(shape=(2, 4, 3, 5 + 3)).shape
    (2, 4, 3, 8)
    """

    def __init__(self, rng: np.random.RandomState | None = None) -> None:
        self.rng = rng

    def __call__(self, shape: Sequence[int]) -> np.ndarray:
        """Draw a float32 array of shape (…, hidden, in + hidden)."""
        *front, hidden, width = shape
        parts = [
            I.UniformInitializer(I.calc_uniform_lim_glorot(n, hidden), self.rng)((*front, hidden, n))
            for n in (width - hidden, hidden)
        ]
        return np.concatenate(parts, axis=-1)


def _matrix(rows: int, columns: int, rng: np.random.RandomState | None, fixed: bool) -> nn.Variable:
    init = I.UniformInitializer(I.calc_uniform_lim_glorot(rows, columns), rng)
    return get_parameter_or_create("W", (rows, columns), init, True, not fixed)


def _norm(columns: int, fixed: bool) -> list[nn.Variable]:
    """beta, gamma, mean and var."""
    initial, shape = {"beta": 0, "gamma": 1, "mean": 0, "var": 1}, (1, 1, columns)
    return [
        get_parameter_or_create(name, shape, I.ConstantInitializer(initial[name]), need, need and not fixed)
        for name, _, _, need in _STATISTICS
    ]
