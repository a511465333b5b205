"""Media in, media out: the only place that knows files of sound.

Audio is float32, (samples, channels), C-contiguous, full scale 1.0. Everything streams in blocks, so that
memory does not grow with the length of a file.
"""

from __future__ import annotations

from xumx.audio.reader import decode, probe, read
from xumx.audio.samples import Resampler, first_non_finite, resample, resampled
from xumx.audio.track import TAGS, AudioInfo
from xumx.audio.writer import FORMATS, SUBTYPES, Writer

__all__ = [
    "FORMATS",
    "SUBTYPES",
    "TAGS",
    "AudioInfo",
    "Resampler",
    "Writer",
    "decode",
    "first_non_finite",
    "probe",
    "read",
    "resample",
    "resampled",
]
