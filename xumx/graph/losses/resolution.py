"""The multi-resolution STFT loss, on waveforms.

References
----------
.. [1] Yamamoto, Song & Kim, "Parallel WaveGAN: A Fast Waveform Generation Model Based on Generative
   Adversarial Networks with Multi-Resolution Spectrogram", ICASSP 2020, arXiv:1910.11480.
.. [2] Arık, Jun & Diamos, "Fast Spectrogram Inversion Using Multi-Head Convolutional Neural Networks",
   IEEE SPL 2019, arXiv:1808.06719.
"""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

import nnabla as nn

from xumx.graph.losses.distance import EPS

WINDOWS = (512, 1024, 2048)
"""Sizes of the windows; the hop is a quarter of each."""


def multi_resolution_stft(estimates: list[nn.Variable], targets: list[nn.Variable], ops: Any) -> nn.Variable:
    """Add spectral convergence and distance of log magnitudes, averaged over ``WINDOWS`` [1]_.

    With magnitudes X of the estimates and Y of the targets at one size of the window::

        (Σ (X − Y)² / Σ Y²)^½ + mean |log X − log Y|

    The sums of the spectral convergence [2]_ are over all sources, members of the batch, channels, frames and
    bins, so that a silent source divides by nothing small; the mean too is over all of these.

    Parameters
    ----------
    estimates, targets : lists of n Variable (batch, channels, samples)
        The targets are constants.
    ops : module
        See :func:`xumx.graph.ops_for`.

    Returns
    -------
    Variable ()

    Examples
    --------
    >>> from xumx.graph.ops import cpu as cpu_ops
    >>> import numpy as np
    >>> noise = np.random.default_rng(0).normal(size=(1, 1, 4000))
    >>> x, y = (nn.Variable.from_numpy_array(gain * noise) for gain in (2, 1))
    >>> loss = multi_resolution_stft([x], [y], cpu_ops)
    >>> loss.forward()
    >>> round(float(loss.d), 2)  # 1, and log 2
    1.69
    """
    batch, channels, samples = estimates[0].shape
    losses = []
    for size in WINDOWS:
        hop = size // 4
        sums = [
            ops.spectral_distance(x, y, n_fft=size, n_hop=hop)
            for x, y in zip(estimates, targets, strict=True)
        ]
        total = reduce(add, sums)
        count = len(estimates) * batch * channels * (1 + samples // hop) * (size // 2 + 1)
        losses.append((total[0] / total[1] + EPS) ** 0.5 + total[2] / count)
    return reduce(add, losses) / len(WINDOWS)
