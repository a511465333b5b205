"""Blocks of samples to files of sound, by FFmpeg's libraries (PyAV)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np

from xumx.audio.samples import BLOCK, Resampler, check_rate, first_non_finite
from xumx.audio.whole import Whole, written
from xumx.base.errors import AudioError, UsageError
from xumx.base.files import aside


@dataclass(frozen=True)
class _Encoding:
    codec: str
    sample_format: str
    bits: int | None = None  # of integer samples; None for floats
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Format:
    """How one kind of file is made; what is None or empty is not limited, or not for choice."""

    container: str
    encodings: Mapping[str, _Encoding]  # by subtype; "" where there is no choice
    bitrate: int | None = None
    bitrates: tuple[int, int] | None = None
    rates: tuple[int, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)  # of the container


_MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_OPUS = _Format("ogg", {"": _Encoding("libopus", "flt")}, 192_000, (6_000, 256_000))
_OPUS_RATE = 48_000

_FORMATS = {
    "wav": _Format(
        "wav",
        {
            "int16": _Encoding("pcm_s16le", "s16", 16),
            "int24": _Encoding("pcm_s24le", "s32", 24),
            "float32": _Encoding("pcm_f32le", "flt"),
        },
        options={"rf64": "auto"},  # a header that can grow beyond 4 GiB
    ),
    "flac": _Format(
        "flac",
        {
            "int16": _Encoding("flac", "s16", 16),
            "int24": _Encoding("flac", "s32", 24, {"bits_per_raw_sample": "24"}),
        },
    ),
    "mp3": _Format("mp3", {"": _Encoding("libmp3lame", "fltp")}, 320_000, (8_000, 320_000), rates=_MP3_RATES),
    # PyAV's FFmpeg comes without libvorbis, and its own Vorbis encoder spoils one channel of wide stereo
    # (0 dB SNR for a tone on each side). What fits into .ogg, at any quality, is Opus.
    "ogg": _OPUS,
    "opus": _OPUS,
    "m4a": _Format(
        "ipod",
        # Without perceptual noise substitution: noise made up for each stem does not sum to the mix.
        {"": _Encoding("aac", "fltp", options={"aac_pns": "0"})},
        256_000,
        (8_000, 512_000),
        rates=(*_MP3_RATES, 64_000, 88_200, 96_000),
    ),
}

FORMATS = tuple(_FORMATS)
"""Names of the formats that can be written; they are their file name suffixes too."""

SUBTYPES = ("int16", "int24", "float32")
"""Sample types of the formats without loss: wav has all, flac the first two."""


class Writer(Whole):
    """Encode blocks of samples to one file, which appears under its name only when it is whole.

    The file is written aside, hidden in the same folder, and renamed by `close`. As a context manager it
    closes the file at the end, and discards it when an exception passes. What `decode` then reads is
    aligned with what was written and as long, in every format (but mp3 holds at least 47 samples).

    Parameters
    ----------
    path : path
        Its folder must exist.
    sample_rate : int
        Of the file, in Hz. Opus knows 48000 only: to opus and ogg everything is resampled.
    channels : 1 or 2
    format : str, optional
        One of `FORMATS`; the suffix of ``path`` when None. m4a holds AAC, both ogg and opus hold Opus.
    bitrate : int, optional
        In bit/s, for mp3 (320000 when None), m4a (256000), opus and ogg (192000). The encoders take the
        nearest that they have at this sample rate.
    subtype : 'int16', 'int24' or 'float32', optional
        Of the samples, for wav and flac, which has no float32; int16 when None. Integers are rounded to
        nearest, without dither, and clamped to their range.
    tags : mapping, optional
        Title, artist and the like, kept where the format has a place for them.
    maker : str, optional
        What encodes the file; every format has a place for it.

    Raises
    ------
    UsageError
        For what the format cannot hold, naming the option.
    AudioError
        Here and in the methods, when the file cannot be written. Nothing is left of it then.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with Writer(f"{folder}/a.flac", 44100, subtype="int24") as writer:
    ...         writer.write(np.zeros((1000, 2), np.float32))
    ...         hidden = writer.path.exists()
    ...     hidden, writer.path.exists()
    (False, True)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sample_rate: int,
        channels: int = 2,
        *,
        format: str | None = None,
        bitrate: int | None = None,
        subtype: str | None = None,
        tags: Mapping[str, str] | None = None,
        maker: str | None = None,
    ) -> None:
        self.path = Path(path)
        self._channels = channels
        name = format or self.path.suffix[1:].lower()
        check_format(name, sample_rate, channels, bitrate=bitrate, subtype=subtype)
        kind = _FORMATS[name]
        encoding = kind.encodings.get("") or kind.encodings[subtype or SUBTYPES[0]]
        rate = _OPUS_RATE if kind is _OPUS else sample_rate
        self._resampler = Resampler(sample_rate, rate, channels)
        self._bits = encoding.bits
        self._samples = 0  # written so far, at the file's rate
        self._container: av.container.OutputContainer | None = None
        self._held = contextlib.ExitStack()
        with self._all_or_nothing():
            if self.path.is_dir():
                raise IsADirectoryError(0, "it is a folder")
            self._aside = self._held.enter_context(aside(self.path.parent)) / self.path.name
            options = dict(kind.options)
            if name == "m4a":
                options["movie_timescale"] = str(rate)  # a length exact to the sample, not to the millisecond
            self._container = av.open(
                f"file:{os.path.abspath(self._aside)}", "w", kind.container, container_options=options
            )
            self._container.metadata.update(written(tags))
            if maker and name != "m4a":
                self._container.metadata["encoded_by"] = maker
            stream = self._container.add_stream(
                encoding.codec, rate, dict(encoding.options), bit_rate=bitrate or kind.bitrate or 0
            )
            self._stream = cast(av.AudioStream, stream)
            if maker and name == "m4a":
                self._stream.metadata["handler_name"] = maker
            self._stream.format = av.AudioFormat(encoding.sample_format)
            self._stream.layout = av.AudioLayout("mono" if channels == 1 else "stereo")
            self._container.start_encoding()

    def write(self, block: np.ndarray) -> None:
        """Append a block, (samples, channels), of any length.

        Raises
        ------
        UsageError
            For another shape.
        AudioError
            For samples that are NaN or infinite, when the file is closed, or cannot be written.
        """
        block = np.asarray(block, np.float32)
        if block.ndim != 2 or block.shape[1] != self._channels:
            raise UsageError(f"{self.path}: a block is (samples, {self._channels}), not {block.shape}")
        with self._all_or_nothing():
            if self._container is None:
                raise AudioError(f"{self.path}: is closed already")
            if first_non_finite(block) is not None:
                raise AudioError(f"{self.path}: NaN or infinite samples cannot be written")
            self._encode(self._resampler.push(block))

    def close(self) -> None:
        """Finish the file and give it its name. Without effect on a file closed or discarded before.

        Raises
        ------
        AudioError
            When nothing was written, too: there is no such file in most formats.
        """
        if self._container is None:
            return
        with self._all_or_nothing():
            self._encode(self._resampler.flush())
            if not self._samples:
                raise AudioError(f"{self.path}: no samples to write")
            self._container.mux(self._stream.encode(None))
            self._container.close()
            os.replace(self._aside, self.path)
            self._container = None
            self._held.close()

    def discard(self) -> None:
        """Leave nothing behind, nor touch what the path held before."""
        container, self._container = self._container, None
        if container is not None:
            with contextlib.suppress(av.FFmpegError, OSError):
                container.close()
        self._held.close()

    def _encode(self, block: np.ndarray) -> None:
        assert self._container is not None
        for first in range(0, len(block), BLOCK):
            frame = self._frame(block[first : first + BLOCK])
            frame.sample_rate = self._stream.sample_rate
            frame.time_base = Fraction(1, frame.sample_rate)
            frame.pts = self._samples
            self._samples += frame.samples
            self._container.mux(self._stream.encode(frame))

    def _frame(self, block: np.ndarray) -> av.AudioFrame:
        sample_format, layout = self._stream.format, self._stream.layout
        if self._bits:
            block = _integers(block, self._bits)
        samples = np.ascontiguousarray(block.T if sample_format.is_planar else block.reshape(1, -1))
        return av.AudioFrame.from_ndarray(samples, sample_format, layout)


