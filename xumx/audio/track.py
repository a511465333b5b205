"""One audio stream of a file: from packets to blocks on a time line without holes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import dropwhile
from typing import Any

import av
import numpy as np

from xumx.audio.samples import BLOCK, float_samples, mixing_matrix
from xumx.errors import AudioError

PathLike = str | os.PathLike[str]

TAGS = (
    *("title", "artist", "album", "album_artist", "composer", "performer", "genre"),
    *("date", "track", "disc", "comment", "copyright", "publisher", "isrc"),
)
"""The tags worth carrying from a song to its stems; the others describe the file, not the music."""

# Formats that lead on to other files or to the network are no audio files: a playlist must not make us
# read what it names.
_PLAYLISTS = {"concat", "dash", "hls", "image2", "imf", "mlv", "rtp", "rtsp", "sap", "sdp", "vobsub"}
_SAFE = {
    "format_whitelist": ",".join(sorted(set(av.formats_available) - _PLAYLISTS)),
    "protocol_whitelist": "file",
}
# Tags are not always in the UTF-8 that they should be in; newer PyAV never minds, and has no such option.
_LENIENT: dict[str, Any] = (
    {"metadata_errors": "surrogateescape"} if hasattr(av.container.InputContainer, "metadata_errors") else {}
)

# Containers, and codecs in them, whose time stamps are exact to the sample, also after a seek. In others a
# start is found by decoding from the beginning.
_EXACT = {
    "wav": ("pcm",),
    "flac": ("flac",),
    "mp3": ("mp3",),
    "ogg": ("vorbis", "opus"),
    "mov": ("aac", "alac", "flac", "mp3", "opus", "pcm"),
}

# Formats that are nothing but frames in a row, whose duration FFmpeg guesses from the size of the file.
_HEADLESS = {"aac", "ac3", "dts", "eac3", "loas", "mp3"}


@dataclass(frozen=True)
class AudioInfo:
    """What a file says of its audio.

    Parameters
    ----------
    path : str
    sample_rate : int
        In Hz.
    channels : int
    duration : float or None
        In seconds; None when the container does not say. In a damaged file it can be wrong.
    tags : dict
        Title, artist, album and the like (`TAGS`), keys in lower case.
    maker : str
        What encoded it, as `Writer` puts it down; empty when the file does not say.
    """

    path: str
    sample_rate: int
    channels: int
    duration: float | None
    tags: dict[str, str] = field(default_factory=dict)
    maker: str = ""


class Track:
    """One audio stream of an open file, read once from front to back."""

    def __init__(self, path: PathLike, index: int) -> None:
        self.path = os.fspath(path)
        self._container = _open(self.path)
        try:
            self._stream = self._audio_stream(index)
        except BaseException:
            self._container.close()
            raise
        self._tick = self._stream.time_base or Fraction(1, av.time_base)
        self._rate = self._stream.sample_rate
        self.info = AudioInfo(self.path, self._rate, self._stream.channels, self._duration(), *self._tags())
        self._length = None if self.info.duration is None else round(self.info.duration * self._rate)
        self._formats = set(self._container.format.name.split(","))
        codecs = tuple(codec for name in self._formats for codec in _EXACT.get(name, ()))
        self._exact = self._stream.codec_context.name.startswith(codecs) and self._tick * self._rate <= 1
        self._origin = 0  # time stamp of the first sample, in ticks
        self._damage: float | None = None  # where the first loss is, in seconds
        self.end = self.info.duration  # in seconds; the true end once it is reached, None when unknown

    def __enter__(self) -> Track:
        return self

    def __exit__(self, *exc: object) -> None:
        self._container.close()

    def _audio_stream(self, index: int) -> av.AudioStream:
        streams = self._container.streams.audio
        if not streams:
            raise AudioError(f"{self.path}: holds no audio stream")
        if index >= len(streams):
            raise AudioError(f"{self.path}: has no audio stream {index}, only {len(streams)} from 0 on")
        stream = streams[index]
        if stream.codec_context is None or not stream.sample_rate or not stream.channels:
            raise AudioError(f"{self.path}: no audio in it can be decoded")
        return stream

    def _duration(self) -> float | None:
        if self._stream.duration:
            return float(self._stream.duration * self._tick)
        return self._container.duration / av.time_base if self._container.duration else None

    def _tags(self) -> tuple[dict[str, str], str]:
        """The tags worth carrying, and what encoded the file."""
        found = {**self._stream.metadata, **self._container.metadata}
        tags = {key.lower(): _text(value).strip() for key, value in found.items()}
        maker = tags.get("encoded_by") or tags.get("handler_name", "")
        return {key: tags[key] for key in TAGS if tags.get(key)}, maker

    def warn_of_damage(self) -> None:
        """Say, once and for all, what was lost so far."""
        promised, end, damage = self._promised(), self.end, self._damage
        missing = promised - end if promised is not None and end is not None else 0.0
        if missing > 0.1:
            text = f"{missing:.1f} of its {promised:.1f} s are missing"
            damage = end if damage is None else damage
        else:
            text = "what cannot be decoded is silent or left out"
        if damage is not None:
            warnings.warn(f"{self.path}: damaged or cut short at {damage:.1f} s: {text}", stacklevel=3)

    def _promised(self) -> float | None:
        """The duration, where a header states it; elsewhere it is only guessed from the size of the file."""
        stated = bool(self._formats & {"flac", "mov"})
        if "mp3" in self._formats and self._stream.start_time and self._stream.duration:
            # Counted in the LAME tag it is a whole number of samples, as a guess almost never is.
            stated = (self._stream.duration * self._tick * self._rate).denominator == 1
        return self.info.duration if stated else None

    def count(self) -> int:
        """Samples that the file holds, as it states, or as its packets add up, which are then used up."""
        guessed = bool(self._formats & _HEADLESS) and self._promised() is None
        if self._length is not None and not guessed:
            return self._length
        ticks = sum(packet.duration or 0 for packet in self._container.demux(self._stream))
        return round(ticks * self._tick * self._rate)

    def blocks(self, begin: int, channels: int) -> Iterator[np.ndarray]:
        """Blocks of (samples, channels) at the file's own rate, from its sample ``begin`` on.

        Their time line has no holes: silence stands where samples are lost.
        """
        position = begin
        for at, block in self._pieces(begin, channels):
            for hole in range(position, at, BLOCK):
                yield np.zeros((min(BLOCK, at - hole), channels), np.float32)
            position = max(position, at)
            if at + len(block) > position:
                yield block[position - at :]
                position = at + len(block)

    def _pieces(self, begin: int, channels: int) -> Iterator[tuple[int, np.ndarray]]:
        """Runs of samples, each with the position of its first; those that end before ``begin`` are left out.

        Frames are gathered into blocks inside FFmpeg's queue, so that Python works once a block.
        """
        queue = av.AudioFifo()
        at = size = 0  # position of the first sample in the queue; samples in the last frame
        kind: tuple[str, str] | None = None
        matrix: np.ndarray | None = None

        def take(count: int) -> Iterator[tuple[int, np.ndarray]]:
            nonlocal at
            frame = queue.read(count) if count else None
            if frame is not None and at + count > begin:
                block = float_samples(frame)
                yield at, block if matrix is None else block @ matrix
            at += count

        for frame in self._frames(begin):
            if frame.sample_rate != self._rate or (channels > 2 and frame.layout.nb_channels != channels):
                where = f"at {at / self._rate:.1f} s"
                raise AudioError(f"{self.path}: its sample rate or channels change {where}; convert it first")
            end = at + queue.samples
            position = self._position(frame, None if kind is None else end)
            if position != end or kind != (frame.format.name, frame.layout.name):
                yield from take(queue.samples)
                queue, at = av.AudioFifo(), position
                kind, matrix = (frame.format.name, frame.layout.name), mixing_matrix(frame.layout, channels)
            size = frame.samples
            frame.pts = None  # the queue takes no stamps with holes
            queue.write(frame)
            while queue.samples >= BLOCK + size:
                yield from take(BLOCK)
        count = queue.samples
        if "mov" in self._formats and self._length is not None and 0 < at + count - self._length < size:
            count = self._length - at  # FFmpeg before 9 leaves the padding of the last frame in
        yield from take(count)
        self.end = at / self._rate or None

    def _frames(self, begin: int) -> Iterator[av.AudioFrame]:
        """Decoded frames from the beginning, or from about a second before sample ``begin``."""
        frames = self._decoded()
        first = next(frames, None)
        if first is None:
            what = "holds no audio samples" if self._damage is None else "no audio in it can be decoded"
            raise AudioError(f"{self.path}: {what}")
        self._origin = first.pts or 0
        lead = begin - self._rate  # decoders need a run-in: mp3's bit reservoir, windows that overlap
        if lead <= 0 or not self._exact or self._length is None or begin >= self._length:
            yield first
            yield from frames
            return
        try:
            self._container.seek(self._origin + round(lead / (self._tick * self._rate)), stream=self._stream)
        except av.FFmpegError as error:
            where = f"from {begin // self._rate} s on"
            raise AudioError(f"{self.path}: cannot be read {where}: {error.strerror}") from error
        yield from dropwhile(lambda frame: frame.pts is None, self._decoded())

    def _decoded(self) -> Iterator[av.AudioFrame]:
        """The frames of all packets that decode."""
        packets = self._container.demux(self._stream)
        stamp = 0
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                stamp = stamp if packet.pts is None else packet.pts
                frames = packet.decode()
            except (av.FFmpegError, ValueError):  # the second comes from decoders that did not open
                self._note_damage(stamp)
                continue
            yield from frames

    def _note_damage(self, stamp: int) -> None:
        seconds = float((stamp - self._origin) * self._tick)
        promised = self._promised()
        # Foreign tags after the last sample are no damage.
        if self._damage is None and (promised is None or seconds < promised):
            self._damage = max(0.0, seconds)

    def _position(self, frame: av.AudioFrame, expected: int | None) -> int:
        """Where a frame belongs, in samples: behind the one before it, or behind a hole."""
        if frame.pts is None:
            return expected or 0
        ticks = (frame.pts - self._origin) * self._tick.numerator * self._rate
        position = (2 * ticks + self._tick.denominator) // (2 * self._tick.denominator)
        if expected is None:
            return position
        # Coarse stamps jitter, and some drift; a hole is more than that.
        tolerance = self._rate // (50 if self._exact else 4)
        if position - expected < tolerance or self._length is None or position > self._length:
            return expected
        self._note_damage(frame.pts)
        return position


def _open(path: str) -> av.container.InputContainer:
    """Open a local file; "file:" keeps FFmpeg from taking a part of its name for a protocol."""
    try:
        if os.path.isfile(path) and os.path.getsize(path) == 0:
            raise AudioError(f"{path}: is empty")
        return av.open(f"file:{os.path.abspath(path)}", mode="r", container_options=_SAFE, **_LENIENT)
    except av.FFmpegError as error:
        what = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else "is no audio file"
        raise AudioError(f"{path}: {what}") from error


def _text(tag: str) -> str:
    """A tag that is not UTF-8 is most probably Latin-1."""
    try:
        tag.encode()
    except UnicodeEncodeError:
        return tag.encode("utf-8", "surrogateescape").decode("latin-1")
    return tag
