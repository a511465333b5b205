"""The network as an NNabla graph: one definition of UMX, X-UMX and the joint network, over any sources.

For a source s and the input magnitude x, cropped to ``max_bin`` bins::

    e_s = tanh(BN(W1_s · ((x + input_mean_s) · input_scale_s)))
    l_s = LSTM_s(c1),  c1 = mean_s e_s  in X-UMX,  e_s  in UMX
    c2  = mean_s [e_s, l_s]             in X-UMX,  [e_s, l_s]  in UMX
    h_s = relu(BN(W2_s · c2))
    m_s = relu(output_scale_s · BN(W3_s · h_s) + output_mean_s)

In a joint network all sources share the parameters, and so the values, of all this but W3 and its BN: one
trunk as in UMX leads to h, and each m_s is made of it.

(Stöter et al. 2019, Open-Unmix, for the network; Sawata et al. 2021, arXiv:2010.04228, for the averages; Gusó
et al. 2022, arXiv:2202.07968, for the joint network. Their code squares input_mean and input_scale, which are
here what they are in Open-Unmix.)
"""

from __future__ import annotations

from typing import Any

import nnabla as nn
import nnabla.functions as F
import nnabla.initializer as I
import numpy as np
from nnabla.parameter import get_parameter_or_create

from xumx.config import ModelConfig
from xumx.weights import BN_EPS, Weights, parameter_shapes, stored_name

BN_DECAY = 0.9
"""Weight of the past in the running statistics of batch norm, NNabla's default."""

LSTM_DROPOUT = 0.4
"""Between the layers of the LSTM, while training."""


def parameter_name(config: ModelConfig, source: str, name: str) -> str:
    """Name of a parameter in the scope of the graph: that in its file, for UMX below the source's."""
    stored = stored_name(config.arch, source, name)
    return f"{source}/{stored}" if config.independent else stored


def create_parameters(
    config: ModelConfig,
    rng: np.random.RandomState,
    mean: np.ndarray | None = None,
    scale: np.ndarray | None = None,
) -> None:
    """Fill the current parameter scope with a new network.

    Parameters
    ----------
    config : ModelConfig
    rng : RandomState
        Draws the weights: uniform after Glorot & Bengio (2010), as NNabla's parametric functions do.
    mean, scale : arrays (at least max_bin,), optional
        Mean and standard deviation of the training mixtures' magnitude in each bin.
    """
    shapes = parameter_shapes(config)
    names = {parameter_name(config, s, name): name for s in config.sources for name in shapes}
    for full, name in names.items():
        if name == "input_mean" and mean is not None:
            value = -np.asarray(mean)[: config.max_bin]
        elif name == "input_scale" and scale is not None:
            value = 1.0 / np.asarray(scale)[: config.max_bin]
        else:
            value = _initial(name, shapes[name], rng)
        set_parameter(full, value)


def set_parameter(name: str, value: np.ndarray) -> None:
    """Set or create one parameter of the current scope, by its full name."""
    get_parameter_or_create(name, value.shape, np.asarray(value, np.float32), _trained(name)).d = value


def set_weights(weights: Weights) -> None:
    """Fill the current parameter scope with ``weights``."""
    for source, parameters in weights.parameters.items():
        for name, value in parameters.items():
            set_parameter(parameter_name(weights.config, source, name), value)


def get_weights(config: ModelConfig) -> Weights:
    """Copy the network out of the current parameter scope."""
    found = {name: parameter.d.copy() for name, parameter in nn.get_parameters(grad_only=False).items()}
    return Weights(
        config,
        {
            s: {name: found[parameter_name(config, s, name)] for name in parameter_shapes(config)}
            for s in config.sources
        },
    )


