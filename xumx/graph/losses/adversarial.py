"""Adversarial losses: discriminators, trained beside the separator, tell estimates from recordings.

There is one for each source. It sees magnitudes of that source alone and judges each patch of them. What it
is shown as real need not belong to the mixture, so that recordings of a source without any mixture will do
[1]_. Each loss has two sides: the separator's, which is a loss like any other, and the discriminator's.

References
----------
.. [1] Stoller, Ewert & Dixon, "Adversarial Semi-Supervised Audio Source Separation Applied to Singing Voice
   Extraction", ICASSP 2018, arXiv:1711.00048.
.. [2] Mao, Li, Xie, Lau, Wang & Smolley, "Least Squares Generative Adversarial Networks", ICCV 2017,
   arXiv:1611.04076.
.. [3] Lim & Ye, "Geometric GAN", 2017, arXiv:1705.02894.
.. [4] Isola, Zhu, Zhou & Efros, "Image-to-Image Translation with Conditional Adversarial Networks",
   CVPR 2017, arXiv:1611.07004.
.. [5] He, Zhang, Ren & Sun, "Delving Deep into Rectifiers", ICCV 2015, arXiv:1502.01852.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any

import nnabla as nn
import nnabla.functions as F
import numpy as np
from nnabla.parameter import get_parameter_or_create

from xumx.network.config import ModelConfig

SCOPE = "discriminator/"
"""What the names of all parameters of discriminators begin with."""

CHANNELS = (8, 16, 32, 1)
"""Of the convolutions' outputs, the last of which are the scores."""

KERNEL, STRIDE = (3, 5), (2, 4)
"""Frames and bins; the last convolution has stride 1."""

SLOPE = 0.2
"""Of the leaky rectifiers."""

Critics = list[Callable[[nn.Variable], nn.Variable]]


def least_squares(
    estimates: list[nn.Variable], targets: list[nn.Variable], critics: Critics, ops: Any
) -> nn.Variable:
    """Compute ``Σ_j mean (D_j(x_j) − 1)²``, the separator's side of the least-squares loss [2]_.

    Parameters
    ----------
    estimates : list of n Variable (frames, batch, channels, bins)
        Magnitudes x.
    targets : list
        Not looked at: real examples are the discriminators' matter.
    critics : list of n functions
        D_j: from a magnitude to the scores of its patches, as :func:`discriminate` gives them.
    ops : module
        See :func:`xumx.graph.ops_for`.

    Returns
    -------
    Variable ()

    Examples
    --------
    >>> x = [nn.Variable.from_numpy_array([1, 2])]
    >>> loss = least_squares(x, [], [lambda magnitude: 0.5 * magnitude], None)
    >>> loss.forward()
    >>> float(loss.d)  # scores of 0.5 and 1
    0.125
    """
    return _total(F.mean((scores - 1) ** 2) for scores in _judge(critics, estimates))


def hinge(
    estimates: list[nn.Variable], targets: list[nn.Variable], critics: Critics, ops: Any
) -> nn.Variable:
    """Compute ``−Σ_j mean D_j(x_j)``, the separator's side of the hinge loss [3]_.

    Parameters, returns
    -------------------
    As :func:`least_squares`.

    Examples
    --------
    >>> x = [nn.Variable.from_numpy_array([1, 2])]
    >>> loss = hinge(x, [], [lambda magnitude: 0.5 * magnitude], None)
    >>> loss.forward()
    >>> float(loss.d)
    -0.75
    """
    return -_total(F.mean(scores) for scores in _judge(critics, estimates))


def least_squares_critic(real: list[nn.Variable], fake: list[nn.Variable], critics: Critics) -> nn.Variable:
    """Compute ``½ Σ_j mean (D_j(y_j) − 1)² + mean D_j(x_j)²``, the other side of :func:`least_squares` [2]_.

    Parameters
    ----------
    real, fake : lists of n Variable (frames, batch, channels, bins)
        Magnitudes y and x.
    critics : list of n functions
        As in :func:`least_squares`.

    Returns
    -------
    Variable ()

    Examples
    --------
    >>> x, y = [nn.Variable.from_numpy_array([1, 2])], [nn.Variable.from_numpy_array([0, 4])]
    >>> loss = least_squares_critic(y, x, [lambda magnitude: magnitude])
    >>> loss.forward()
    >>> float(loss.d)  # half of 5 and of 2.5
    3.75
    """
    sides = [*((s - 1) ** 2 for s in _judge(critics, real)), *(s**2 for s in _judge(critics, fake))]
    return 0.5 * _total(F.mean(side) for side in sides)


