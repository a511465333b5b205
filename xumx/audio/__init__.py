"""Media in, media out: the only place that knows files of sound.

Audio is float32, (samples, channels), C-contiguous, full scale 1.0. Everything streams in blocks, so that
memory does not grow with the length of a file.
"""

from __future__ import annotations

from xumx.audio.media import TAGS, AudioInfo
from xumx.audio.reader import check_part, decode, probe, read
from xumx.audio.samples import (
    HIGHEST_RATE,
    LOWEST_RATE,
    Resampler,
    as_audio,
    check_rate,
    first_non_finite,
    resample,
    resampled,
)
from xumx.audio.writer import FORMATS, SUBTYPES, Writer, check_format

__all__ = [
    "FORMATS",
    "HIGHEST_RATE",
    "LOWEST_RATE",
    "SUBTYPES",
    "TAGS",
    "AudioInfo",
    "Resampler",
    "Writer",
    "as_audio",
    "check_format",
    "check_part",
    "check_rate",
    "decode",
    "first_non_finite",
    "probe",
    "read",
    "resample",
    "resampled",
]
