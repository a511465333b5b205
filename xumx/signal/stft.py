"""Short-time Fourier transform and its exact inverse.

Centred, periodic Hann window, reflect padding, unscaled: the values of NNabla's
``F.stft(..., center=True, pad_mode='reflect')`` and of ``torch.stft``. Spectrograms are complex64 arrays
(frames, channels, bins): the last axis, along which memory runs, is what the FFT fills and the network and
the Wiener filter walk.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy  # .fft on first use: it takes longer to import than all of NumPy
from numpy.lib.stride_tricks import sliding_window_view

_TOGETHER = 32


def stft(
    audio: np.ndarray, n_fft: int = 4096, n_hop: int = 1024, *, center: bool = True, threads: int = 1
) -> np.ndarray:
    """Transform audio: X[t, f] = sum_n w[n] x[t hop + n - n_fft/2] exp(-2πi f n / n_fft).

    Parameters
    ----------
    audio : float32 array (samples, channels)
        At least one sample.
    n_fft : int
        Window length in samples, even.
    n_hop : int
        Samples from one frame to the next, at most n_fft / 2.
    center : bool
        False leaves the padding out: frame t begins, and does not stand, at sample t hop.
    threads : int
        Threads of the FFT; they do not change the result.

    Returns
    -------
    complex64 array (frames, channels, bins)
        samples // n_hop + 1 frames ((samples - n_fft) // n_hop + 1 without padding), n_fft / 2 + 1 bins.

    Examples
    --------
    >>> seconds = np.arange(44100, dtype=np.float32) / 44100
    >>> spectrogram = stft(np.sin(2 * np.pi * 441 * seconds)[:, None])
    >>> spectrogram.shape
    (44, 1, 2049)
    >>> round(np.abs(spectrogram[20, 0]).argmax() * 44100 / 4096)  # Hz, to within a bin
    441
    """
    half = n_fft // 2 if center else 0
    # Padding keeps the order in memory, and a window whose samples lie apart takes ten times as long.
    channels = np.ascontiguousarray(audio.T, np.float32)
    padded = np.pad(channels, ((0, 0), (half, half)), mode="reflect")
    frames = sliding_window_view(padded, n_fft, axis=1)[:, ::n_hop].transpose(1, 0, 2)
    spectrum = np.empty((*frames.shape[:2], n_fft // 2 + 1), np.complex64)
    # NumPy's own memory for the product would lie as `frames` does, channel after channel, which is slow.
    windowed = np.empty((min(_TOGETHER, len(frames)), *frames.shape[1:]), np.float32)
    for part in _parts(len(frames)):
        run = np.multiply(frames[part], hann(n_fft), out=windowed[: part.stop - part.start])
        spectrum[part] = scipy.fft.rfft(run, axis=2, workers=threads)
    return spectrum


def istft(
    spectrogram: np.ndarray, samples: int, n_fft: int = 4096, n_hop: int = 1024, *, threads: int = 1
) -> np.ndarray:
    """Make the audio whose :func:`stft` is nearest to ``spectrogram``.

    In least squares (Griffin & Lim, 1984, eq. 6).

    Parameters
    ----------
    spectrogram : complex64 array (frames, channels, bins)
    samples : int
        Length of the audio the spectrogram was taken of.
    n_fft, n_hop, threads : int
        As in :func:`stft`.

    Returns
    -------
    float32 array (samples, channels)

    Examples
    --------
    >>> audio = np.random.default_rng(0).normal(size=(10000, 2)).astype(np.float32)
    >>> bool(np.abs(istft(stft(audio), 10000) - audio).max() < 1e-5)
    True
    """
    nb_frames, channels, _ = spectrogram.shape
    inverse = Inverse(nb_frames, channels, n_fft, n_hop, threads=threads)
    for part in _parts(nb_frames):
        inverse.add(part.start, spectrogram[part])
    audio = np.empty((samples, channels), np.float32)
    inverse.write(audio)
    return audio


class Inverse:
    """:func:`istft` of a spectrogram whose frames come in runs.

    Parameters
    ----------
    nb_frames, channels : int
        Of the whole spectrogram.
    n_fft, n_hop, threads : int
        As for :func:`istft`.
    """

    def __init__(
        self, nb_frames: int, channels: int, n_fft: int = 4096, n_hop: int = 1024, *, threads: int = 1
    ) -> None:
        self._nb_frames, self._n_fft, self._n_hop, self._threads = nb_frames, n_fft, n_hop, threads
        self._sums = _Sums(nb_frames, channels, n_fft, n_hop)

    def add(self, first: int, spectra: np.ndarray) -> None:
        """Take frames ``first`` and following, complex64 (frames, channels, bins)."""
        frames = scipy.fft.irfft(spectra, self._n_fft, axis=2, workers=self._threads)
        frames *= hann(self._n_fft)
        self._sums.add(first, frames)

    def write(self, audio: np.ndarray) -> None:
        """Write the audio, float32 (samples, channels), once all frames have come."""
        inside = slice(self._n_fft // 2, self._n_fft // 2 + len(audio))
        envelope = _envelope(self._nb_frames, self._n_fft, self._n_hop)[inside]
        for channel, sums in enumerate(self._sums.audio()):  # one by one: rows of two samples are slow
            np.divide(sums[inside], envelope, out=audio[:, channel])


def _parts(nb_frames: int) -> list[slice]:
    """Runs of frames that are transformed together: few enough to stay in the processor's cache."""
    return [slice(t, min(t + _TOGETHER, nb_frames)) for t in range(0, nb_frames, _TOGETHER)]


@lru_cache(maxsize=8)
def hann(n_fft: int) -> np.ndarray:
    """Make the window of all transforms: periodic Hann, float32 (n_fft,), read-only.

    Examples
    --------
    >>> hann(4).tolist()
    [0.0, 0.5, 1.0, 0.5]
    """
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)
    window.flags.writeable = False
    return window


@lru_cache(maxsize=8)
def _envelope(nb_frames: int, n_fft: int, n_hop: int) -> np.ndarray:
    """Sum of the squared windows at every sample."""
    sums = _Sums(nb_frames, 1, n_fft, n_hop)
    sums.add(0, np.broadcast_to(hann(n_fft) ** 2, (nb_frames, 1, n_fft)))
    envelope = sums.audio()[0]
    envelope.flags.writeable = False
    return envelope


class _Sums:
    """Overlap-add of frames, (frames, channels, n_fft): frame t begins at sample t * n_hop."""

    def __init__(self, nb_frames: int, channels: int, n_fft: int, n_hop: int) -> None:
        self._hops = np.zeros((channels, nb_frames - (-n_fft // n_hop) - 1, n_hop), np.float32)

    def add(self, first: int, frames: np.ndarray) -> None:
        """Add frames ``first`` and following."""
        n_hop = self._hops.shape[2]
        for k in range(0, frames.shape[2], n_hop):
            piece = frames[:, :, k : k + n_hop].transpose(1, 0, 2)
            at = first + k // n_hop
            self._hops[:, at : at + len(frames), : piece.shape[2]] += piece

    def audio(self) -> np.ndarray:
        """The sums as (channels, samples)."""
        return self._hops.reshape(len(self._hops), -1)
