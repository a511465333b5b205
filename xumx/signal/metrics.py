"""How near an estimate is to the truth, of a song as a whole: what challenges and leaderboards measure.

BSS Eval v4, frame by frame as museval has it, is in :mod:`xumx.eval`. Audio is (samples, channels), truth and
estimate of the same shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import scipy

from xumx.signal.stft import hann

DELTA = 1e-7
"""Energy that the MDX challenge adds to that of the truth and of the error."""

N_FFT, N_HOP, N_MELS = 4096, 1024, 512
"""Of fullness and bleedless."""

_FRAMES = 256  # together: some MB


def energies(truth: np.ndarray, estimate: np.ndarray) -> tuple[float, float]:
    """Sum the squares of the truth and of what the estimate differs from it by, in float64."""
    wanted = np.asarray(truth, np.float64)
    error = wanted - estimate
    return float(np.vdot(wanted, wanted)), float(np.vdot(error, error))


def ratio(signal: float, error: float) -> float:
    """Make the SDR of energies, of a song or of a stretch of it, in dB: see :func:`sdr`."""
    return 10 * math.log10((signal + DELTA) / (error + DELTA))


def sdr(truth: np.ndarray, estimate: np.ndarray) -> float:
    """Compute the SDR of the Music Demixing Challenge, in dB (Mitsufuji et al. 2022, arXiv:2108.13559).

    Over all samples and channels of a song, with δ = 1e-7::

        10 log10((Σ s² + δ) / (Σ (s - ŝ)² + δ))

    Examples
    --------
    >>> round(sdr(np.ones((10, 2)), np.full((10, 2), 0.9)), 3)
    20.0
    """
    return ratio(*energies(truth, estimate))


def si_sdr(truth: np.ndarray, estimate: np.ndarray) -> float:
    """Compute the scale-invariant SDR (Le Roux et al. 2019, arXiv:1811.02508, eq. 3), in dB.

    Channels are one signal: 10 log10(‖a s‖² / ‖a s - ŝ‖²) with a = ⟨ŝ, s⟩ / ‖s‖². Of a silent truth it is
    NaN, of an estimate that is the truth times a factor infinite.

    Examples
    --------
    >>> truth, noise = np.array([[1.0], [1.0]]), np.array([[0.1], [-0.1]])
    >>> round(si_sdr(truth, 3 * (truth + noise)), 3)
    20.0
    """
    s, e = (np.asarray(audio, np.float64).ravel() for audio in (truth, estimate))
    energy = np.vdot(s, s)
    if not energy:
        return math.nan
    scaled = np.vdot(e, s) / energy * s
    target, error = np.vdot(scaled, scaled), np.vdot(scaled - e, scaled - e)
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(target / error)) if target else -math.inf


def fullness(truth: np.ndarray, estimate: np.ndarray, rate: int = 44100) -> float:
    """Say how much of the truth is there: 100 / (1 + mean dB by which the estimate is below it).

    The mean is over those bands and frames of mel spectrograms where it is below; see :func:`levels`. As
    defined by ZFTurbo's Music-Source-Separation-Training (``bleed_full``), whose leaderboard has it.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(9000, 1)).astype(np.float32)
    >>> round(fullness(noise, noise / 10**0.2), 2), bleedless(noise, noise / 10**0.2)  # 4 dB down
    (20.0, 100.0)
    """
    return _share(-_difference(truth, estimate, rate))


def bleedless(truth: np.ndarray, estimate: np.ndarray, rate: int = 44100) -> float:
    """Say how little of all else is there: as :func:`fullness`, where the estimate is above the truth."""
    return _share(_difference(truth, estimate, rate))


def _difference(truth: np.ndarray, estimate: np.ndarray, rate: int) -> np.ndarray:
    return levels(estimate, rate) - levels(truth, rate)


def _share(above: np.ndarray) -> float:
    above = above[above > 0]
    return 100 / (1 + float(above.mean(dtype=np.float64))) if above.size else 100.0


def levels(audio: np.ndarray, rate: int = 44100) -> np.ndarray:
    """Make a mel spectrogram of magnitudes in dB, from its maximum down to 80 dB below.

    Parameters
    ----------
    audio : float array (samples, channels)
    rate : int
        In Hz.

    Returns
    -------
    float32 array (frames, channels, 512)
        Frames of 4096 samples, with zeros beyond the ends, every 1024.
    """
    padded = np.pad(np.asarray(audio, np.float32), ((N_FFT // 2, N_FFT // 2), (0, 0))).T
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT, axis=1)[:, ::N_HOP].swapaxes(0, 1)
    bank, found = mel_bank(rate).T, np.empty((*frames.shape[:2], N_MELS), np.float32)
    for start in range(0, len(frames), _FRAMES):
        part = slice(start, start + _FRAMES)
        found[part] = np.abs(scipy.fft.rfft(frames[part] * hann(N_FFT), axis=2)) @ bank
    decibels = 20 * np.log10(np.maximum(found, 1e-10))
    return np.maximum(decibels, decibels.max(initial=-np.inf) - 80)


@lru_cache(maxsize=2)
def mel_bank(rate: int) -> np.ndarray:
    """Make triangles, even on Slaney's mel scale, each of area 1 over frequency: (512, 2049) float32.

    The scale of his Auditory Toolbox is linear below 1 kHz, at 200/3 Hz a mel, and logarithmic above, where
    27 mel are a factor of 6.4.
    """
    step, knee, power = 200 / 3, 1000.0, math.log(6.4) / 27
    top = rate / 2
    highest = knee / step + math.log(top / knee) / power if top > knee else top / step
    mels = np.linspace(0, highest, N_MELS + 2)
    edges = np.where(mels < knee / step, step * mels, knee * np.exp(power * (mels - knee / step)))
    low, middle, high = (edges[i : N_MELS + i, None] for i in range(3))
    bins = np.fft.rfftfreq(N_FFT, 1 / rate)
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    bank = np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)
    return bank.astype(np.float32)


SONG_METRICS: dict[str, Callable[[np.ndarray, np.ndarray, int], float]] = {
    "sdr": lambda truth, estimate, rate: sdr(truth, estimate),
    "si-sdr": lambda truth, estimate, rate: si_sdr(truth, estimate),
    "fullness": fullness,
    "bleedless": bleedless,
}
"""Metrics of a song by name: of a truth, an estimate, and their rate."""
