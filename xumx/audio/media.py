"""The only place where files of sound are opened for reading, and what their headers say.

Separation and training both come here: what may be opened is decided once.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer
from av.stream import Disposition

from xumx.audio.samples import rate_problem
from xumx.audio.structure import STREAMED, promised_bytes
from xumx.base.errors import AudioError

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
    {"metadata_errors": "surrogateescape"} if hasattr(InputContainer, "metadata_errors") else {}
)

# Formats whose header states how long each stream is.
_STATED = {"flac", "mov", "tta"}


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
        In seconds; None when nothing tells. In a damaged file it can be wrong.
    tags : dict
        Title, artist, album and the like (`TAGS`), keys in lower case.
    stated : float or None
        The duration that the header promises. Where it is None, ``duration`` is a guess from the size of the
        file, its first bit rate or its last time stamp: it may be far too small or too large.
    maker : str
        What encoded it, as `Writer` puts it down; empty when the file does not say.
    """

    path: str
    sample_rate: int
    channels: int
    duration: float | None
    tags: dict[str, str] = field(default_factory=dict)
    stated: float | None = None
    maker: str = ""

    @property
    def samples(self) -> int | None:
        """``duration`` in samples."""
        return None if self.duration is None else round(self.duration * self.sample_rate)


def open_media(path: PathLike) -> InputContainer:
    """Open a local file, whatever its name looks like, and no other that it may name.

    Raises
    ------
    AudioError
        When it is missing, unreadable, empty or no audio file.
    """
    path = os.fspath(path)
    try:
        if os.path.isfile(path) and os.path.getsize(path) == 0:
            raise AudioError(f"{path}: is empty")
        # "file:" keeps FFmpeg from taking a part of the name for a protocol.
        return av.open(f"file:{os.path.abspath(path)}", mode="r", container_options=_SAFE, **_LENIENT)
    except av.FFmpegError as error:
        what = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else "is no audio file"
        raise AudioError(f"{path}: {what}") from error


def audio_stream(container: InputContainer, path: str, index: int | None) -> av.AudioStream:
    """Choose an audio stream by its number; if None, the first that is marked as the default, or the first.

    Raises
    ------
    AudioError
        When there is no such stream, or none that can be decoded.
    """
    streams = container.streams.audio
    if not streams:
        raise AudioError(f"{path}: holds no audio stream")
    if index is None:
        known = [stream for stream in streams if _is_decodable(stream)] or streams
        return next((stream for stream in known if stream.disposition & Disposition.default), known[0])
    if index >= len(streams):
        raise AudioError(f"{path}: has no audio stream {index}, only {len(streams)} from 0 on")
    return streams[index]


def describe(container: InputContainer, stream: av.AudioStream, path: str) -> AudioInfo:
    """Read what the header says of a stream.

    Raises
    ------
    AudioError
        When it cannot be decoded, or has a sample rate that no sound has.
    """
    if not _is_decodable(stream):
        raise AudioError(f"{path}: no audio in it can be decoded")
    rate = stream.sample_rate
    check_rate_of(path, rate)
    duration = container.duration / av.time_base if container.duration else None
    if stream.duration and stream.time_base:
        duration = float(stream.duration * stream.time_base)
    tags, maker = _tags(container, stream)
    return AudioInfo(path, rate, stream.channels, duration, tags, _stated(container, stream, path), maker)


def headers(path: PathLike, most: int | None = None) -> tuple[AudioInfo, ...]:
    """Read what a file says of each of its audio streams, or of the first ``most``.

    Raises
    ------
    AudioError
        As for `open_media` and `describe`, and for a file without any.
    """
    path = os.fspath(path)
    with open_media(path) as container:
        audio_stream(container, path, 0)
        return tuple(describe(container, stream, path) for stream in container.streams.audio[:most])


def check_rate_of(path: PathLike, rate: int) -> None:
    """Raise an AudioError for a file with a sample rate that no sound has."""
    problem = rate_problem(rate)
    if problem:
        raise AudioError(f"{os.fspath(path)}: its sample rate {problem}; is it damaged?")


def _is_decodable(stream: av.AudioStream) -> bool:
    return stream.codec_context is not None and bool(stream.sample_rate and stream.channels)


def _stated(container: InputContainer, stream: av.AudioStream, path: str) -> float | None:
    """The duration that the header promises, if it does."""
    formats = set(container.format.name.split(","))
    tick = stream.time_base or Fraction(1, av.time_base)
    duration = float(stream.duration * tick) if stream.duration else None
    codec = stream.codec_context.name
    if formats & {"aiff", "au", "caf", "w64", "wav"}:
        if not codec.startswith("pcm"):
            return None
        width = re.search(r"\d+", codec)  # of a sample in bits: pcm_s24le, but pcm_alaw
        speed = stream.sample_rate * stream.channels * (int(width[0]) if width else 8) / 8
        if formats & {"aiff", "au"}:
            return None if duration is None or duration * speed >= STREAMED else duration
        promised = promised_bytes(path) if os.path.isfile(path) else None
        return None if promised is None else promised / speed
    if formats & _STATED:
        return duration
    if "mp3" in formats and stream.start_time and stream.duration:
        # Counted in the LAME tag it is a whole number of samples, as a guess almost never is.
        return duration if (stream.duration * tick * stream.sample_rate).denominator == 1 else None
    if "matroska" in formats and len(container.streams) == 1 and container.duration:
        return container.duration / av.time_base  # of the longest stream, so of this one
    return None


def _tags(container: InputContainer, stream: av.AudioStream) -> tuple[dict[str, str], str]:
    """The tags worth carrying, and what encoded the file."""
    found = {**stream.metadata, **container.metadata}
    tags = {key.lower(): _text(value).strip() for key, value in found.items()}
    maker = tags.get("encoded_by") or tags.get("description") or tags.get("handler_name", "")
    return {key: tags[key] for key in TAGS if tags.get(key)}, maker


def _text(tag: str) -> str:
    """A tag that is not UTF-8 is most probably Latin-1."""
    try:
        tag.encode()
    except UnicodeEncodeError:
        return tag.encode("utf-8", "surrogateescape").decode("latin-1")
    return tag


SUFFIXES = (
    *(
        ".3g2",
        ".3gp",
        ".aac",
        ".ac3",
        ".aif",
        ".aifc",
        ".aiff",
        ".amr",
        ".ape",
        ".asf",
        ".au",
        ".avi",
        ".caf",
        ".dff",
    ),
    *(
        ".dsf",
        ".dts",
        ".eac3",
        ".f4v",
        ".flac",
        ".flv",
        ".m2ts",
        ".m4a",
        ".m4b",
        ".m4v",
        ".mka",
        ".mkv",
        ".mov",
        ".mp2",
    ),
    *(
        ".mp3",
        ".mp4",
        ".mpc",
        ".mpeg",
        ".mpg",
        ".mts",
        ".oga",
        ".ogg",
        ".ogv",
        ".opus",
        ".ra",
        ".rf64",
        ".rm",
        ".snd",
    ),
    *(
        ".spx",
        ".tak",
        ".ts",
        ".tta",
        ".vob",
        ".w64",
        ".wav",
        ".wave",
        ".weba",
        ".webm",
        ".wma",
        ".wmv",
        ".wv",
    ),
)
"""What is taken for a song in a folder; a file named by itself may have any suffix."""
