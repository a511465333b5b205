"""Several audio tracks in one file: stem files for DJ software and musdb, and films with other sound."""

from __future__ import annotations

import contextlib
import io
import json
import os
import struct
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np

from xumx.audio.media import audio_stream, open_media
from xumx.audio.samples import BLOCK
from xumx.audio.whole import Whole, written
from xumx.base.errors import AudioError
from xumx.base.files import aside

FILMS = {".mp4": "mp4", ".m4v": "mp4", ".mkv": "matroska"}
"""Containers that hold a film's picture beside several audio tracks, by suffix; other films become mkv."""

STEM_ORDER = ("drums", "bass", "other", "vocals")
"""In which order stem files hold the stems of a band, behind the mix: players and musdb go by it."""

_AAC = {"aac_pns": "0"}  # without noise substitution: noise made up for each stem does not sum to the mix

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # told apart by the colour-blind too

# What players do with the sum of the stems: nothing.
_MASTERING: Mapping[str, Any] = {
    "compressor": {
        "enabled": False, "input_gain": 0.0, "output_gain": 0.0, "threshold": 0.0, "dry_wet": 100,
        "attack": 0.003, "release": 0.3, "ratio": 1.0, "hp_cutoff": 20,
    },
    "limiter": {"enabled": False, "threshold": 0.0, "ceiling": 0.0, "release": 0.05},
}  # fmt: skip


