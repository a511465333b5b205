"""One audio stream of a file, read in excerpts: the only place where training data meets a decoder."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile

from xumx.audio.samples import BLOCK, cropped, first_non_finite, resample
from xumx.audio.track import Track as Media
from xumx.data.arrays import mapped
from xumx.errors import AudioError

PCM_SUFFIXES = frozenset({".wav", ".flac", ".aif", ".aiff", ".w64"})
"""Formats that are read by libsndfile, in which a seek costs nothing; FFmpeg's libraries read the rest."""

MP4_SUFFIXES = frozenset({".mp4", ".m4a"})
"""Formats with an index of all frames, in which a seek needs no long run-in."""

ARRAY_SUFFIX = ".npy"
"""Decoded audio (channels, samples), int16 or float32, as :mod:`xumx.data.cache` writes it."""

PREROLL = 4096
"""Samples decoded and dropped before an excerpt, since coded frames overlap with the ones before them."""

SHORTAGE = 4096
"""Samples that may be missing of an excerpt: stated lengths of coded audio are off by up to a few frames."""

MARGIN = 1024
"""Samples at the lower rate that are resampled around an excerpt; the filter reaches over less than 256."""

# Tags need not be in the UTF-8 that they should be in; later versions never mind.
_LENIENT: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 18 else {}


@dataclass(frozen=True)
class Recording:
    """One audio stream of one file, at the file's own rate or at another.

    Parameters
    ----------
    path : Path
        The file.
    stream : int
        Which of its audio streams.
    samples : int
        Length at that rate, as the file's header states it.
    channels : int
        Audio channels.
    sample_rate : int
        In Hz.
    native : Recording, optional
        The same at the file's own rate, if it is another.
    """

    path: Path
    stream: int
    samples: int
    channels: int
    sample_rate: int
    native: Recording | None = None

    def at(self, sample_rate: int) -> Recording:
        """The same recording, resampled as it is read; itself if it has that rate."""
        native = self.native or self
        if sample_rate == native.sample_rate:
            return native
        samples = (2 * native.samples * sample_rate + native.sample_rate) // (2 * native.sample_rate)
        return replace(native, samples=samples, sample_rate=sample_rate, native=native)

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
        if self.native is not None:
            return self._read_resampled(self.native, start, length)
        suffix = self.path.suffix.lower()
        if suffix == ARRAY_SUFFIX:
            return self._read_array(start, length)
        if suffix in PCM_SUFFIXES:
            return self._read_pcm(start, length)
        if suffix in MP4_SUFFIXES:
            return self._decode(start, length)
        return self._stream(start, length)

    def blocks(self) -> Iterator[np.ndarray]:
        """All of it from front to back at the file's own rate, (channels, samples) float32 a block.

        Coded audio ends where its frames do, whatever length the file states.

        Raises
        ------
        AudioError
            If the file cannot be decoded.
        """
        if self.native is not None:
            yield from self.native.blocks()
        elif self.path.suffix.lower() in PCM_SUFFIXES | {ARRAY_SUFFIX}:
            for start in range(0, self.samples, BLOCK):
                yield self.read(start, min(BLOCK, self.samples - start))
        else:
            with Media(self.path, self.stream) as media:
                for block in media.blocks(0, self.channels):
                    yield np.ascontiguousarray(block.T)

    def _read_resampled(self, native: Recording, start: int, length: int) -> np.ndarray:
        """An excerpt of what resampling the whole would give.

        Both rates share an instant each ``1 / gcd`` of a second. From one of these on, and with the reach
        of the filter on either side, the resampler walks the same grid as from the beginning.
        """
        rate, own = self.sample_rate, native.sample_rate
        grid = math.gcd(rate, own)
        margin = MARGIN * max(rate, own) // own
        step = max(0, start - margin) * grid // rate
        first, skip = step * (own // grid), start - step * (rate // grid)
        end = min(native.samples, -(-(start + length + margin) * own // rate))
        audio = resample(native.read(first, end - first).T, own, rate, samples=skip + length)
        return np.ascontiguousarray(audio[skip:].T)

    def _read_array(self, start: int, length: int) -> np.ndarray:
        try:
            excerpt = _mapped(self.path, self.channels, self.samples)[:, start : start + length]
        except (OSError, ValueError) as error:
            raise AudioError(f"{self.path}: cannot be read: {_reason(error)}") from error
        scale = np.float32(2**-15 if excerpt.dtype == np.int16 else 1)
        return np.asarray(np.multiply(excerpt, scale, dtype=np.float32))

    def _read_pcm(self, start: int, length: int) -> np.ndarray:
        try:
            with soundfile.SoundFile(_plain(self.path)) as file:
                file.seek(start)
                audio = file.read(length, dtype="float32", always_2d=True)
                real = file.subtype in ("FLOAT", "DOUBLE")
        except (OSError, soundfile.SoundFileError) as error:
            raise AudioError(f"{self.path}: cannot be read: {_reason(error)}") from error
        if len(audio) < length:
            raise AudioError(f"{self.path}: ends before its stated length")
        if real and first_non_finite(audio) is not None:
            raise AudioError(f"{self.path}: holds NaN or infinite samples")
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

    def _stream(self, start: int, length: int) -> np.ndarray:
        """Of formats in which seeking takes more care."""
        audio = np.zeros((self.channels, length), np.float32)
        found = 0
        with Media(self.path, self.stream) as media:
            for block in cropped(media.blocks(start, self.channels), 0, length):
                audio[:, found : found + len(block)] = block.T
                found += len(block)
        if found < length - SHORTAGE:
            raise AudioError(f"{self.path}: stream {self.stream} is shorter than it states")
        return audio


def recordings(path: str | os.PathLike[str]) -> tuple[Recording, ...]:
    """The audio streams of a file, from its header; of other formats than MP4, the first one.

    The packets of a file that has no header to state its length are counted.

    Raises
    ------
    AudioError
        If the file is missing, is no audio, or states no length.
    """
    path = Path(path)
    try:
        if path.suffix.lower() in PCM_SUFFIXES:
            info = soundfile.info(_plain(path))
            return (Recording(path, 0, info.frames, info.channels, info.samplerate),)
        if path.suffix.lower() not in MP4_SUFFIXES:
            with Media(path, 0) as media:
                return (Recording(path, 0, media.count(), media.info.channels, media.info.sample_rate),)
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
def _mapped(path: Path, channels: int, samples: int) -> np.ndarray:
    return mapped(path, (channels, samples), np.int16, np.float32)


def _plain(path: Path) -> str | bytes:
    """As libsndfile's wrapper takes any name: on Linux and macOS it may hold bytes that are no text."""
    return str(path) if os.name == "nt" else os.fsencode(path)


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
