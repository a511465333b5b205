"""One audio stream of a file, read in excerpts: the only place where training data meets a decoder."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile

from xumx.audio.media import AudioInfo, check_rate_of, headers
from xumx.audio.samples import BLOCK, first_non_finite, resample
from xumx.audio.stream import Track as Media
from xumx.base.errors import AudioError
from xumx.data.arrays import mapped

PCM_SUFFIXES = frozenset({".wav", ".flac", ".aif", ".aiff", ".w64"})
"""Formats that are read by libsndfile, in which a seek costs nothing, where they are what they are called."""

_PCM_BEGINS = frozenset({b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b"fLaC"})
_PCM_SUBTYPES = frozenset({"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"})

MP4_SUFFIXES = frozenset({".mp4", ".m4a"})
"""Formats of which all audio streams are listed: those of a track's stems."""

ARRAY_SUFFIX = ".npy"
"""Decoded audio, one channel after the other, int16 or float32, as :mod:`xumx.data.cache` writes it."""

SHORTAGE = 4096
"""Samples that may be missing of an excerpt: stated lengths of coded audio are off by up to a few frames."""

MARGIN = 1024
"""Samples at the lower rate that are resampled around an excerpt; the filter reaches over less than 256."""


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
        """Give the same recording, resampled as it is read; itself if it has that rate."""
        native = self.native or self
        if sample_rate == native.sample_rate:
            return native
        samples = (2 * native.samples * sample_rate + native.sample_rate) // (2 * native.sample_rate)
        return replace(native, samples=samples, sample_rate=sample_rate, native=native)

    def read(self, start: int, length: int) -> np.ndarray:
        """Read samples ``start`` to ``start + length``.

        What is read depends on the file, ``start`` and ``length`` alone: a decoder is never used again,
        because AAC files with noise substitution take their noise from the decoder's past.

        Returns
        -------
        float32 array (length, channels)
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
        if self.path.suffix.lower() == ARRAY_SUFFIX:
            return self._read_array(start, length)
        with _pcm(self.path) as file:
            return self._decode(start, length) if file is None else self._read_pcm(file, start, length)

    def blocks(self) -> Iterator[np.ndarray]:
        """Read all of it from front to back at the file's own rate, (samples, channels) float32 a block.

        Coded audio ends where its frames do, whatever length the file states.

        Raises
        ------
        AudioError
            If the file cannot be decoded.
        """
        if self.native is not None:
            yield from self.native.blocks()
            return
        parts = [(start, min(BLOCK, self.samples - start)) for start in range(0, self.samples, BLOCK)]
        if self.path.suffix.lower() == ARRAY_SUFFIX:
            yield from (self._read_array(*part) for part in parts)
            return
        with _pcm(self.path) as file:
            if file is not None:
                yield from (self._read_pcm(file, *part) for part in parts)
                return
        with Media(self.path, self.stream) as media:
            yield from media.blocks(0, self.channels)
            self._check_damage(media)

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
        return resample(native.read(first, end - first), own, rate, samples=skip + length)[skip:]

    def _read_array(self, start: int, length: int) -> np.ndarray:
        try:
            audio = _mapped(self.path, self.samples, self.channels)[start : start + length]
        except (OSError, ValueError) as error:
            raise AudioError(f"{self.path}: cannot be read: {_reason(error)}") from error
        scale = np.float32(2**-15 if audio.dtype == np.int16 else 1)
        return np.multiply(audio, scale, dtype=np.float32)

    def _read_pcm(self, file: soundfile.SoundFile, start: int, length: int) -> np.ndarray:
        try:
            file.seek(start)
            audio = file.read(length, dtype="float32", always_2d=True)
        except (OSError, soundfile.SoundFileError) as error:
            raise AudioError(f"{self.path}: cannot be read: {_reason(error)}") from error
        if len(audio) < length:
            raise AudioError(f"{self.path}: ends before its stated length")
        if file.subtype in ("FLOAT", "DOUBLE") and first_non_finite(audio) is not None:
            raise AudioError(f"{self.path}: holds NaN or infinite samples")
        return audio

    def _decode(self, start: int, length: int) -> np.ndarray:
        audio = np.zeros((length, self.channels), np.float32)
        found = 0
        with Media(self.path, self.stream) as media:
            for block in media.blocks(start, self.channels, length):
                audio[found : found + len(block)] = block
                found += len(block)
        self._check_damage(media)
        if found < length - SHORTAGE:
            raise AudioError(f"{self.path}: stream {self.stream} is shorter than it states")
        return audio

    def _check_damage(self, media: Media) -> None:
        if media.damage is not None:
            where = f"stream {self.stream} at {media.damage:.1f} s"
            raise AudioError(f"{self.path}: {where} is damaged or cut short")


def recordings(path: str | os.PathLike[str]) -> tuple[Recording, ...]:
    """Read the audio streams of a file from its header; of other formats than MP4, the first one.

    The packets of a file that has no header to state its length are counted.

    Raises
    ------
    AudioError
        If the file is missing, is no audio, or states no length.
    """
    path = Path(path)
    with _pcm(path) as file:
        if file is not None:
            check_rate_of(path, file.samplerate)
            return (Recording(path, 0, file.frames, file.channels, file.samplerate),)
    infos = headers(path, None if path.suffix.lower() in MP4_SUFFIXES else 1)
    return tuple(_recording(path, stream, info) for stream, info in enumerate(infos))


def _recording(path: Path, stream: int, info: AudioInfo) -> Recording:
    samples = info.samples
    if samples is None or info.stated is None:
        with Media(path, stream) as media:
            samples = media.count()
    return Recording(path, stream, samples, info.channels, info.sample_rate)


@contextmanager
def _pcm(path: Path) -> Iterator[soundfile.SoundFile | None]:
    """The file, open, if it holds the plain samples that its suffix promises; None for all others."""
    try:
        file = _opened(path) if path.suffix.lower() in PCM_SUFFIXES else None
    except (OSError, soundfile.SoundFileError) as error:
        raise AudioError(f"{path}: cannot be read: {_reason(error)}") from error
    if file is None:
        yield None
    else:
        with file:
            yield file if file.subtype in _PCM_SUBTYPES else None


def _opened(path: Path) -> soundfile.SoundFile | None:
    """Opened by libsndfile, if it begins as files of plain samples do."""
    with open(path, "rb") as file:
        if file.read(4) not in _PCM_BEGINS:  # libsndfile would try siblings of unknown files, too
            return None
    return soundfile.SoundFile(_plain(path))


@lru_cache(maxsize=4096)
def _mapped(path: Path, samples: int, channels: int) -> np.ndarray:
    return mapped(path, (samples, channels), np.int16, np.float32)


def _plain(path: Path) -> str | bytes:
    """As libsndfile's wrapper takes any name: on Linux and macOS it may hold bytes that are no text."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")
