"""What the page plays: the stems in short MP3 files.

MP3 is what every browser decodes, an old Safari and a Chromium without licensed codecs too. In pieces, since
the page then begins at once, seeks anywhere and holds but a few seconds decoded, where a whole song of four
minutes would take 85 MB a stem. All pieces are made alike, so that a decoder's delay, where it does not take
it out, is the same for all: stems stay aligned to the sample, and a piece joins the next. Each holds a little
of its neighbours, over which the page fades from one to the other.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import chain, repeat
from typing import NamedTuple

import lameenc
import numpy as np

from xumx.audio.samples import cropped
from xumx.base.cores import threads
from xumx.base.pools import prefetch

_FRAME = 1152
"""Samples of a frame of MP3."""

_DELAY = 576
"""Samples of silence with which LAME begins; decoders add 529 of their own."""


def mp3(block: np.ndarray, sample_rate: int, bitrate: int) -> bytes:
    """Encode a block of samples as an MP3 file, at a constant bit rate and by LAME's quick settings.

    By LAME itself: within PyAV's wheels for Python 3.10 it takes four times the CPU time.

    Parameters
    ----------
    block : float32 array (samples, channels)
        Mono or stereo.
    sample_rate : int
        32000, 44100 or 48000 Hz.
    bitrate : int
        In bit/s, one that MP3 has.

    Returns
    -------
    bytes
        The file, whose first frame tells the encoder's delay and padding. Decoders that do not heed it give
        all such files the same delay, 1105 samples.
    """
    encoder = lameenc.Encoder()
    encoder.silence()  # it would print its settings
    encoder.set_channels(block.shape[1])
    encoder.set_in_sample_rate(sample_rate)
    encoder.set_out_sample_rate(sample_rate)
    encoder.set_bit_rate(bitrate // 1000)
    encoder.set_quality(7)
    samples = np.rint(np.clip(block, -1, 1) * 32767).astype("<i2")
    data = bytes(encoder.encode(np.ascontiguousarray(samples)) + encoder.flush())
    return _first_frame(data, len(block)) + data


def _first_frame(data: bytes, samples: int) -> bytes:
    """A frame without sound, which says where in what follows the samples are: LAME's "Info" tag.

    Players know it (G. Bouvigne: Mp3 Info Tag rev 1, 2005). Its bit rate is one at which it has room.
    """
    rate = {0: 44100, 1: 48000, 2: 32000}[data[2] >> 2 & 3]
    mono = data[3] >> 6 == 3
    frames, offset = 0, 0
    while offset + 4 <= len(data):
        frames += 1
        offset += _length(data[offset + 2], rate)
    padding = frames * _FRAME - _DELAY - samples
    header = bytes((*data[:2], 0x50 | data[2] & 0x0C, data[3]))  # 64 kbit/s
    size = _length(header[2], rate)
    evenly_filled = bytes(256 * percent // 100 for percent in range(100))
    sizes = struct.pack(">4s3I100sI", b"Info", 0b1111, frames, size + len(data), evenly_filled, 0)
    places = (_DELAY << 12 | padding).to_bytes(3, "big")
    tag = sizes + b"LAME3.100".ljust(21, b"\0") + places
    return (header + bytes(17 if mono else 32) + tag).ljust(size, b"\0")


def _length(coded: int, rate: int) -> int:
    """Bytes of a frame of MPEG-1 Layer III, by the third byte of its header."""
    kbits = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)[coded >> 4]
    return 144_000 * kbits // rate + (coded >> 1 & 1)


RATE = 44100
"""Of all that the page shows and plays, in Hz."""

PIECE = 10
"""Seconds from one piece to the next."""

MARGIN = 0.1
"""Seconds that a piece holds before and after these: more than any decoder's delay."""

LIMIT = 19.5e6
"""Bytes of a page, as long as there is a rate for it."""


class Rate(NamedTuple):
    """How pieces are encoded."""

    bits: int  # a second
    channels: int