def hinge_critic(real: list[nn.Variable], fake: list[nn.Variable], critics: Critics) -> nn.Variable:
    """Compute ``Σ_j mean max(0, 1 − D_j(y_j)) + mean max(0, 1 + D_j(x_j))``, beside :func:`hinge` [3]_.

    Parameters, returns
    -------------------
    As :func:`least_squares_critic`.

    Examples
    --------
    >>> x, y = [nn.Variable.from_numpy_array([1, 2])], [nn.Variable.from_numpy_array([0, 4])]
    >>> loss = hinge_critic(y, x, [lambda magnitude: magnitude])
    >>> loss.forward()
    >>> float(loss.d)  # 0.5 and 2.5
    3.0
    """
    sides = [*(1 - s for s in _judge(critics, real)), *(1 + s for s in _judge(critics, fake))]
    return _total(F.mean(F.relu(side)) for side in sides)


def create_discriminators(config: ModelConfig, rng: np.random.RandomState) -> None:
    """Fill the current parameter scope with new discriminators, their weights normal as in [5]_.

    Parameters
    ----------
    config : ModelConfig
    rng : RandomState

    Examples
    --------
    >>> config = ModelConfig(sources=("a", "b"))
    >>> with nn.parameter_scope("", {}):
    ...     create_discriminators(config, np.random.RandomState(0))
    ...     scores = discriminate(nn.Variable((16, 1, 2, 129)), "a", frozen=True)
    ...     print(len(nn.get_parameters()), scores.shape)
    16 (1, 1, 2, 3)
    """
    for name, shape in discriminator_shapes(config).items():
        gain = (2 / (1 + SLOPE**2)) ** 0.5 * np.prod(shape[1:]) ** -0.5
        value = rng.normal(0, gain, shape) if len(shape) > 1 else np.zeros(shape)
        parameter = get_parameter_or_create(name, shape)
        parameter.d = value


def discriminator_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Name, in the scope of the graph, and shape of all parameters of the discriminators."""
    shapes = _shapes(config.nb_channels).items()
    return {SCOPE + f"{source}/{name}": shape for source in config.sources for name, shape in shapes}


def discriminate(magnitude: nn.Variable, source: str, *, frozen: bool) -> nn.Variable:
    """Score the patches of a magnitude by a source's discriminator in the current parameter scope.

    A score is high for what seems real.

    Four convolutions over log(1 + magnitude), with leaky rectifiers between them; each score sees a patch of
    31 frames and 341 bins [4]_. There is no normalisation: the scores of one excerpt do not depend on others.

    Parameters
    ----------
    magnitude : Variable (frames, batch, channels, bins)
    source : str
    frozen : bool
        Leave the parameters without gradients, as the separator's side needs it.

    Returns
    -------
    Variable (batch, 1, frames / 8, bins / 64)
        Rounded up.
    """
    y = F.log(F.transpose(magnitude, (1, 2, 0, 3)) + 1)
    pad = tuple(size // 2 for size in KERNEL)
    parameters = []
    for name, shape in _shapes(magnitude.shape[2]).items():
        parameter = get_parameter_or_create(SCOPE + f"{source}/{name}", shape)
        parameters.append(parameter.get_unlinked_variable(need_grad=False) if frozen else parameter)
        parameters[-1].persistent = True
    layers = list(zip(parameters[::2], parameters[1::2], strict=True))
    for weight, bias in layers[:-1]:
        y = F.leaky_relu(F.convolution(y, weight, bias, pad=pad, stride=STRIDE), SLOPE)
    return F.convolution(y, *layers[-1], pad=pad)


def _shapes(channels: int) -> dict[str, tuple[int, ...]]:
    """Name and shape of a discriminator's parameters, weight and bias in turn."""
    shapes: dict[str, tuple[int, ...]] = {}
    for number, (inputs, outputs) in enumerate(zip((channels, *CHANNELS), CHANNELS), start=1):
        shapes[f"conv{number}/W"] = (outputs, inputs, *KERNEL)
        shapes[f"conv{number}/b"] = (outputs,)
    return shapes


def _judge(critics: Critics, magnitudes: list[nn.Variable]) -> list[nn.Variable]:
    return [critic(magnitude) for critic, magnitude in zip(critics, magnitudes, strict=True)]


def _total(values: Any) -> nn.Variable:
    return reduce(add, values)
