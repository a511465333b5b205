"""Distances to the part of a target that is in phase with the mixture.

An estimate is a magnitude with the mixture's phase. The nearest that it can come to a target Y in the
mixture X is ``|Y| cos(∠X − ∠Y)``, the target of both losses here; the cosine is their third argument.

References
----------
.. [1] Erdogan, Hershey, Watanabe & Le Roux, "Phase-sensitive and Recognition-boosted Speech Separation Using
   Deep Recurrent Neural Networks", ICASSP 2015.
.. [2] Erdogan & Yoshioka, "Investigations on Data Augmentation and Loss Functions for Deep Learning Based
   Speech-Background Separation", Interspeech 2018.
.. [3] Gusó, Pons, Pascual & Serrà, "On Loss Functions and Evaluation Metrics for Music Source Separation",
   ICASSP 2022, arXiv:2202.07968.
"""

from __future__ import annotations

from typing import Any

import nnabla as nn
import nnabla.functions as F

from xumx.graph.losses.distance import decibels, l2
from xumx.graph.losses.ratio import products

SATURATION = 20.0
"""Decibels beyond which an SNR hardly counts in :func:`snr_psa`."""


def psa(
    estimates: list[nn.Variable], targets: list[nn.Variable], agreements: list[nn.Variable], ops: Any
) -> nn.Variable:
    """Compute the phase-sensitive approximation [1]_, ``Σ_j mean (x_j − |Y_j| cos(∠X − ∠Y_j))²``.

    Parameters
    ----------
    estimates, targets : lists of n Variable (frames, batch, channels, bins)
        Magnitudes x and |Y|; the targets are constants.
    agreements : list of n Variable (frames, batch, channels, bins)
        cos(∠X − ∠Y).
    ops : module
        See :func:`xumx.graph.ops_for`.

    Returns
    -------
    Variable ()

    Examples
    --------
    >>> from xumx.graph.ops import cpu as cpu_ops
    >>> x, y, agreement = ([nn.Variable.from_numpy_array([[[[v]]]])] for v in (1, 4, 0.5))
    >>> loss = psa(x, y, agreement, cpu_ops)
    >>> loss.forward()
    >>> float(loss.d)  # the nearest to 4 that is in phase is 2
    1.0
    """
    return l2(estimates, [y * c for y, c in zip(targets, agreements, strict=True)], ops)


def snr_psa(
    estimates: list[nn.Variable], targets: list[nn.Variable], agreements: list[nn.Variable], ops: Any
) -> nn.Variable:
    """Average ``20 tanh(d_j / 20)``, ``d_j = −10 log₁₀(|p_j|² / |x_j − p_j|²)``, over the sources [2]_.

    The study [3]_ takes the root of the magnitude in its target, ``p_j = |Y_j|^½ cos(∠X − ∠Y_j)``, but not in
    the estimate, and so does this.

    Parameters, returns
    -------------------
    As :func:`psa`; in decibels, between -20 and 20.

    Examples
    --------
    >>> from xumx.graph.ops import cpu as cpu_ops
    >>> x, y, agreement = ([nn.Variable.from_numpy_array([[[[v]]]])] for v in (1, 4, 0.5))
    >>> loss = snr_psa(x, y, agreement, cpu_ops)
    >>> loss.forward()
    >>> round(float(loss.d))  # p is 1 as well: as good as can be
    -20
    """
    wanted = [y**0.5 * c for y, c in zip(targets, agreements, strict=True)]
    xx, xp, pp = products(estimates, wanted, ops)
    distances = decibels(F.relu(xx - 2 * xp + pp)) - decibels(pp)
    return SATURATION * F.mean(F.tanh(distances / SATURATION))
