"""Distances between masks and ideal masks, which follow from the magnitudes of the targets.

What the sources do not explain of the mixture, the residual, counts as one more source: so these losses mean
something for a network of one source too. It is silent where the sources make up the mixture, as in the
study [1]_.

References
----------
.. [1] Gusó, Pons, Pascual & Serrà, "On Loss Functions and Evaluation Metrics for Music Source Separation",
   ICASSP 2022, arXiv:2202.07968.
.. [2] Wang, Narayanan & Wang, "On Training Targets for Supervised Speech Separation", IEEE/ACM TASLP 2014.
"""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

import nnabla as nn
import nnabla.functions as F

from xumx.graph.losses import distance

_TINY = 1e-18


def l1(masks: list[nn.Variable], targets: list[nn.Variable], residual: nn.Variable, ops: Any) -> nn.Variable:
    """Compute ``Σ_j mean |m_j − r_j|``, with the ideal ratio mask ``r_j = |Y_j| / (Σ_i |Y_i| + |R|)`` [2]_.

    Parameters
    ----------
    masks : list of n Variable (frames, batch, channels, bins)
    targets : list of n Variable (frames, batch, channels, bins)
        Magnitudes |Y|; constants.
    residual : Variable (frames, batch, channels, bins)
        Magnitude |R| of what the sum of the targets lacks of the mixture.
    ops : module
        See :func:`xumx.graph.ops_for`.

    Returns
    -------
    Variable ()

    Examples
    --------
    >>> from xumx.graph.ops import cpu as cpu_ops
    >>> masks = [nn.Variable.from_numpy_array([[[[v, 0]]]]) for v in (1, 0.5)]
    >>> targets = [nn.Variable.from_numpy_array([[[[v, 0]]]]) for v in (3, 1)]
    >>> residual = nn.Variable.from_numpy_array([[[[0, 0]]]])
    >>> loss = l1(masks, targets, residual, cpu_ops)
    >>> loss.forward()
    >>> float(loss.d)  # r is 0.75 and 0.25; silence has a mask of 0
    0.25
    """
    return distance.l1(masks, ratio_masks(targets, residual), ops)


def l2(masks: list[nn.Variable], targets: list[nn.Variable], residual: nn.Variable, ops: Any) -> nn.Variable:
    """Compute ``Σ_j mean (m_j − r_j)²``, with the ideal ratio mask as in :func:`l1`.

    Parameters, returns
    -------------------
    As :func:`l1`.

    Examples
    --------
    >>> from xumx.graph.ops import cpu as cpu_ops
    >>> masks = [nn.Variable.from_numpy_array([[[[v, 0]]]]) for v in (1, 0.5)]
    >>> targets = [nn.Variable.from_numpy_array([[[[v, 0]]]]) for v in (3, 1)]
    >>> residual = nn.Variable.from_numpy_array([[[[0, 0]]]])
    >>> loss = l2(masks, targets, residual, cpu_ops)
    >>> loss.forward()
    >>> float(loss.d)
    0.0625
    """
    return distance.l2(masks, ratio_masks(targets, residual), ops)


def binary_cross_entropy(
    masks: list[nn.Variable], targets: list[nn.Variable], residual: nn.Variable, ops: Any
) -> nn.Variable:
    """Compute ``−Σ_j mean (b_j log σ(m_j) + (1 − b_j) log(1 − σ(m_j)))``, the mask being a logit [1]_.

    The ideal binary mask b_j is 1 where the source is the loudest of all, and 0 elsewhere and in silence.

    Parameters, returns
    -------------------
    As :func:`l1`.

    Examples
    --------
    >>> from xumx.graph.ops import cpu as cpu_ops
    >>> masks = [nn.Variable.from_numpy_array([[[[v, 0]]]]) for v in (1, 0.5)]
    >>> targets = [nn.Variable.from_numpy_array([[[[v, 0]]]]) for v in (3, 1)]
    >>> residual = nn.Variable.from_numpy_array([[[[0, 0]]]])
    >>> loss = binary_cross_entropy(masks, targets, residual, cpu_ops)
    >>> loss.forward()
    >>> round(float(loss.d), 4)
    1.3368
    """
    ideal = binary_masks(targets, [residual])
    return reduce(add, (F.mean(F.sigmoid_cross_entropy(m, b)) for m, b in zip(masks, ideal, strict=True)))


def cross_entropy(masks: list[nn.Variable], targets: list[nn.Variable], ops: Any) -> nn.Variable:
    """Compute ``−mean Σ_j b_j log softmax_j(m)``: in each bin, the n masks are the logits of n classes [1]_.

    The class of a bin is the loudest of the sources; a silent bin has none and costs nothing.

    Parameters, returns
    -------------------
    As :func:`l1`, without the residual; for two sources or more.

    Examples
    --------
    >>> from xumx.graph.ops import cpu as cpu_ops
    >>> masks = [nn.Variable.from_numpy_array([[[[v, 0]]]]) for v in (1, 0.5)]
    >>> targets = [nn.Variable.from_numpy_array([[[[v, 0]]]]) for v in (3, 1)]
    >>> loss = cross_entropy(masks, targets, cpu_ops)
    >>> loss.forward()
    >>> round(float(loss.d), 4)
    0.237
    """
    chances = F.split(F.log_softmax(F.stack(*masks, axis=0), axis=0), axis=0)
    ideal = binary_masks(targets, [])
    return -reduce(add, (F.mean(c * b) for c, b in zip(chances, ideal, strict=True)))


def ratio_masks(targets: list[nn.Variable], residual: nn.Variable) -> list[nn.Variable]:
    """Compute each source's share in the sum of the magnitudes, the residual's among them; 0 in silence.

    Examples
    --------
    >>> *targets, residual = (nn.Variable.from_numpy_array([v, 0]) for v in (2, 1, 1))
    >>> masks = ratio_masks(targets, residual)
    >>> nn.forward_all(masks)
    >>> [mask.d.tolist() for mask in masks]
    [[0.5, 0.0], [0.25, 0.0]]
    """
    total = reduce(add, [*targets, residual]) + _TINY
    return [y / total for y in targets]


def binary_masks(targets: list[nn.Variable], others: list[nn.Variable]) -> list[nn.Variable]:
    """Compute 1 where a source is heard and none is louder, the others among them, and 0 elsewhere.

    Examples
    --------
    >>> masks = binary_masks([nn.Variable.from_numpy_array([v, 0]) for v in (3, 1)], [])
    >>> nn.forward_all(masks)
    >>> [mask.d.tolist() for mask in masks]
    [[1.0, 0.0], [0.0, 0.0]]
    """
    loudest = reduce(F.maximum2, [*targets, *others])
    return [F.greater_equal(y, loudest) * F.greater_scalar(y, 0) for y in targets]