def estimates(
    magnitude: nn.Variable,
    config: ModelConfig,
    ops: Any,
    *,
    rng: np.random.Generator | None = None,
    bare: bool = False,
) -> list[nn.Variable]:
    """The graph from the mixture's magnitude x to that of each source, m_s · x.

    Takes its parameters from the current scope; see :func:`create_parameters` and :func:`set_weights`.

    Parameters
    ----------
    magnitude : Variable (frames, batch, channels, bins)
        A constant: it gets no gradient through the product with the mask.
    config : ModelConfig
    ops : module
        What computes the layers; see :func:`xumx.graph.ops_for`.
    rng : Generator, optional
        Draws the dropout. Given, the graph is one for training: dropout, and batch norm by the batch's
        own statistics, which move the running ones. Not given, it is one for inference.
    bare : bool
        Give the masks m_s themselves.

    Returns
    -------
    list of Variable (frames, batch, channels, bins)
        In the order of the sources; 0 or more.
    """
    net = _Network(config, ops, rng)
    if config.crossing:
        shared = _mean([net.encode(magnitude, s) for s in config.sources])
        recurrent = _mean([net.lstm(shared, s) for s in config.sources])
        both = F.concatenate(shared, recurrent, axis=2)
        hidden = [net.decode(both, s) for s in config.sources]
    elif config.independent:
        hidden = [net.trunk(magnitude, s) for s in config.sources]
    else:
        hidden = [net.trunk(magnitude, config.sources[0])] * len(config.sources)
    factor = _ones(magnitude.shape) if bare else magnitude
    return [net.head(h, s, factor) for h, s in zip(hidden, config.sources, strict=True)]


class _Network:
    def __init__(self, config: ModelConfig, ops: Any, rng: np.random.Generator | None) -> None:
        self.config, self.ops, self.rng = config, ops, rng

    def encode(self, x: nn.Variable, source: str) -> nn.Variable:
        names = ("input_mean", "input_scale", "fc1/affine/W")
        y = self.ops.normalized_affine(x, *(self.get(source, name) for name in names))
        return self.ops.batch_norm(y, *self.norm(source, "fc1"), activation="tanh", **self.statistics)

    def lstm(self, x: nn.Variable, source: str) -> nn.Variable:
        weights = [self.get(source, "lstm/lstm/weight_l0")]
        weights.append(self.get(source, "lstm/lstm/weight") if self.config.nb_layers > 1 else None)
        weights.append(self.get(source, "lstm/lstm/bias"))
        return self.ops.lstm(x, *weights, dropout=LSTM_DROPOUT if self.rng else 0.0, rng=self.rng)

    def decode(self, x: nn.Variable, source: str) -> nn.Variable:
        y = self.ops.affine(x, self.get(source, "fc2/affine/W"))
        return self.ops.batch_norm(y, *self.norm(source, "fc2"), activation="relu", **self.statistics)

    def trunk(self, x: nn.Variable, source: str) -> nn.Variable:
        encoded = self.encode(x, source)
        return self.decode(F.concatenate(encoded, self.lstm(encoded, source), axis=2), source)

    def head(self, x: nn.Variable, source: str, mixture: nn.Variable) -> nn.Variable:
        y = self.ops.affine(x, self.get(source, "fc3/affine/W"))
        output = [self.get(source, name) for name in ("output_scale", "output_mean")]
        return self.ops.mask(y, *self.norm(source, "fc3"), *output, mixture, **self.statistics)

    def norm(self, source: str, layer: str) -> list[nn.Variable]:
        return [self.get(source, f"{layer}/bn/{part}") for part in ("beta", "gamma", "mean", "var")]

    @property
    def statistics(self) -> dict[str, Any]:
        return {"batch_stat": self.rng is not None, "decay": BN_DECAY, "eps": BN_EPS}

    def get(self, source: str, name: str) -> nn.Variable:
        full = parameter_name(self.config, source, name)
        return get_parameter_or_create(full, parameter_shapes(self.config)[name], None, _trained(name))


def _mean(values: list[nn.Variable]) -> nn.Variable:
    return sum(values[1:], values[0]) / len(values)


def _ones(shape: tuple[int, ...]) -> nn.Variable:
    ones = nn.Variable(shape)
    ones.data.fill(1)
    ones.persistent = True
    return ones


def _trained(name: str) -> bool:
    return not name.endswith(("/bn/mean", "/bn/var"))


def _initial(name: str, shape: tuple[int, ...], rng: np.random.RandomState) -> np.ndarray:
    if name.endswith("/affine/W"):
        return I.UniformInitializer(I.calc_uniform_lim_glorot(*shape), rng)(shape)
    if "/weight" in name:
        hidden = shape[-2]
        parts = [(*shape[:-1], shape[-1] - hidden), (*shape[:-1], hidden)]
        return np.concatenate(
            [I.UniformInitializer(I.calc_uniform_lim_glorot(p[-1], hidden), rng)(p) for p in parts], axis=-1
        )
    ones = name.endswith(("/gamma", "/var")) or name in ("input_scale", "output_scale", "output_mean")
    return np.ones(shape) if ones else np.zeros(shape)
