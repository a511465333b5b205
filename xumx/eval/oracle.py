"""Ceilings: what masks and filters of one kind can reach when they are computed from the true sources.

References
----------
.. [1] Liutkus, Badeau, "Generalized Wiener filtering with fractional power spectrograms", ICASSP 2015.
.. [2] Duong, Vincent, Gribonval, "Under-determined reverberant audio source separation using a full-rank
   spatial covariance model", IEEE TASLP, 2010.
"""

from __future__ import annotations

import norbert
import numpy as np

from xumx.signal.stft import istft, stft
from xumx.signal.wiener import wiener

_BINS = 64


def irm(mixture: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Ideal ratio mask: each source's part of the power in every bin and channel, times the mixture [1]_.

    Parameters
    ----------
    mixture : float32 array (samples, channels)
    sources : float32 array (sources, samples, channels)

    Returns
    -------
    float32 array (sources, samples, channels)
    """
    magnitudes = np.stack([np.abs(stft(source)) for source in sources])
    masked = wiener(magnitudes, stft(mixture), niter=0, softmask=True, alpha=2.0)
    return np.stack([istft(spectrogram, len(mixture)) for spectrogram in masked])


def mwf(mixture: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Multichannel Wiener filter of the local Gaussian model whose parameters are those of the truth [2]_.

    The power of a source is the mean over channels in each bin, its spatial covariance one matrix a
    frequency: one step of expectation-maximisation that starts from the truth.

    Parameters and result are those of :func:`irm`.
    """
    spectrogram = stft(mixture)
    truth = np.stack([stft(source) for source in sources])
    for start in range(0, truth.shape[-1], _BINS):  # bins are independent, and doubles are large
        bins = slice(start, start + _BINS)
        # norbert has the channels, and then the sources, last.
        y = truth[..., bins].transpose(1, 3, 2, 0).astype(np.complex128)
        x = spectrogram[..., bins].swapaxes(1, 2).astype(np.complex128)
        filtered, _, _ = norbert.expectation_maximization(y, x, iterations=1)
        truth[..., bins] = filtered.transpose(3, 0, 2, 1)
    return np.stack([istft(source, len(mixture)) for source in truth])


def frequency(mixture: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """One gain a source, frequency and channel for the whole track: each source's part of the power there.

    What equalisers could do that know the track's spectra. A network that scores no higher has learnt where
    sources lie in frequency, but not how they sound.

    Parameters and result are those of :func:`irm`.
    """
    # (sources, channels, bins)
    power = np.stack([(np.abs(stft(source)) ** 2).sum(axis=0) for source in sources])
    masks = power / np.maximum(power.sum(axis=0), np.finfo(np.float32).tiny)
    spectrogram = stft(mixture)
    return np.stack([istft(spectrogram * mask, len(mixture)) for mask in masks])


ORACLES = {"irm": irm, "mwf": mwf, "frequency": frequency}
