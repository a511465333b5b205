"""Distances between estimates and targets, value by value: of magnitudes, of waveforms, or of anything else.

Each is a mean over all values of a source (frames, batch, channels and bins, or batch, channels and
samples), summed over the sources, as in the study that compares them [1]_.

References
----------
.. [1] Gusó, Pons, Pascual & Serrà, "On Loss Functions and Evaluation Metrics for Music Source Separation",
   ICASSP 2022, arXiv:2202.07968.
.. [2] Heitkaemper, Jakobeit, Boeddeker, Drude & Haeb-Umbach, "Demystifying TasNet: A Dissecting Approach",
   ICASSP 2020, arXiv:1911.08895.
.. [3] Huang, Kim, Hasegawa-Johnson & Smaragdis, "Joint Optimization of Masks and Deep Recurrent Neural
   Networks for Monaural Source Separation", IEEE/ACM TASLP 2015, arXiv:1502.04149.
"""

from __future__ import annotations

import math
from functools import reduce
from operator import add
from typing import Any

import nnabla as nn
import nnabla.functions as F
import numpy as np

EPS = float(np.finfo(np.float32).eps)
"""Added to what a logarithm is taken of, and to what is divided by."""

DISSIMILARITY = 0.1
"""Weight of the distance to all targets in :func:`dissimilarity`."""


def l1(estimates: list[nn.Variable], targets: list[nn.Variable], ops: Any) -> nn.Variable:
    """Compute ``Σ_j mean |x_j − y_j|``, the mean absolute error [1]_.

    Parameters
    ----------
    estimates, targets : lists of n Variable, all of one shape
        x and y; the targets are constants.
    ops : module
        See :func:`xumx.graph.ops_for`.

    Returns
    -------
    Variable ()

    Examples
    --------
    >>> from xumx.graph.ops import cpu as cpu_ops
    >>> x, y = [nn.Variable.from_numpy_array([1, 2])], [nn.Variable.from_numpy_array([0, 4])]
    >>> loss = l1(x, y, cpu_ops)
    >>> loss.forward()
    >>> float(loss.d)
    1.5
    """
    return _total(_absolute_errors(estimates, targets))


def l2(estimates: list[nn.Variable], targets: list[nn.Variable], ops: Any) -> nn.Variable:
    """Compute ``Σ_j mean (x_j − y_j)²``, the mean squared error [1]_.

    Parameters, returns
    -------------------
    As :func:`l1`.

    Examples
    --------
    >>> from xumx.graph.ops import cpu as cpu_ops
    >>> x, y = [nn.Variable.from_numpy_array([1, 2])], [nn.Variable.from_numpy_array([0, 4])]
    >>> loss = l2(x, y, cpu_ops)
    >>> loss.forward()
    >>> float(loss.d)
    2.5
    """
    return F.sum(_squared_errors(estimates, targets, ops))


def log_l1(estimates: list[nn.Variable], targets: list[nn.Variable], ops: Any) -> nn.Variable:
    """Compute ``Σ_j 10 log₁₀ mean |x_j − y_j|``, in decibels [2]_: quiet sources count as much as loud ones.

    Parameters, returns
    -------------------
    As :func:`l1`.

    Examples
    --------
    >>> from xumx.graph.ops import cpu as cpu_ops
    >>> x, y = [nn.Variable.from_numpy_array([1, 2])], [nn.Variable.from_numpy_array([0, 4])]
    >>> loss = log_l1(x, y, cpu_ops)
    >>> loss.forward()
    >>> round(float(loss.d), 3)  # of 1.5
    1.761
    """
    return _total([decibels(error) for error in _absolute_errors(estimates, targets)])


def log_l2(estimates: list[nn.Variable], targets: list[nn.Variable], ops: Any) -> nn.Variable:
    """Compute ``Σ_j 10 log₁₀ mean (x_j − y_j)²``, in decibels [2]_; the gradient of minus the SNR.

    Parameters, returns
    -------------------
    As :func:`l1`.

    Examples
    --------
    >>> from xumx.graph.ops import cpu as cpu_ops
    >>> x, y = [nn.Variable.from_numpy_array([1, 2])], [nn.Variable.from_numpy_array([0, 4])]
    >>> loss = log_l2(x, y, cpu_ops)
    >>> loss.forward()
    >>> round(float(loss.d), 3)  # of 2.5
    3.979
    """
    return F.sum(decibels(_squared_errors(estimates, targets, ops)))


def dissimilarity(estimates: list[nn.Variable], targets: list[nn.Variable], ops: Any) -> nn.Variable:
    """Compute ``Σ_j mean (x_j − y_j)² − γ Σ_j Σ_i mean (x_j − y_i)²``: unlike the other sources too [3]_.

    γ is ``DISSIMILARITY``. As in the study [1]_ the double sum is over all targets, the own one among them;
    with their mean ȳ, ``Σ_ji |x_j − y_i|² = n Σ_j |x_j − ȳ|² + n Σ_i |y_i − ȳ|²``, so that 2n distances do
    for n². It has a least value as long as γ n < 1.

    Parameters, returns
    -------------------
    As :func:`l1`; for two sources or more.

    Examples
    --------
    >>> from xumx.graph.ops import cpu as cpu_ops
    >>> one, other = ([nn.Variable.from_numpy_array([v]) for v in (1, 2)] for _ in range(2))
    >>> loss = dissimilarity(one, other, cpu_ops)
    >>> loss.forward()
    >>> round(float(loss.d), 3)  # 0.1 · 2 · (2 − 1)²
    -0.2
    """
    n = len(estimates)
    middle = [_total(targets) / n] * n
    spread = l2(estimates, middle, ops) + l2(targets, middle, ops)
    return l2(estimates, targets, ops) - DISSIMILARITY * n * spread


def decibels(power: nn.Variable) -> nn.Variable:
    """Convert a power to decibels: ``10 log₁₀(power + EPS)``.

    Examples
    --------
    >>> y = decibels(nn.Variable.from_numpy_array([100, 0]))
    >>> y.forward()
    >>> y.d.round(1).tolist()
    [20.0, -69.19999694824219]
    """
    return 10 / math.log(10) * F.log(power + EPS)


def _absolute_errors(estimates: list[nn.Variable], targets: list[nn.Variable]) -> list[nn.Variable]:
    return [F.mean(F.absolute_error(x, y)) for x, y in zip(estimates, targets, strict=True)]


def _squared_errors(estimates: list[nn.Variable], targets: list[nn.Variable], ops: Any) -> nn.Variable:
    """The mean of each source, (n,)."""
    errors = [ops.error_gram([x], [y]) for x, y in zip(estimates, targets, strict=True)]
    return F.reshape(F.stack(*errors, axis=0), (-1,))


def _total(values: list[nn.Variable]) -> nn.Variable:
    return reduce(add, values)