_RATES = (*(Rate(kbits * 1000, 2) for kbits in (160, 128, 112, 96, 80, 64)), Rate(48_000, 1), Rate(32_000, 1))
BEST = _RATES[0]
"""Where nothing limits it."""

_IN_BASE64 = 4 / 3
_PICTURES = 200_000  # bytes, of each track and of the mix


def rate_for(seconds: float, tracks: int) -> Rate:
    """Choose the best rate at which a page of so many tracks stays within `LIMIT`; the lowest if none does.

    >>> rate_for(240, tracks=4), rate_for(3600, tracks=4).channels
    (Rate(bits=112000, channels=2), 1)
    """
    coded = math.ceil(seconds / PIECE) * (PIECE + 3 * MARGIN)  # two margins, and the encoder's own frames
    bits = (LIMIT - (tracks + 1) * _PICTURES) * 8 / _IN_BASE64 / (tracks * coded)
    return next((rate for rate in _RATES if rate.bits <= bits), _RATES[-1])


def evenly(blocks: Iterable[np.ndarray], samples: int, size: int, channels: int = 2) -> Iterator[np.ndarray]:
    """Cut a stream of blocks, (any, channels), into blocks of ``size`` and a rest, ``samples`` in all.

    It is cut or filled with zeros to that length.

    >>> [block.ravel().tolist() for block in evenly([np.ones((4, 1), np.float32)], 5, 3, channels=1)]
    [[1.0, 1.0, 1.0], [1.0, 0.0]]
    """
    silence = np.zeros((min(size, samples), channels), np.float32)
    held, count = [silence[:0]], 0  # joined once a block: a decoder's are much shorter
    for part in cropped(chain(blocks, repeat(silence)), 0, samples):
        block = part
        while count + len(block) >= size:
            yield np.concatenate([*held, block[: size - count]])
            block = block[size - count :]
            held, count = [], 0
        held.append(block)
        count += len(block)
    if count:
        yield np.concatenate(held)


def encoded(
    blocks: Iterable[Sequence[np.ndarray]], rate: Rate
) -> Generator[tuple[int, int, bytes], None, None]:
    """Encode signals at `RATE`, side by side, in MP3 files.

    Piece k is of a signal's seconds `PIECE` k - `MARGIN` and following.

    Parameters
    ----------
    blocks : iterable of sequence of float32 array (any, 1 or 2)
        For each stretch of time one block a signal, all as long. Mono is made of stereo where ``rate`` is.
    rate : Rate

    Yields
    ------
    number of the signal, number of the piece, file : int, int, bytes
    """

    def encode(piece: tuple[int, int, np.ndarray]) -> tuple[int, int, bytes]:
        signal, number, samples = piece
        if rate.channels < samples.shape[1]:
            samples = samples.mean(axis=1, keepdims=True)
        return signal, number, mp3(samples, RATE, rate.bits)

    workers = min(threads(), 8)
    return prefetch(encode, _pieces(blocks), workers=workers, ahead=workers)


def _pieces(blocks: Iterable[Sequence[np.ndarray]]) -> Iterator[tuple[int, int, np.ndarray]]:
    size, margin = PIECE * RATE, round(MARGIN * RATE)
    held: list[list[np.ndarray]] = []
    count = number = 0  # samples that are held, the margin before the piece among them

    def cut() -> Iterator[tuple[int, int, np.ndarray]]:
        """Give a piece a signal, and keep what it shares with the next."""
        nonlocal count, number
        for signal, parts in enumerate(held):
            whole = np.concatenate(parts)
            parts[:] = [whole[size:].copy()]
            yield signal, number, whole[: size + 2 * margin]
        count, number = max(count - size, 0), number + 1

    for signals in blocks:
        if not held:
            held = [[np.zeros((margin, block.shape[1]), np.float32)] for block in signals]
            count = margin
        for parts, block in zip(held, signals, strict=True):
            parts.append(block)
        count += len(signals[0])
        while count >= size + 2 * margin:
            yield from cut()
    for parts in held:
        parts.append(np.zeros((margin, parts[0].shape[1]), np.float32))
    while count > margin or not number:  # more than the margin of a piece that is done
        yield from cut()
