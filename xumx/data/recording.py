"""One audio stream of a file, read in excerpts: the only place where training data meets a decoder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile

from xumx.errors import AudioError

PCM_SUFFIXES = frozenset({".wav", ".flac", ".aif", ".aiff", ".w64"})
"""Formats that are read by libsndfile, in which a seek costs nothing; FFmpeg's libraries read the rest."""

ARRAY_SUFFIX = ".npy"
"""Decoded audio (channels, samples), int16 or float32, as :mod:`xumx.data.cache` writes it."""

PREROLL = 4096
"""Samples decoded and dropped before an excerpt, since coded frames overlap with the ones before them."""

SHORTAGE = 4096
"""Samples that may be missing of an excerpt: stated lengths of coded audio are off by up to a few frames."""

# Tags need not be in the UTF-8 that they should be in; later versions never mind.
_LENIENT: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 18 else {}


@dataclass(frozen=True)
class Recording:
    """One audio stream of one file.

    Parameters
    ----------
    path : Path
        The file.
    stream : int
        Which of its audio streams.
    samples : int
        Length at the file's own rate, as its header states it.
    channels : int
        Audio channels.
    sample_rate : int
        In Hz.
    """

    path: Path
    stream: int
    samples: int
    channels: int
    sample_rate: int

    def read(self, start: int, length: int) -> np.ndarray:
        """Samples ``start`` to ``start + length``.

        What is read depends on the file, ``start`` and ``length`` alone: a decoder is never used again,
        because AAC files with noise substitution take their noise from the decoder's past.

        Returns
        -------
        ndarray, shape (channels, length), float32
            Full scale is 1; lossy audio may exceed it.

        Raises
        ------
        ValueError
            If the excerpt reaches over the ends.
        AudioError
            If the file cannot be decoded there.
        """
        if not 0 <= start <= start + length <= self.samples:
            raise ValueError(f"samples {start} to {start + length} of {self.samples} in {self.path}")
        suffix = self.path.suffix.lower()
        if suffix == ARRAY_SUFFIX:
            return self._read_array(start, length)
        if suffix in PCM_SUFFIXES:
            return self._read_pcm(start, length)
        return self._decode(start, length)

    def _read_array(self, start: int, length: int) -> np.ndarray:
        try:
            excerpt = _mapped(self.path)[:, start : start + length]
        except (OSError, ValueError, EOFError) as error:
            raise AudioError(f"{self.path}: cannot be read: {_reason(error)}") from error
        scale = np.float32(2**-15 if excerpt.dtype == np.int16 else 1)
        return np.asarray(np.multiply(excerpt, scale, dtype=np.float32))

    def _read_pcm(self, start: int, length: int) -> np.ndarray:
        try:
            with soundfile.SoundFile(self.path) as file:
                file.seek(start)
                audio = file.read(length, dtype="float32", always_2d=True)
        except (OSError, soundfile.SoundFileError) as error:
            raise AudioError(f"{self.path}: cannot be read: {_reason(error)}") from error
        if len(audio) < length:
            raise AudioError(f"{self.path}: ends before its stated length")
        return np.ascontiguousarray(audio.T)

    def _decode(self, start: int, length: int) -> np.ndarray:
        audio = np.zeros((self.channels, length), np.float32)
        found = 0
        try:
            with _open(self.path) as container:
                stream = container.streams.audio[self.stream]
                tick = (stream.time_base or Fraction(1, self.sample_rate)) * self.sample_rate  # in samples
                origin = stream.start_time or 0
                if start > PREROLL:
                    container.seek(origin + int((start - PREROLL) / tick), stream=stream)
                for frame in container.decode(stream):
                    if frame.pts is None:
                        raise ValueError("no time stamps")
                    stamp = (frame.pts - origin) * tick.numerator
                    first = (stamp + tick.denominator // 2) // tick.denominator - start
                    begin, end = max(first, 0), min(first + frame.samples, length)
                    if begin < end:
                        _copy(frame, begin - first, audio[:, begin:end])
                        found += end - begin
                    if end == length:
                        break
        except (av.FFmpegError, OSError, IndexError, ValueError) as error:
            what = f"stream {self.stream} cannot be decoded: {_reason(error)}"
            raise AudioError(f"{self.path}: {what}") from error
        if found < length - SHORTAGE:
            raise AudioError(f"{self.path}: stream {self.stream} is shorter than it states")
        return audio


def recordings(path: str | os.PathLike[str]) -> tuple[Recording, ...]:
    """The audio streams of a file, from its header alone.

    Raises
    ------
    AudioError
        If the file is missing, is no audio, or states no length.
    """
    path = Path(path)
    try:
        if path.suffix.lower() in PCM_SUFFIXES:
            info = soundfile.info(path)
            return (Recording(path, 0, info.frames, info.channels, info.samplerate),)
        with _open(path) as container:
            found = tuple(
                Recording(path, index, _length(stream, container.duration), stream.channels, stream.rate)
                for index, stream in enumerate(container.streams.audio)
            )
    except (av.FFmpegError, soundfile.SoundFileError, OSError, ValueError) as error:
        raise AudioError(f"{path}: cannot be read: {_reason(error)}") from error
    if not found:
        raise AudioError(f"{path}: holds no audio stream")
    return found


@lru_cache(maxsize=4096)
def _mapped(path: Path) -> np.ndarray:
    return np.asarray(np.load(path, mmap_mode="r"))


def _open(path: Path) -> av.container.InputContainer:
    # "file:" keeps FFmpeg from taking a part of the name for a protocol.
    return av.open(f"file:{path.absolute()}", **_LENIENT)


def _copy(frame: av.AudioFrame, skip: int, out: np.ndarray) -> None:
    """The samples after the first ``skip``, as many as ``out`` (channels, samples) has."""
    if frame.format.name != "fltp":
        (frame,) = av.AudioResampler(format="fltp").resample(frame)
    # By the planes, since ``frame.to_ndarray`` costs as much as the decoding.
    for channel, plane in zip(out, frame.planes, strict=True):
        channel[:] = np.frombuffer(memoryview(plane), np.float32, len(channel), 4 * skip)


def _length(stream: av.AudioStream, microseconds: int | None) -> int:
    if stream.duration is not None and stream.time_base is not None:
        return round(stream.duration * stream.time_base * stream.rate)
    if microseconds is not None:
        return microseconds * stream.rate // 1_000_000
    raise ValueError("no length stated")


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")
