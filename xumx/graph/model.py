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

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import ModuleType

import nnabla as nn
import nnabla.functions as F
import nnabla.initializer as I
import numpy as np
from nnabla.parameter import get_parameter_or_create

from xumx.graph import parametric as PF
from xumx.graph.ops import stock as stock_ops
from xumx.network.config import ModelConfig
from xumx.network.weights import BN_EPS, Weights, parameter_shapes, stored_name

BN_DECAY = 0.9
"""Weight of the past in the running statistics of batch norm, NNabla's default."""

LSTM_DROPOUT = 0.4
"""Between the layers of the LSTM, while training."""


class OpenUnmix:
    """Build the layers of a source's network, or of what sources share.

    Their parameters are in the current scope, each layer's below the layer's name and ``suffix``, as in
    ``fc1_bass/affine/W``.

    Parameters
    ----------
    config : ModelConfig
    ops : module
        What computes the layers.
    suffix : str
    dropout_rng : Generator, optional
        As ``rng`` in :func:`estimates`.
    rng : RandomState, optional
        Draws new parameters; by default NNabla's own.
    initial : mapping of str to array, optional
        What a new ``input_mean`` and ``input_scale`` are, in place of 0 and 1.

    Examples
    --------
    >>> from xumx.graph import ops_for
    >>> config = ModelConfig(n_fft=64, n_hop=16, hidden_size=4, max_bin=20)
    >>> x = nn.Variable((7, 1, config.nb_channels, config.bins))
    >>> with nn.parameter_scope("", {}):
    ...     network = OpenUnmix(config, ops_for("cpu"), "_bass")
    ...     encoded = network.encoder(x)
    ...     print(*list(nn.get_parameters())[2:6])
    output_scale_bass output_mean_bass fc1_bass/affine/W fc1_bass/bn/beta
    """

    def __init__(
        self,
        config: ModelConfig,
        ops: ModuleType,
        suffix: str = "",
        *,
        dropout_rng: np.random.Generator | None = None,
        rng: np.random.RandomState | None = None,
        initial: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.config, self.ops, self.suffix = config, ops, suffix
        self.dropout_rng, self.rng = dropout_rng, rng
        self.norm = {"batch_stat": dropout_rng is not None, "decay_rate": BN_DECAY, "eps": BN_EPS}

        def vector(name: str, size: int, value: float) -> nn.Variable:
            init = (initial or {}).get(name, I.ConstantInitializer(value))
            return get_parameter_or_create(name + suffix, (size,), init)

        self.input_mean = vector("input_mean", config.max_bin, 0)
        self.input_scale = vector("input_scale", config.max_bin, 1)
        self.output_scale = vector("output_scale", config.bins, 1)
        self.output_mean = vector("output_mean", config.bins, 1)

    def encoder(self, x: nn.Variable) -> nn.Variable:
        """Build ``tanh(BN(W1 · ((x + input_mean) · input_scale)))``: (frames, batch, hidden)."""
        with nn.parameter_scope("fc1" + self.suffix):
            size = self.config.hidden_size
            y = PF.normalized_affine(x, self.input_mean, self.input_scale, size, self.ops, rng=self.rng)
            return PF.batch_normalization(y, self.ops, "tanh", **self.norm)

    def lstm(self, x: nn.Variable) -> nn.Variable:
        """Build ``LSTM(x)``, of as many layers and directions as configured: (frames, batch, hidden)."""
        with nn.parameter_scope("lstm" + self.suffix):
            return PF.lstm(
                x,
                self.config.lstm_size,
                self.ops,
                num_layers=self.config.nb_layers,
                bidirectional=not self.config.unidirectional,
                dropout=LSTM_DROPOUT if self.dropout_rng else 0.0,
                dropout_rng=self.dropout_rng,
                rng=self.rng,
            )

    def decoder(self, x: nn.Variable) -> nn.Variable:
        """Build ``relu(BN(W2 · x))`` of encoder and LSTM side by side: (frames, batch, hidden)."""
        with nn.parameter_scope("fc2" + self.suffix):
            y = PF.affine(x, self.config.hidden_size, self.ops, rng=self.rng)
            return PF.batch_normalization(y, self.ops, "relu", **self.norm)

    def mask(self, x: nn.Variable, mixture: nn.Variable, layer: str = "fc3") -> nn.Variable:
        """Build ``relu(output_scale · BN(W3 · x) + output_mean) · mixture``, of the mixture's shape."""
        with nn.parameter_scope(layer + self.suffix):
            y = PF.affine(x, self.config.nb_channels * self.config.bins, self.ops, rng=self.rng)
            output = self.output_scale, self.output_mean
            return PF.mask(y, *output, mixture, self.ops, **self.norm)

    def trunk(self, x: nn.Variable) -> nn.Variable:
        """Build all layers but the last one of a network that none crosses: (frames, batch, hidden)."""
        encoded = self.encoder(x)
        return self.decoder(F.concatenate(encoded, self.lstm(encoded), axis=2))


Network = Callable[..., OpenUnmix]


def x_umx(
    network: Network, sources: Sequence[str], x: nn.Variable, mixture: nn.Variable
) -> list[nn.Variable]:
    """Build X-UMX: a network a source, which cross in two averages (Sawata et al. 2021).

    Parameters
    ----------
    network : callable
        Makes the layers of a suffix.
    sources : sequence of str
    x, mixture : Variable (frames, batch, channels, bins)
        What the network sees, and what it masks.

    Returns
    -------
    list of Variable (frames, batch, channels, bins)
        In the order of the sources.
    """
    networks = [network(f"_{source}") for source in sources]
    encoded = _mean([net.encoder(x) for net in networks])
    recurrent = _mean([net.lstm(encoded) for net in networks])
    crossed = F.concatenate(encoded, recurrent, axis=2)
    return [net.mask(net.decoder(crossed), mixture) for net in networks]


def umx(network: Network, sources: Sequence[str], x: nn.Variable, mixture: nn.Variable) -> list[nn.Variable]:
    """Build UMX: a network a source, each in a scope, and a file, of its own (Stöter et al. 2019).

    Parameters, returns
    -------------------
    As :func:`x_umx`.
    """
    masked = []
    for source in sources:
        with nn.parameter_scope(source):
            net = network()
            masked.append(net.mask(net.trunk(x), mixture))
    return masked


def joint(
    network: Network, sources: Sequence[str], x: nn.Variable, mixture: nn.Variable
) -> list[nn.Variable]:
    """Build the joint network: sources share all layers but the last (Gusó et al. 2022).

    Parameters, returns
    -------------------
    As :func:`x_umx`.
    """
    net = network()
    hidden = net.trunk(x)
    return [net.mask(hidden, mixture, f"fc3_{source}") for source in sources]


_ARCHITECTURES = {"x-umx": x_umx, "umx": umx, "joint": joint}


def estimates(
    magnitude: nn.Variable,
    config: ModelConfig,
    ops: ModuleType,
    *,
    rng: np.random.Generator | None = None,
    bare: bool = False,
) -> list[nn.Variable]:
    """Build the graph from the mixture's magnitude x to that of each source, m_s · x.

    Takes its parameters from the current scope; see :func:`create_parameters` and :func:`set_weights`. Those
    that are not there are made, as by any parametric function of NNabla.

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

    Examples
    --------
    >>> from xumx.graph import ops_for
    >>> config = ModelConfig(n_fft=64, n_hop=16, hidden_size=4, max_bin=20)
    >>> x = nn.Variable((7, 1, config.nb_channels, config.bins))
    >>> with nn.parameter_scope("", {}):
    ...     bass, drums, vocals, other = estimates(x, config, ops_for("cpu"))
    >>> vocals.shape
    (7, 1, 2, 33)
    """
    network = partial(OpenUnmix, config, ops, dropout_rng=rng)
    mixture = _ones(magnitude.shape) if bare else magnitude
    return _ARCHITECTURES[config.arch](network, config.sources, magnitude, mixture)


def create_parameters(
    config: ModelConfig,
    rng: np.random.RandomState,
    mean: np.ndarray | None = None,
    scale: np.ndarray | None = None,
) -> None:
    """Fill the current parameter scope with a new network, one source after the other.

    Parameters
    ----------
    config : ModelConfig
    rng : RandomState
        Draws the weights: uniform after Glorot & Bengio (2010), as NNabla's parametric functions do.
    mean, scale : arrays (at least max_bin,), optional
        Mean and standard deviation of the training mixtures' magnitude in each bin.

    Examples
    --------
    >>> config = ModelConfig("umx", ("vocals",), n_fft=64, n_hop=16, hidden_size=4, max_bin=20)
    >>> with nn.parameter_scope("", {}):
    ...     create_parameters(config, np.random.RandomState(0))
    ...     for name, parameter in list(nn.get_parameters().items())[3:7]:
    ...         print(name, parameter.shape)
    vocals/output_mean (33,)
    vocals/fc1/affine/W (40, 4)
    vocals/fc1/bn/beta (1, 1, 4)
    vocals/fc1/bn/gamma (1, 1, 4)
    """
    initial = {}
    if mean is not None:
        initial["input_mean"] = np.asarray(-np.asarray(mean)[: config.max_bin], np.float32)
    if scale is not None:
        initial["input_scale"] = np.asarray(1.0 / np.asarray(scale)[: config.max_bin], np.float32)
    network = partial(OpenUnmix, config, stock_ops, rng=rng, initial=initial)
    x = nn.Variable((1, 1, config.nb_channels, config.bins))
    for source in config.sources:  # The graph is thrown away: what stays of it are its parameters.
        _ARCHITECTURES[config.arch](network, [source], x, x)


def set_parameter(name: str, value: np.ndarray) -> None:
    """Set or create one parameter of the current scope, by its full name.

    Parameters
    ----------
    name : str
    value : array
        Becomes float32.

    Raises
    ------
    ValueError
        If there is one of the name with another shape.
    """
    trained = not name.endswith(("/bn/mean", "/bn/var"))
    get_parameter_or_create(name, value.shape, np.asarray(value, np.float32), trained).d = value


def set_weights(weights: Weights) -> None:
    """Fill the current parameter scope with ``weights``.

    Raises
    ------
    ValueError
        If there is a parameter of another shape.
    """
    for source, parameters in weights.parameters.items():
        for name, value in parameters.items():
            set_parameter(parameter_name(weights.config, source, name), value)


def get_weights(config: ModelConfig) -> Weights:
    """Copy the network out of the current parameter scope; of what sources share they get one array.

    Raises
    ------
    KeyError
        If the scope holds no such network.

    Examples
    --------
    >>> config = ModelConfig("joint", n_fft=64, n_hop=16, hidden_size=4, max_bin=20)
    >>> with nn.parameter_scope("", {}):
    ...     create_parameters(config, np.random.RandomState(0))
    ...     parameters = get_weights(config).parameters
    >>> parameters["bass"]["fc2/affine/W"] is parameters["drums"]["fc2/affine/W"]
    True
    >>> parameters["bass"]["fc3/affine/W"] is parameters["drums"]["fc3/affine/W"]
    False
    """
    found = {name: parameter.d.copy() for name, parameter in nn.get_parameters(grad_only=False).items()}
    return Weights(
        config,
        {
            s: {name: found[parameter_name(config, s, name)] for name in parameter_shapes(config)}
            for s in config.sources
        },
    )


def parameter_name(config: ModelConfig, source: str, name: str) -> str:
    """What the graph's scopes make of a plain name: the one in a file; of UMX below whose file it is."""
    stored = stored_name(config.arch, source, name)
    return f"{source}/{stored}" if config.independent else stored


def _mean(values: list[nn.Variable]) -> nn.Variable:
    # Whoever gave the values may need them, but nobody needs their sum.
    return F.mul_scalar(F.add_n(*values), 1 / len(values), inplace=True)


def _ones(shape: tuple[int, ...]) -> nn.Variable:
    ones = nn.Variable(shape)
    ones.data.fill(1)
    ones.persistent = True
    return ones
