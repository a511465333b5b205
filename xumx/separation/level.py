"""Songs that are much quieter than what a network has learnt from, brought to its level while it estimates.

A network is not equivariant to level: demo's estimates of songs lose 1 dB of SDR where they are 12 dB too
quiet, and 3 dB at 24 (docs/level.md). What level a network was trained on stands in its weights: its first
parameter is the mean magnitude in each bin, which it takes off. A song's own is measured alike, from the
frames in which something sounds, as it comes: of each chunk and all before it. So a stream gives what a whole
song gives.
"""

from __future__ import annotations

import math

import numpy as np

from xumx.base.errors import UsageError
from xumx.network.config import ModelConfig
from xumx.signal.stft import stft

LEVELS = ("auto", "as-is")

QUIET = -4.0
"""dB below the trained level from which on a song is too quiet: songs differ by that much."""

AIM = 2.0
"""dB above it to which such a song is brought, which is measured without its silence."""

STEEP = 3.0
"""dB of gain for each dB below `QUIET`, until `AIM` is reached: there is no step at which it sets in."""

MOST = 40.0
"""dB of gain: what is quieter is hiss."""

_GATE = -20.0  # dB below the mean: frames of silence, or nearly
_LOWEST, _HIGHEST = -90, 60


def gain_for(level: float) -> float:
    """Return the gain in dB for a song whose level is ``level`` dB above the trained one.

    >>> [gain_for(level) for level in (5.0, 0.0, -4.0, -5.0, -7.0, -20.0, -70.0)]
    [0.0, 0.0, 0.0, 3.0, 9.0, 22.0, 40.0]
    """
    return max(min(STEEP * (QUIET - level), AIM - level, MOST), 0.0)


def check_level(level: str) -> None:
    """Raise a UsageError for what is none of :data:`LEVELS`."""
    if level not in LEVELS:
        raise UsageError(f"level must be one of {', '.join(LEVELS)}, not {level!r}")


class Meter:
    """Measures one song chunk by chunk, in memory that does not grow: how many frames have which level.

    Parameters
    ----------
    config : ModelConfig
        Of the network.
    reference : float
        Its :attr:`xumx.network.weights.Weights.level`.
    """

    def __init__(self, config: ModelConfig, reference: float) -> None:
        self._config, self._reference = config, reference
        self._counts = np.zeros(_HIGHEST - _LOWEST, np.int64)  # by whole dB above the trained level
        self._sums = np.zeros(_HIGHEST - _LOWEST)

    def gain(self, chunk: np.ndarray) -> float:
        """Return the factor for a chunk, from its level and that of those before it.

        Parameters
        ----------
        chunk : float32 array (samples, channels)
        """
        return self.gain_of(np.abs(stft(chunk, self._config.n_fft, self.every)))

    @property
    def every(self) -> int:
        """Samples after which a frame is looked at: eight hops, or four where frames overlap by half."""
        return 2 * self._config.n_fft

    def gain_of(self, magnitude: np.ndarray) -> float:
        """Return the factor from such frames of the spectrogram, and from those before them.

        Parameters
        ----------
        magnitude : float32 array (frames, channels, bins)
        """
        if not self._reference > 0:
            return 1.0
        frames = magnitude[:, :, : self._config.max_bin]
        found = frames.sum(axis=2, dtype=np.float64).mean(axis=1) / self._reference
        found = np.minimum(found[found > 10 ** (_LOWEST / 20)], 10 ** (_HIGHEST / 20))
        places = np.clip(np.floor(20 * np.log10(found)), _LOWEST, _HIGHEST - 1).astype(int) - _LOWEST
        np.add.at(self._counts, places, 1)
        np.add.at(self._sums, places, found)
        return float(10 ** (gain_for(self.level) / 20))

    @property
    def level(self) -> float:
        """dB above the trained level, of the frames in which something sounds; infinite where none does."""
        if not self._counts.any():
            return math.inf
        mean = 20 * math.log10(self._sums.sum() / self._counts.sum())
        first = min(max(math.floor(mean + _GATE) - _LOWEST, 0), len(self._counts) - 1)
        return 20 * math.log10(self._sums[first:].sum() / self._counts[first:].sum())