def check_format(
    name: str,
    sample_rate: int | None = None,
    channels: int = 2,
    *,
    bitrate: int | None = None,
    subtype: str | None = None,
) -> None:
    """Raise a UsageError for what a format cannot hold; as for `Writer`, with None for what is not known.

    >>> check_format("flac", 44100, subtype="float32")
    Traceback (most recent call last):
        ...
    xumx.base.errors.UsageError: `subtype` float32 cannot be had in flac
    """
    if name not in _FORMATS:
        raise UsageError(f"unknown format {name!r}; use `format` with one of {', '.join(FORMATS)}")
    kind = _FORMATS[name]
    if sample_rate is not None:
        check_rate(sample_rate, "`sample_rate`")
    if kind.rates and sample_rate is not None and sample_rate not in kind.rates:
        rates = ", ".join(map(str, kind.rates))
        raise UsageError(f"{name} cannot hold {sample_rate} Hz; use `sample_rate` with one of {rates}")
    if channels not in (1, 2):
        raise UsageError(f"channels must be 1 or 2, not {channels}")
    if bitrate is not None:
        if kind.bitrates is None:
            raise UsageError(f"`bitrate` has no meaning for {name}; it is for mp3, m4a, opus and ogg")
        low, high = kind.bitrates
        if not low <= bitrate <= high:
            raise UsageError(f"`bitrate` for {name} is {low} to {high} bit/s, not {bitrate}")
    if subtype is not None and subtype not in SUBTYPES:
        raise UsageError(f"unknown subtype {subtype!r}; use `subtype` with one of {', '.join(SUBTYPES)}")
    if subtype is not None and subtype not in kind.encodings:
        raise UsageError(f"`subtype` {subtype} cannot be had in {name}")


def _integers(block: np.ndarray, bits: int) -> np.ndarray:
    """Samples as integers: nearest, within range, and left-aligned in 32 bits when they have 24."""
    full_scale = 2.0 ** (bits - 1)
    scaled = block * np.float32(full_scale)
    np.rint(scaled, out=scaled)
    np.clip(scaled, -full_scale, full_scale - 1, out=scaled)
    return scaled.astype(np.int16) if bits == 16 else scaled.astype(np.int32) << 8
