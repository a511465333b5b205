"""Ratios of signal to distortion: of waveforms or of magnitudes, over the whole batch at once.

All sources, members of the batch, channels, and samples or bins make one long vector each, x of the estimates
and y of the targets, as in the study [1]_; so a silent source needs no exception. Only three inner products
are needed, ⟨x, x⟩, ⟨x, y⟩ and ⟨y, y⟩. What is a square is kept from becoming less than one by rounding, and
``EPS`` in numerators and denominators keeps silence finite.

References
----------
.. [1] Gusó, Pons, Pascual & Serrà, "On Loss Functions and Evaluation Metrics for Music Source Separation",
   ICASSP 2022, arXiv:2202.07968.
.. [2] Le Roux, Wisdom, Erdogan & Hershey, "SDR - Half-baked or Well Done?", ICASSP 2019, arXiv:1811.02508.
"""

from __future__ import annotations

from typing import Any

import nnabla as nn
import nnabla.functions as F

from xumx.graph.losses.distance import EPS, decibels


def si_sdr(estimates: list[nn.Variable], targets: list[nn.Variable], ops: Any) -> nn.Variable:
    """Compute minus the scale-invariant SDR [2]_.

    It is ``−10 log₁₀(|α y|² / |α y − x|²)`` with ``α = ⟨x, y⟩ / |y|²``.

    Parameters
    ----------
    estimates, targets : lists of n Variable, all of one shape
        The targets are constants.
    ops : module
        See :func:`xumx.graph.ops_for`.

    Returns
    -------
    Variable ()
        In decibels.

    Examples
    --------
    >>> from xumx.graph.ops import cpu as cpu_ops
    >>> x, y = [nn.Variable.from_numpy_array([1, 2])], [nn.Variable.from_numpy_array([0, 4])]
    >>> loss = si_sdr(x, y, cpu_ops)
    >>> loss.forward()
    >>> round(float(loss.d), 3)  # α y is [0, 2]
    -6.021
    """
    xx, xy, yy = (F.sum(part) for part in products(estimates, targets, ops))
    signal = xy * xy / (yy + EPS)
    return decibels(F.relu(xx - signal)) - decibels(signal)


def min_snr_sd_sdr(estimates: list[nn.Variable], targets: list[nn.Variable], ops: Any) -> nn.Variable:
    """Compute minus the lesser of SNR and scale-dependent SDR [2]_: estimates too loud or too soft both cost.

    ``SNR = 10 log₁₀(|y|² / |y − x|²)``, ``SD-SDR = 10 log₁₀(|α y|² / |y − x|²)``, α as in :func:`si_sdr`.

    Parameters, returns
    -------------------
    As :func:`si_sdr`.

    Examples
    --------
    >>> from xumx.graph.ops import cpu as cpu_ops
    >>> x, y = [nn.Variable.from_numpy_array([1, 2])], [nn.Variable.from_numpy_array([0, 4])]
    >>> loss = min_snr_sd_sdr(x, y, cpu_ops)
    >>> loss.forward()
    >>> round(float(loss.d), 3)  # the SD-SDR, of 4 / 5
    0.969
    """
    xx, xy, yy = (F.sum(part) for part in products(estimates, targets, ops))
    error = decibels(F.relu(xx - 2 * xy + yy))
    return error - F.minimum2(decibels(yy), decibels(xy * xy / (yy + EPS)))


def products(
    estimates: list[nn.Variable], targets: list[nn.Variable], ops: Any
) -> tuple[nn.Variable, nn.Variable, nn.Variable]:
    """Compute ⟨x, x⟩, ⟨x, y⟩ and ⟨y, y⟩ of each source, over all its values: three Variable (n,).

    Examples
    --------
    >>> from xumx.graph.ops import cpu as cpu_ops
    >>> x, y = [nn.Variable.from_numpy_array([1, 2])], [nn.Variable.from_numpy_array([0, 4])]
    >>> found = products(x, y, cpu_ops)
    >>> nn.forward_all(found)
    >>> [v.d.tolist() for v in found]
    [[5.0], [8.0], [16.0]]
    """
    grams = []
    for pair in zip(estimates, targets, strict=True):
        # A few long rows: each is a task of its own.
        gram = ops.gram([F.reshape(v, (v.shape[0], 1, -1)) for v in pair])
        grams.append(F.sum(gram, axis=(0, 1)))
    xx, xy, _, yy = F.split(F.reshape(F.stack(*grams, axis=0), (-1, 4)), axis=1)
    return xx, xy, yy