class TracksWriter(Whole):
    """Encode blocks of several signals to one file of as many AAC tracks; it appears when it is whole.

    Parameters
    ----------
    path : path
        Its folder must exist.
    sample_rate : int
        In Hz.
    names : sequence of str
        What the tracks are called; players begin with the first.
    channels : 1 or 2
    bitrate : int
        Of each track, in bit/s.
    film : path, optional
        A file whose pictures are copied, as they are coded, beside the tracks.
    delay : float
        Seconds of the film before the tracks begin.
    stems : bool
        Whether the file says, in the way of Native Instruments' stem files, that its second to fifth tracks
        are the stems of the first.
    tags, maker : optional
        As for :class:`xumx.audio.Writer`.
    options : mapping, optional
        Of the encoder.

    Raises
    ------
    AudioError
        Here and in the methods, if the film has no pictures or the file cannot be written; nothing is left
        of it then.

    Examples
    --------
    >>> import tempfile
    >>> from xumx.audio import decode
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = f"{folder}/a.stem.mp4"
    ...     with TracksWriter(path, 44100, ["mix", "a", "b", "c", "d"], stems=True) as writer:
    ...         writer.write([np.zeros((1000, 2), np.float32)] * 5)
    ...     [sum(map(len, decode(path, stream=i))) for i in range(5)]
    [1000, 1000, 1000, 1000, 1000]
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sample_rate: int,
        names: Sequence[str],
        channels: int = 2,
        *,
        bitrate: int = 256_000,
        film: str | os.PathLike[str] | None = None,
        delay: float = 0.0,
        stems: bool = False,
        tags: Mapping[str, str] | None = None,
        maker: str | None = None,
        options: Mapping[str, str] = _AAC,
    ) -> None:
        self.path = Path(path)
        self._names, self._stems = tuple(names), stems
        self._rate, self._samples = sample_rate, 0
        self._first = round(delay * sample_rate)
        self._held = contextlib.ExitStack()
        self._open = True
        with self._all_or_nothing():
            self._aside = self._held.enter_context(aside(self.path.parent)) / self.path.name
            kind = FILMS[self.path.suffix.lower()]
            # Lengths in the header are then exact to the sample, not to the millisecond.
            exact = {} if kind == "matroska" else {"movie_timescale": str(sample_rate)}
            self._container = av.open(
                f"file:{os.path.abspath(self._aside)}", "w", kind, container_options=exact
            )
            self._held.callback(self._container.close)
            self._container.metadata.update(written(tags))
            if maker:
                self._container.metadata["description"] = maker
            self._pictures = _Pictures(film, self._container, self._held) if film is not None else None
            layout = "mono" if channels == 1 else "stereo"
            self._streams: list[av.AudioStream] = []
            for name in self._names:
                stream = self._container.add_stream("aac", rate=sample_rate, options=dict(options))
                stream.bit_rate, stream.layout, stream.format = bitrate, layout, "fltp"
                stream.metadata["title"] = stream.metadata["handler_name"] = name
                self._streams.append(stream)
            self._container.start_encoding()
            self._threads = self._held.enter_context(ThreadPoolExecutor(thread_name_prefix="xumx-encode"))

    def write(self, blocks: Sequence[np.ndarray]) -> None:
        """Append a block to each track, (samples, channels) float, all of one length.

        Raises
        ------
        AudioError
            If the file cannot be written.
        """
        with self._all_or_nothing():
            for first in range(0, len(blocks[0]), BLOCK):
                frames = [self._frame(block[first : first + BLOCK]) for block in blocks]
                # Encoding takes the time, and each stream has an encoder of its own; the muxer is one.
                for packets in self._threads.map(av.AudioStream.encode, self._streams, frames):
                    self._container.mux(packets)
                self._samples += frames[0].samples
                if self._pictures:
                    self._pictures.copy((self._first + self._samples) / self._rate)

    def _frame(self, block: np.ndarray) -> av.AudioFrame:
        channels = np.ascontiguousarray(block.T, np.float32)
        layout = "mono" if len(channels) == 1 else "stereo"
        frame = av.AudioFrame.from_ndarray(channels, format="fltp", layout=layout)
        frame.sample_rate, frame.time_base = self._rate, Fraction(1, self._rate)
        frame.pts = self._first + self._samples
        return frame

    def close(self) -> None:
        """Finish the file and give it its name; without effect on one that is closed or discarded."""
        if not self._open:
            return
        with self._all_or_nothing():
            for stream in self._streams:
                self._container.mux(stream.encode(None))
            if self._pictures:
                self._pictures.copy(float("inf"))
            self._container.close()
            if self._stems:
                _add_manifest(self._aside, self._names[1:])
            os.replace(self._aside, self.path)
            self._open = False
            self._held.close()

    def discard(self) -> None:
        """Leave nothing behind, nor touch what the path held before."""
        self._open = False
        with contextlib.suppress(av.FFmpegError, OSError):
            self._held.close()


def begin(film: str | os.PathLike[str], stream: int | None = None) -> float:
    """Read when the sound of a film begins, in seconds of the film.

    Raises
    ------
    AudioError
        If it cannot be read.
    """
    with open_media(film) as container:
        sound = audio_stream(container, os.fspath(film), stream)
        try:
            frame = next(container.decode(sound), None)
        except av.FFmpegError:  # said where all of it is decoded
            return 0.0
    return max(frame.time or 0.0, 0.0) if isinstance(frame, av.AudioFrame) else 0.0


class _Pictures:
    """The pictures of a film, copied as they are coded, no further than the sound has come."""

    def __init__(
        self,
        film: str | os.PathLike[str],
        container: av.container.OutputContainer,
        held: contextlib.ExitStack,
    ) -> None:
        source = held.enter_context(open_media(film))
        shown = [s for s in source.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        if not shown:
            raise AudioError(f"{os.fspath(film)}: has no picture to keep; leave `remux` out")
        try:
            self._to = {stream.index: container.add_stream_from_template(stream) for stream in shown}
        except ValueError as error:
            raise AudioError(f"{os.fspath(film)}: its pictures cannot be copied ({error})") from error
        self._container, self._packets = container, source.demux(*shown)
        self._waiting: av.Packet | None = None

    def copy(self, until: float) -> None:
        """Copy up to a time in seconds: the muxer keeps in memory what runs ahead of the sound."""
        while packet := self._waiting or next(self._packets, None):
            self._waiting = None
            if packet.dts is None:  # the empty one at the end
                continue
            if float(packet.dts * packet.time_base) > until:
                self._waiting = packet
                return
            packet.stream = self._to[packet.stream.index]
            self._container.mux(packet)


def _add_manifest(path: Path, names: Sequence[str]) -> None:
    """Put the names of the stems where players look for them: the box moov/udta/stem, as JSON.

    FFmpeg's muxer has no word for it. It writes moov last, so that what is added there moves nothing else.
    """
    shown = [{"name": name.capitalize(), "color": colour} for name, colour in zip(names, _COLOURS)]
    manifest = json.dumps({"version": 1, "mastering_dsp": _MASTERING, "stems": shown}).encode()
    with open(path, "r+b") as file:
        moov, size = _find(file, b"moov")
        file.seek(moov + 8)
        inside = file.read(size - 8)
        user, size = _find(io.BytesIO(inside), b"udta")
        kept = inside[user + 8 : user + size]
        file.seek(moov)
        more = _box(b"udta", kept + _box(b"stem", manifest))
        file.write(_box(b"moov", inside[:user] + inside[user + size :] + more))


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def _find(file: BinaryIO, wanted: bytes) -> tuple[int, int]:
    """Where a box begins in a row of them, and its bytes; the end and none if it is not there."""
    at = 0
    while len(head := file.read(16)) >= 8:
        size, kind = struct.unpack_from(">I4s", head)
        if size == 1 and len(head) == 16:
            (size,) = struct.unpack_from(">Q", head, 8)
        if kind == wanted:
            return at, size
        at += size
        file.seek(at)
    return at, 0
