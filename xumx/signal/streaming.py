"""STFT and inverse STFT of audio that is not over yet: the values of :mod:`xumx.signal.stft`, frame by frame.

Frame t stands at sample t hop and reaches n_fft/2 samples to both sides, so that it is known when t hop +
n_fft/2 samples have come. The samples that no later frame reaches are then final: those before (t + 1) hop -
n_fft/2. So a sample comes out at the latest when n_fft samples have come from it on, itself included.
"""

from __future__ import annotations

import numpy as np
import scipy

from xumx.signal.stft import hann, stft


class Analysis:
    """STFT of a stream: all frames of :func:`xumx.signal.stft.stft`, each as soon as its samples are there.

    Parameters
    ----------
    n_fft, n_hop, channels : int

    Attributes
    ----------
    samples : int
        How many have come.

    Examples
    --------
    >>> audio = np.random.default_rng(0).normal(size=(1000, 2)).astype(np.float32)
    >>> analysis = Analysis(256, 64, 2)
    >>> parts = [analysis.push(block) for block in np.array_split(audio, 7)]
    >>> frames = np.concatenate([*parts, analysis.flush()])
    >>> bool(np.abs(frames - stft(audio, 256, 64)).max() < 1e-4)
    True
    """

    def __init__(self, n_fft: int, n_hop: int, channels: int) -> None:
        self._n_fft, self._n_hop = n_fft, n_hop
        # From the sample before the next frame on, which the reflection at the end may need.
        self._held = np.zeros((0, channels), np.float32)
        self._frames = 0
        self.samples = 0

    def push(self, block: np.ndarray) -> np.ndarray:
        """Take samples, float32 (samples, channels); give frames, complex64 (frames, channels, bins)."""
        half = self._n_fft // 2
        begun = self.samples >= half
        self.samples += len(block)
        self._held = np.concatenate([self._held, block])
        if self.samples < half:
            return self._ready(0)
        if not begun:
            # The window begins at 0, so that it does not matter what stands there first: no need to wait.
            before = np.zeros((2, block.shape[1]), np.float32)
            self._held = np.concatenate([before, self._held[half - 1 : 0 : -1], self._held])
        return self._ready(max(0, (len(self._held) - 1 - self._n_fft) // self._n_hop + 1))

    def flush(self) -> np.ndarray:
        """Give the last frames, with the reflection of the end in place of what does not come."""
        half = self._n_fft // 2
        if self.samples < half:
            return stft(self._held, self._n_fft, self._n_hop) if self.samples else self._ready(0)
        tail = self._held[-min(self.samples, half + 1) :]
        end = np.pad(tail, ((0, half), (0, 0)), mode="reflect")[len(tail) :]
        self._held = np.concatenate([self._held, end])
        return self._ready(self.samples // self._n_hop + 1 - self._frames)

    def _ready(self, count: int) -> np.ndarray:
        """Transform the next frames and let go of what no other needs."""
        if not count:
            return np.zeros((0, self._held.shape[1], self._n_fft // 2 + 1), np.complex64)
        used = self._held[1 : 1 + (count - 1) * self._n_hop + self._n_fft]
        self._held = self._held[count * self._n_hop :].copy()
        self._frames += count
        return stft(used, self._n_fft, self._n_hop, center=False)


class Synthesis:
    """Inverse STFT of a stream: :func:`xumx.signal.stft.istft`, as far as it is final.

    Parameters
    ----------
    n_fft, n_hop, stems, channels : int

    Examples
    --------
    >>> audio = np.random.default_rng(0).normal(size=(1000, 2)).astype(np.float32)
    >>> synthesis = Synthesis(256, 64, 1, 2)
    >>> parts = [synthesis.push(frame[None]) for frame in stft(audio, 256, 64)]
    >>> back = np.concatenate([*parts, synthesis.flush(1000)], axis=1)[0]
    >>> bool(np.abs(back - audio).max() < 1e-5)
    True
    """

    def __init__(self, n_fft: int, n_hop: int, stems: int, channels: int) -> None:
        self._n_fft, self._n_hop = n_fft, n_hop
        self._sums = np.zeros((stems, channels, n_fft), np.float32)
        self._weights = np.zeros(n_fft, np.float32)  # sum of the squared windows
        self._at = -(n_fft // 2)  # sample at which the sums, and the next frame, begin

    def push(self, frame: np.ndarray) -> np.ndarray:
        """Add the next frame, complex64 (stems, channels, bins); give float32 (stems, samples, channels)."""
        window = hann(self._n_fft)
        self._sums += scipy.fft.irfft(frame, self._n_fft, axis=2) * window
        self._weights += window**2
        return self._final(self._n_hop)

    def flush(self, samples: int) -> np.ndarray:
        """Give what is left of a stream of so many samples."""
        return self._final(samples - self._at)

    def _final(self, count: int) -> np.ndarray:
        first = min(max(0, -self._at), count)
        ready = self._sums[:, :, first:count] / self._weights[first:count]
        for array in (self._sums, self._weights):
            array[..., : self._n_fft - count] = array[..., count:].copy()
            array[..., self._n_fft - count :] = 0
        self._at += count
        return np.ascontiguousarray(ready.swapaxes(1, 2))
