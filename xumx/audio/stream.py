"""One audio stream of a file: from packets to blocks on a time line without holes.

A file is a row of packets, a packet decodes to frames, and a frame is some samples with a time stamp: the
tick of the stream's clock at which the first of them sounds. `Track` makes of them a row of samples in which
sample k sounds k / rate seconds after the first, whatever is missing in the file. Five steps, each an
iterator over the one before:

    _packets   what can be read of the file
    _decoded   the frames of the packets that decode, their stamps mended
    _frames    the same from the start of the file, or from shortly before a sample that is sought
    _pieces    blocks, and the position of each as its stamp has it
    _line      the same without holes or overlaps
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import dropwhile

import av
import numpy as np

from xumx.audio.media import PathLike, audio_stream, describe, open_media
from xumx.audio.samples import BLOCK, cropped, float_samples, mixing_matrix
from xumx.audio.structure import is_chained
from xumx.base.errors import AudioError

logger = logging.getLogger(__name__)

# Containers, and codecs in them, whose time stamps are exact to the sample, also after a seek. In others a
# start is found by decoding from the beginning.
_EXACT = {
    "wav": ("pcm",),
    "flac": ("flac",),
    "mp3": ("mp3",),
    "ogg": ("vorbis", "opus"),
    "mov": ("aac", "alac", "flac", "mp3", "opus", "pcm"),
}

_RUN_IN = 4096
"""Samples decoded before a start, since coded frames overlap with the ones before them."""

_LONG_RUN_IN = ("mp3", "opus", "vorbis")
"""Codecs that need a second of it: for bits kept back in the frames before, or until a page begins."""

# Formats that are nothing but frames in a row, whose duration FFmpeg guesses from the size of the file.
_HEADLESS = {"aac", "ac3", "dts", "eac3", "loas", "mp3"}

_SILENCE = 3600
"""Seconds of silence that may stand for lost samples, in all: time stamps can be days ahead."""


class Track:
    """One audio stream of an open file, read once from front to back.

    Parameters
    ----------
    path : path
    index : int or None
        Which of its audio streams; the one that is marked as the default when None.

    Attributes
    ----------
    info : AudioInfo
    damage : float or None
        Where the first loss after the start was met, in seconds.
    end : float or None
        The true end in seconds, once it is reached.
    """

    def __init__(self, path: PathLike, index: int | None) -> None:
        self.path = os.fspath(path)
        self._container = open_media(self.path)
        try:
            self._stream = audio_stream(self._container, self.path, index)
            self.info = describe(self._container, self._stream, self.path)
        except BaseException:
            self._container.close()
            raise
        self.damage: float | None = None
        self._begin = 0.0
        self.end: float | None = None
        self._tick = self._stream.time_base or Fraction(1, av.time_base)
        self._rate = self.info.sample_rate
        self._length = self.info.samples
        self._formats = set(self._container.format.name.split(","))
        self._codec = self._stream.codec_context.name
        codecs = tuple(codec for name in self._formats for codec in _EXACT.get(name, ()))
        self._exact = self._codec.startswith(codecs) and self._tick * self._rate <= 1
        # Time stamp of the first sample, in ticks; unless the header tells, that of the first frame.
        self._origin = self._stream.start_time if "mov" in self._formats else None

    def __enter__(self) -> Track:
        return self

    def __exit__(self, *exc: object) -> None:
        self._container.close()

    def warn_of_damage(self) -> None:
        """Say, once and for all, what was lost so far."""
        promised, end, damage = self.info.stated, self.end, self.damage
        missing = promised - end if promised is not None and end is not None else 0.0
        if missing > 0.1:
            text = f"{missing:.1f} of its {promised:.1f} s are missing"
            damage = end if damage is None else damage
        else:
            text = "what cannot be decoded is silent or left out"
        if damage is not None:
            logger.warning("%s: damaged or cut short at %.1f s: %s", self.path, damage, text)

    def count(self) -> int:
        """Samples that the file holds, as it states, or as its packets add up, which are then used up."""
        if self._is_chained():
            return sum(frame.samples for frame in self._decoded())
        guessed = bool(self._formats & _HEADLESS) and self.info.stated is None
        if self._length is not None and not guessed:
            return self._length
        ticks = sum(packet.duration or 0 for packet in self._packets())
        return round(ticks * self._tick * self._rate)

    def blocks(self, begin: int, channels: int, count: int | None = None) -> Iterator[np.ndarray]:
        """Blocks of (samples, channels) at the file's own rate, from its sample ``begin`` on.

        Their time line has no holes: silence stands where samples are lost.

        Parameters
        ----------
        begin : int
        channels : int
            1 or 2 to mix them; or as many as the file has.
        count : int, optional
            Samples in all; to the end of the file when None.

        Raises
        ------
        AudioError
            When nothing decodes, the sample rate changes, or time stamps leave more than an hour empty.
        """
        return cropped(self._line(begin, channels, count), 0, count)

    def _line(self, begin: int, channels: int, count: int | None) -> Iterator[np.ndarray]:
        # `position` is the sample that comes next. A piece that begins at it passes. One that begins later
        # leaves a hole, which silence fills, or all stems after it would be early. One that begins earlier
        # overlaps with what was given out already (a run-in does, see `_frames`): only its end is new.
        position, silence = begin, 0
        self._begin = begin / self._rate
        for at, block in self._pieces(begin, channels, None if count is None else begin + count):
            silence += max(0, at - position)
            if silence > _SILENCE * self._rate:
                what = f"time stamps leave {silence / self._rate / 3600:.3g} h without sound"
                raise AudioError(f"{self.path}: {what} at {position / self._rate:.1f} s; convert it first")
            for hole in range(position, at, BLOCK):
                yield np.zeros((min(BLOCK, at - hole), channels), np.float32)
            position = max(position, at)
            if at + len(block) > position:
                yield block[position - at :]
                position = at + len(block)

    def _pieces(self, begin: int, channels: int, stop: int | None) -> Iterator[tuple[int, np.ndarray]]:
        """Runs of samples, each with the position of its first, that reach from ``begin`` to ``stop``.

        Frames are gathered into blocks inside FFmpeg's queue, so that Python works once a block: frames of
        mp3 have 1152 samples, and 57 of them are a block.

        The queue holds samples in a row and of one kind. It is emptied before its block is full when a frame
        does not continue it: because its stamp says that samples are missing before it, or because its sample
        format or its channels are others. `at` and the samples in the queue say where its end is.
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
                where = f"at {(at + queue.samples) / self._rate:.1f} s"
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
            # A frame more than a block is held back: the last frame of all may have to be cut below.
            while queue.samples >= BLOCK + size:
                yield from take(BLOCK)
            if stop is not None and at + queue.samples >= stop:
                yield from take(queue.samples)
                return
        count = queue.samples
        if "mov" in self._formats and self._length is not None and 0 < at + count - self._length < size:
            count = self._length - at  # FFmpeg before 9 leaves the padding of the last frame in
        yield from take(count)
        self.end = at / self._rate or None

    def _frames(self, begin: int) -> Iterator[av.AudioFrame]:
        """Decoded frames from the beginning, or from somewhat before sample ``begin``."""
        # A seek saves decoding all that is before `begin`, if two things hold. The stamps must be exact to
        # the sample, or the frames would not be those that decoding from the beginning puts there. And the
        # decoder needs a run-in: a coded frame overlaps with the one before it, so that the first ones after
        # a seek come out wrong. These lie before `begin`, and `_pieces` drops them.
        frames = self._decoded()
        run_in = self._rate if self._needs_long_run_in() else _RUN_IN
        seeks = begin > run_in and self._exact and self._length is not None and begin < self._length
        if not seeks or self._is_chained() or self._origin is None:
            first = next(frames, None)
            if first is None:
                what = "holds no audio samples" if self.damage is None else "no audio in it can be decoded"
                raise AudioError(f"{self.path}: {what}")
            if self._origin is None:
                self._origin = first.pts or 0
            if not seeks or self._is_chained():
                yield first
                yield from frames
                return
        try:
            target = self._origin + int((begin - run_in) / (self._tick * self._rate))
            self._container.seek(target, stream=self._stream)
        except av.FFmpegError as error:
            where = f"from {begin // self._rate} s on"
            raise AudioError(f"{self.path}: cannot be read {where}: {error.strerror}") from error
        yield from dropwhile(lambda frame: frame.pts is None, self._decoded())

    def _needs_long_run_in(self) -> bool:
        if self._codec == "aac":  # its extensions to higher frequencies and stereo take longer
            return self._stream.codec_context.profile != "LC"
        return self._codec.startswith(_LONG_RUN_IN)

    def _is_chained(self) -> bool:
        return "ogg" in self._formats and is_chained(self.path, len(self._container.streams))

    def _decoded(self) -> Iterator[av.AudioFrame]:
        """The frames of all packets that decode."""
        # Vorbis codes blocks that overlap, of two lengths: a packet whose block has n samples gives out
        # n_before / 4 + n / 4 of them. A page of Ogg says where its last packet ends, and FFmpeg counts back
        # from there to where the others begin. Of the first packet of a page it does not know n_before: it
        # holds the packet for too short, and stamps it too late by as much. Where it ends is right all the
        # same, and the decoder, which knows the block before, gives all its samples:
        #
        #     packet.pts + packet.duration  =  end  =  begin + frame.samples
        by_end = self._codec == "vorbis" and "ogg" in self._formats
        stamp = 0
        for packet in self._packets():
            stamp = stamp if packet.pts is None else packet.pts
            try:
                frames = self._decode(packet)
            except (av.FFmpegError, ValueError):  # the second comes from decoders that did not open
                self._note_damage(stamp)
                continue
            for frame in frames:
                if by_end and frame.pts is not None and packet.duration:
                    frame.pts += packet.duration - frame.samples
                yield frame

    def _packets(self) -> Iterator[av.Packet]:
        """All packets, as far as the file can be read."""
        stamp = 0
        try:
            for packet in self._container.demux(self._stream):
                stamp = stamp if packet.pts is None else packet.pts
                yield packet
        except av.FFmpegError as error:
            if self._is_chained():
                where = f"at about {self._seconds(stamp):.0f} s"
                what = f"another recording follows {where}, of another sample rate, channels or codec"
                raise AudioError(f"{self.path}: {what}; split it first") from error
            self._note_damage(stamp)

    def _decode(self, packet: av.Packet) -> list[av.AudioFrame]:
        context = self._stream.codec_context
        try:
            return context.decode(packet)
        except av.FFmpegError:
            # FFmpeg 8 decodes nothing of a packet that ends inside a sample, as the last of a file may.
            if not self._codec.startswith("pcm"):
                raise
            content = bytes(packet)
            for cut in range(1, min(len(content), 8 * self.info.channels)):
                whole = av.Packet(content[:-cut])
                whole.pts, whole.time_base = packet.pts, packet.time_base
                with suppress(av.FFmpegError):
                    return context.decode(whole)
            raise

    def _seconds(self, stamp: int) -> float:
        return max(0.0, float((stamp - (self._origin or 0)) * self._tick))

    def _note_damage(self, stamp: int) -> None:
        seconds, promised = self._seconds(stamp), self.info.stated
        # Foreign tags after the last sample are no damage, and what lies before the start does not matter.
        if self.damage is None and self._begin <= seconds < (promised or math.inf):
            self.damage = seconds

    def _position(self, frame: av.AudioFrame, expected: int | None) -> int:
        """Where a frame belongs, in samples: behind the one before it, or behind a hole."""
        if frame.pts is None:
            return expected or 0
        # (stamp - origin) · tick · rate, rounded to the nearest sample, in whole numbers: the tick is a
        # fraction, and with floats long recordings with fine clocks would be off by a sample.
        ticks = (frame.pts - (self._origin or 0)) * self._tick.numerator * self._rate
        position = (2 * ticks + self._tick.denominator) // (2 * self._tick.denominator)
        if expected is None:
            return position
        # Frames in a row have stamps in a row, but seldom to the sample: clocks of milliseconds jitter, and
        # some drift. Whoever followed each stamp would cut sound, and put silence where nothing is missing.
        # So a frame is taken to follow the one before it unless its stamp is later by more than a clock is
        # off: 1/4 s, or 1/50 s where stamps are exact, which is about a frame, so that a lost one is noticed.
        # A stamp beyond the end that the header tells is no hole, nor is any where no end is known.
        tolerance = self._rate // (50 if self._exact else 4)
        if position - expected < tolerance or self._length is None or position > self._length:
            return expected
        self._note_damage(frame.pts)
        return position
