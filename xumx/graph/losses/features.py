"""Distances between what a frozen network hears in estimates and in targets.

References
----------
.. [1] Sahai, Weber & McWilliams, "Spectrogram Feature Losses for Music Source Separation", EUSIPCO 2019,
   arXiv:1901.05061.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import nnabla as nn

from xumx.base.errors import UsageError
from xumx.graph.losses.distance import l2
from xumx.network.config import ModelConfig
from xumx.network.weights import BN_EPS, Weights

Encoders = list[Callable[..., nn.Variable]]

_FIRST_LAYER = (
    "input_mean",
    "input_scale",
    "fc1/affine/W",
    "fc1/bn/beta",
    "fc1/bn/gamma",
    "fc1/bn/mean",
    "fc1/bn/var",
)


def deep_features(
    estimates: list[nn.Variable], targets: list[nn.Variable], encoders: Encoders, ops: Any
) -> nn.Variable:
    """Compute ``Σ_j mean (φ_j(x_j) − φ_j(y_j))²`` with the activations φ of an encoder [1]_.

    Parameters
    ----------
    estimates, targets : lists of n Variable (frames, batch, channels, bins)
        Magnitudes; the targets are constants.
    encoders : list of n functions
        φ_j, as :func:`frozen_encoders` gives them.
    ops : module
        See :func:`xumx.graph.ops_for`.

    Returns
    -------
    Variable ()
        From 0 to 4 a source, as activations are between -1 and 1.

    Examples
    --------
    >>> from xumx.graph.ops import cpu as cpu_ops
    >>> x, y = [nn.Variable.from_numpy_array([1, 2])], [nn.Variable.from_numpy_array([0, 4])]
    >>> loss = deep_features(x, y, [lambda magnitude, ops: 0.5 * magnitude], cpu_ops)
    >>> loss.forward()
    >>> float(loss.d)
    0.625
    """
    x, y = (
        [encoder(magnitude, ops) for encoder, magnitude in zip(encoders, magnitudes, strict=True)]
        for magnitudes in (estimates, targets)
    )
    return l2(x, y, ops)


def frozen_encoders(network: Weights, config: ModelConfig, name: str) -> Encoders:
    """Build the encoder of ``network`` for each source of ``config``: the source's own, or the only one.

    An encoder is the network's first layer, ``tanh(BN(W1 · ((x + input_mean) · input_scale)))`` with the
    running statistics of its batch norm: from (frames, batch, channels, bins) to (frames, batch, hidden).

    Parameters
    ----------
    network : Weights
        The frozen network.
    config : ModelConfig
        The network to train.
    name : str
        What errors begin with.

    Raises
    ------
    UsageError
        If the network has another spectrogram than ``config``, or several encoders but none for a source.

    Examples
    --------
    >>> import numpy as np
    >>> from xumx.graph import model
    >>> from xumx.graph.ops import cpu as cpu_ops
    >>> config = ModelConfig(sources=("a", "b"), n_fft=64, n_hop=16, hidden_size=4, max_bin=20)
    >>> with nn.parameter_scope("", {}):
    ...     model.create_parameters(config, np.random.RandomState(0))
    ...     network = model.get_weights(config)
    >>> first, second = frozen_encoders(network, config, "the network")
    >>> first(nn.Variable((7, 1, 2, 33)), cpu_ops).shape
    (7, 1, 4)
    """
    found = network.config
    for field in ("sample_rate", "n_fft", "nb_channels"):
        theirs, ours = getattr(found, field), getattr(config, field)
        if theirs != ours:
            raise UsageError(f"{name} has {field} {theirs}, but the network to train has {ours}")
    encoders: Encoders = []
    for source in config.sources:
        known = found.sources[0] if len(found.sources) == 1 or found.arch == "joint" else source
        if known not in found.sources:
            raise UsageError(f"{name} has no encoder of {source}, only of {', '.join(found.sources)}")
        parameters = [nn.Variable.from_numpy_array(network.parameters[known][n]) for n in _FIRST_LAYER]
        for parameter in parameters:
            parameter.persistent = True
        encoders.append(partial(_encode, parameters))
    return encoders


def _encode(parameters: list[nn.Variable], magnitude: nn.Variable, ops: Any) -> nn.Variable:
    y = ops.normalized_affine(magnitude, *parameters[:3])
    return ops.batch_norm(y, *parameters[3:], activation="tanh", batch_stat=False, eps=BN_EPS)
