"""What the page plays: the stems in short MP3 files.

MP3 is what every browser decodes, an old Safari and a Chromium without licensed codecs too. In pieces, since
the page then begins at once, seeks anywhere and holds but a few seconds decoded, where a whole song of four
minutes would take 85 MB a stem. All pieces are made alike, so that a decoder's delay, where it does not take
it out, is the same for all: stems stay aligned to the sample, and a piece joins the next. Each holds a little
of its neighbours, over which the page fades from one to the other.
"""

from __future__ import annotations

import io
import math
from collections.abc import Generator, Iterable, Iterator
from fractions import Fraction
from itertools import chain, repeat
from typing import NamedTuple, cast

import av
import numpy as np

from xumx.audio.samples import cropped
from xumx.base.cores import threads
from xumx.base.pools import prefetch


def mp3(block: np.ndarray, sample_rate: int, bitrate: int) -> bytes:
    """Encode a block of samples as an MP3 file, at a constant bit rate and by LAME's quick settings.

    Parameters
    ----------
    block : float32 array (samples, channels)
        Mono or stereo.
    sample_rate : int
        In Hz, one that MP3 has.
    bitrate : int
        In bit/s.

    Returns
    -------
    bytes
        The file, whose header tells the encoder's delay and padding. Decoders that do not heed it give all
        such files the same delay, 1105 samples.
    """
    file = io.BytesIO()
    with av.open(file, "w", "mp3") as container:
        options = {"compression_level": "7"}
        stream = cast(
            av.AudioStream, container.add_stream("libmp3lame", sample_rate, options, bit_rate=bitrate)
        )
        stream.format = av.AudioFormat("fltp")
        stream.layout = av.AudioLayout("stereo" if block.shape[1] == 2 else "mono")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block.T), stream.format, stream.layout)
        frame.sample_rate = sample_rate
        frame.time_base = Fraction(1, sample_rate)
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


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


def encoded(blocks: Iterable[np.ndarray], samples: int, rate: Rate) -> Generator[bytes, None, None]:
    """Encode a signal at `RATE` in MP3 files: piece k is of its seconds `PIECE` k - `MARGIN` and following.

    Parameters
    ----------
    blocks : iterable of float32 array (any, channels)
    samples : int
        Length of the signal, to which blocks are cut or filled up.
    rate : Rate
    """
    pieces = _pieces(blocks, samples, rate.channels)
    workers = min(threads(), 8)
    return prefetch(lambda piece: mp3(piece, RATE, rate.bits), pieces, workers=workers, ahead=workers)


def _pieces(blocks: Iterable[np.ndarray], samples: int, channels: int) -> Iterator[np.ndarray]:
    margin = round(MARGIN * RATE)
    silence = np.zeros((margin, channels), np.float32)
    whole = evenly(blocks, samples, PIECE * RATE, channels)
    before, piece = silence, next(whole)
    for following in chain(whole, [silence]):
        yield np.concatenate((before, piece, following[:margin]))
        before, piece = piece[-margin:], following
