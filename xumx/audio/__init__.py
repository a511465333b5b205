"""Media in, media out: the only place that knows files of sound.

Audio is float32, (samples, channels), C-contiguous, full scale 1.0. Everything streams in blocks, so that
memory does not grow with the length of a file.
"""

from __future__ import annotations

from xumx.audio.reader import check_part, decode, probe, read
from xumx.audio.samples import Resampler, as_audio, first_non_finite, resample, resampled
from xumx.audio.track import TAGS, AudioInfo
from xumx.audio.writer import FORMATS, SUBTYPES, Writer, check_format

__all__ = [
    "FORMATS",
    "SUBTYPES",
    "TAGS",
    "AudioInfo",
    "Resampler",
    "Writer",
    "as_audio",
    "check_format",
    "check_part",
    "decode",
    "first_non_finite",
    "probe",
    "read",
    "resample",
    "resampled",
]
