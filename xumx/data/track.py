"""A track: a name and its recordings, whatever kind of data set they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xumx.audio.samples import averaged
from xumx.base.errors import AudioError
from xumx.base.errors import listing as listing
from xumx.data.recording import Recording

MIXTURE = "mixture"
"""Name of the recording that is no source but the mix of them; a track may lack it."""


@dataclass(frozen=True)
class Track:
    """Recordings that belong together and start together.

    Parameters
    ----------
    name : str
        For messages and for the cache.
    recordings : mapping of str to Recording
        Source name, or `MIXTURE`, to what was recorded; all of one sample rate.
    """

    name: str
    recordings: Mapping[str, Recording]

    @cached_property
    def samples(self) -> int:
        """Length that all recordings reach."""
        return min(recording.samples for recording in self.recordings.values())

    @property
    def sample_rate(self) -> int:
        return next(iter(self.recordings.values())).sample_rate

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(name for name in self.recordings if name != MIXTURE)

    def read(self, source: str, start: int, length: int, channels: int) -> np.ndarray:
        """Read samples ``start`` to ``start + length`` of a source or of the mixture.

        A mixture that was not recorded is the sum of the sources.

        Returns
        -------
        float32 array (length, channels)

        Raises
        ------
        AudioError
            If it cannot be decoded, or has another number of channels than 1 and ``channels``.
        """
        if source == MIXTURE and MIXTURE not in self.recordings:
            parts = (self.read(name, start, length, channels) for name in self.sources)
            return sum(parts, start=np.zeros((length, channels), np.float32))
        recording = self.recordings[source]
        return to_channels(recording.read(start, length), channels, recording)


def track_at(name: str, recordings: Mapping[str, Recording], sample_rate: int) -> Track:
    """Make a track whose recordings are read at one rate.

    Raises
    ------
    AudioError
        If one of them is empty.
    """
    resampled = {source: recording.at(sample_rate) for source, recording in recordings.items()}
    for recording in resampled.values():
        if recording.samples == 0:
            raise AudioError(f"{recording.path}: holds no audio samples")
    return Track(name, resampled)


def to_channels(audio: np.ndarray, channels: int, recording: Recording) -> np.ndarray:
    """Make one channel the mean of all, several copies of one; otherwise the number must agree.

    Parameters
    ----------
    audio : float32 array (samples, channels)
    channels : int
    recording : Recording
        Which the error names.

    Returns
    -------
    float32 array (samples, channels)

    Raises
    ------
    AudioError
        If the number does not agree.
    """
    found = audio.shape[1]
    if found == channels:
        return audio
    if channels == 1:
        return averaged(audio)
    if found == 1:
        return np.concatenate([audio] * channels, axis=1)  # repeat takes three times as long
    raise AudioError(f"{recording.path}: has {found} channels, not {channels}")
