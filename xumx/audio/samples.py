"""What reading and writing share: operations on blocks of (samples, channels) float32."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import reduce

import av
import numpy as np
import soxr

from xumx.base.errors import UsageError

BLOCK = 65536
"""Samples in a block: long enough that Python's share of the time is small, short enough for the caches."""

LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000
"""Sample rates, in Hz, beyond which no sound is kept: what states another is damaged, or is meant badly."""

_DTYPES: dict[str, type[np.generic]] = {
    "u8": np.uint8,
    "s16": np.int16,
    "s32": np.int32,
    "s64": np.int64,
    "flt": np.float32,
    "dbl": np.float64,
}


def rate_problem(rate: object) -> str | None:
    """Say why a sample rate cannot be one, as the end of a sentence about it; None when it can.

    >>> rate_problem(44100), rate_problem(44.1)
    (None, 'must be a whole number of Hz from 1000 to 768000, not 44.1')
    """
    whole = isinstance(rate, (int, np.integer)) and not isinstance(rate, bool)
    if whole and LOWEST_RATE <= rate <= HIGHEST_RATE:  # type: ignore[operator]
        return None
    return f"must be a whole number of Hz from {LOWEST_RATE} to {HIGHEST_RATE}, not {rate!r}"


def check_rate(rate: object, name: str) -> None:
    """Raise a UsageError that names what was given if it cannot be a sample rate."""
    problem = rate_problem(rate)
    if problem:
        raise UsageError(f"{name} {problem}")


def float_samples(frame: av.AudioFrame) -> np.ndarray:
    """Return the samples of a decoded frame as (samples, channels) float32, full scale 1.0."""
    channels, count = frame.layout.nb_channels, frame.samples
    dtype = np.dtype(_DTYPES[frame.format.name.removesuffix("p")])
    scale = 1.0 if dtype.kind == "f" else 2.0 ** (1 - 8 * dtype.itemsize)
    if frame.format.is_planar and channels >= 8:
        # PyAV (up to 19 at least) looks for a plane too many where FFmpeg fills its whole list of planes.
        packed = av.AudioResampler(frame.format.name.removesuffix("p"), frame.layout, frame.sample_rate)
        (frame,) = packed.resample(frame)
    planes = frame.planes
    block = np.empty((count, channels), np.float32)
    if frame.format.is_planar:
        pairs = [(np.frombuffer(memoryview(planes[c]), dtype, count), block[:, c]) for c in range(channels)]
    else:
        pairs = [(np.frombuffer(memoryview(planes[0]), dtype, count * channels), block.reshape(-1))]
    for plane, out in pairs:
        np.multiply(plane, np.float32(scale), out=out, dtype=np.float32, casting="unsafe")
    if dtype == np.uint8:
        block -= 1
    return block


def mixing_matrix(layout: av.AudioLayout, channels: int) -> np.ndarray | None:
    """Make the matrix M for ``block @ M`` that changes the channels; None when nothing is to be mixed.

    More than two channels become two as in libswresample, left and right at most at full scale, and these
    two become one by their average. Layouts that libswresample does not know are averaged.

    Parameters
    ----------
    layout : av.AudioLayout
        Of the block.
    channels : 1 or 2
        Wanted; or as many as the layout has.

    Returns
    -------
    float32 array (channels of the layout, channels), or None

    Examples
    --------
    >>> mixing_matrix(av.AudioLayout("stereo"), 1).tolist()
    [[0.5], [0.5]]
    >>> mixing_matrix(av.AudioLayout("5.1"), 2).round(2).tolist()[2]  # the centre goes to both sides
    [0.28999999165534973, 0.28999999165534973]
    """
    count = layout.nb_channels
    if count == channels:
        return None
    if count == 1:
        return np.ones((1, channels), np.float32)
    stereo = np.eye(2, dtype=np.float32) if count == 2 else _downmix(layout)
    return stereo if channels == 2 else np.ascontiguousarray(stereo.mean(axis=1, keepdims=True))


def _downmix(layout: av.AudioLayout) -> np.ndarray:
    """libswresample's coefficients from a layout to stereo, (channels, 2), learnt from unit impulses."""
    count = layout.nb_channels
    impulses = np.eye(count, dtype=np.float32).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(impulses, format="flt", layout=layout)
    frame.sample_rate = 48000
    resampler = av.AudioResampler(format="flt", layout="stereo")
    try:
        mixed = [float_samples(part) for part in (*resampler.resample(frame), *resampler.resample(None))]
    except av.FFmpegError:
        return np.full((count, 2), 1 / count, np.float32)
    matrix = np.concatenate(mixed)
    return matrix / max(1.0, float(np.abs(matrix).sum(axis=0).max()))


class Resampler:
    """Stream of blocks from one sample rate to another (SoX resampler, high quality, linear phase).

    The delay of its filter is taken out: output sample 0 is input sample 0, and ``n`` samples in give
    ``n * out_rate / in_rate`` samples out, rounded. Equal rates let blocks pass as they are.

    Parameters
    ----------
    in_rate, out_rate : int
        In Hz.
    channels : int

    Raises
    ------
    UsageError
        For rates below `LOWEST_RATE` or above `HIGHEST_RATE`.

    Examples
    --------
    >>> resampler = Resampler(48000, 16000, channels=1)
    >>> parts = [resampler.push(np.ones((1000, 1), np.float32)) for _ in range(3)]
    >>> sum(len(part) for part in (*parts, resampler.flush()))
    1000
    """

    def __init__(self, in_rate: int, out_rate: int, channels: int) -> None:
        self._nothing = np.zeros((0, channels), np.float32)
        self._stream = None
        check_rate(in_rate, "in_rate")
        check_rate(out_rate, "out_rate")
        if in_rate != out_rate:
            self._stream = soxr.ResampleStream(in_rate, out_rate, channels, dtype="float32", quality="HQ")

    def push(self, block: np.ndarray) -> np.ndarray:
        """Take one more block and give what is ready, (samples, channels) float32; it may be nothing yet."""
        if self._stream is None:
            return block
        return self._stream.resample_chunk(np.ascontiguousarray(block, np.float32))

    def flush(self) -> np.ndarray:
        """End the stream and give its last samples, (samples, channels) float32."""
        if self._stream is None:
            return self._nothing
        return self._stream.resample_chunk(self._nothing, last=True)


def resampled(blocks: Iterable[np.ndarray], in_rate: int, out_rate: int) -> Iterator[np.ndarray]:
    """Turn a stream of blocks, (samples, channels), into one at another rate, as `Resampler` does."""
    resampler = None
    for block in blocks:
        resampler = resampler or Resampler(in_rate, out_rate, block.shape[1])
        yield resampler.push(block)
    if resampler is not None:
        yield resampler.flush()


def resample(audio: np.ndarray, in_rate: int, out_rate: int, *, samples: int | None = None) -> np.ndarray:
    """Bring audio, (samples, channels), to another rate; cut or fill it with zeros to ``samples``, if given.

    >>> resample(np.zeros((44100, 2), np.float32), 44100, 48000).shape
    (48000, 2)
    """
    audio = np.concatenate(list(resampled([audio], in_rate, out_rate)))
    if samples is None:
        return audio
    return np.pad(audio[:samples], ((0, max(0, samples - len(audio))), (0, 0)))


def cropped(blocks: Iterable[np.ndarray], skip: int, count: int | None) -> Iterator[np.ndarray]:
    """Let samples ``skip`` to ``skip + count`` of a stream of blocks pass, to its end when ``count`` is None.

    >>> blocks = np.arange(6).reshape(3, 2, 1)  # three of two samples
    >>> [part.ravel().tolist() for part in cropped(blocks, 1, 3)]
    [[1], [2, 3]]
    """
    at = 0
    for block in blocks:
        part = block[max(0, skip - at) :]
        if count is not None:
            part = part[:count]
            count -= len(part)
        at += len(block)
        if len(part):
            yield part
        if count == 0:
            return


def first_non_finite(block: np.ndarray) -> int | None:
    """Find the first sample that is NaN or infinite in any channel; None when all are finite.

    >>> first_non_finite(np.array([[0.0, 1.0], [0.0, np.nan]]))
    1
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(block.sum()):  # one fast pass; a sum that overflows is settled below
            return None
    bad = ~np.isfinite(block).all(axis=1)
    return int(bad.argmax()) if bad.any() else None


def averaged(audio: np.ndarray) -> np.ndarray:
    """Average the channels: (samples, channels) float32 to (samples, 1).

    Channel by channel, as NumPy's mean over a short last axis takes a hundred times as long.

    Examples
    --------
    >>> averaged(np.float32([[0, 1], [2, 4]])).tolist()
    [[0.5], [3.0]]
    """
    return (reduce(np.add, audio.T) / np.float32(audio.shape[1]))[:, None]


def as_audio(array: np.ndarray, channels: int) -> np.ndarray:
    """Bring a caller's array to (samples, channels) float32; what is that already comes back itself.

    Parameters
    ----------
    array : float array (samples,), (samples, 1) or (samples, 2)
    channels : int
        Mono is doubled, stereo averaged, to have as many.

    Raises
    ------
    UsageError
        For any other array.

    Examples
    --------
    >>> as_audio(np.zeros(3), 2).shape
    (3, 2)
    >>> as_audio(np.zeros(3, np.int16), 2)
    Traceback (most recent call last):
        ...
    xumx.base.errors.UsageError: audio must be floating point with full scale 1, not int16
    """
    if isinstance(array, (str, bytes, os.PathLike)):
        how = "xumx.audio.read gives the array and the rate of a file"
        raise UsageError(f"audio must be an array of samples, not the path {os.fspath(array)!r}; {how}")
    audio = np.asarray(array)
    if audio.dtype.kind != "f":
        raise UsageError(f"audio must be floating point with full scale 1, not {audio.dtype}")
    if audio.ndim == 1:
        audio = audio[:, None]
    if audio.ndim != 2 or not 1 <= audio.shape[1] <= max(channels, 2):
        raise UsageError(f"audio must have the shape (samples, channels), not {np.shape(array)}")
    with np.errstate(over="ignore"):
        audio = audio.astype(np.float32, copy=False)
    if audio.shape[1] == channels:
        return audio
    return np.repeat(averaged(audio), channels, axis=1)
