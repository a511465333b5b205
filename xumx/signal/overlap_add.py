"""Long signals in chunks: cut a stream into overlapping chunks, and blend what came of them.

Chunk i covers the samples from i·hop to i·hop + length. Blending weighs each chunk by a window that
rises and falls over the overlap, and divides by the sum of the weights, so that any overlap below one
chunk gives the identity where the chunks agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np


def split(blocks: Iterable[np.ndarray], length: int, hop: int) -> Iterator[tuple[int, np.ndarray]]:
    """Cut a stream of audio into overlapping chunks.

    Parameters
    ----------
    blocks : iterable of arrays (samples, channels)
        Consecutive audio, each block of any length.
    length : int
        Samples of a chunk.
    hop : int
        Samples from the start of one chunk to that of the next, 1 to ``length``.

    Yields
    ------
    start : int
        First sample of the chunk.
    chunk : array (samples, channels)
        ``length`` samples. The last chunk ends with the stream. It starts earlier than its turn where
        chunks overlap, to be as long as the others; hard chunks leave it what there is.
    """
    start, used = 0, 0
    buffer: list[np.ndarray] = []
    size = 0
    for block in blocks:
        buffer.append(block)
        size += len(block)
        # Strictly more than a chunk: only then is it known that another chunk follows.
        if size - used > length:
            audio = np.concatenate(buffer)
            while size - used > length:
                # A copy, since a view would hold all of the audio.
                yield start, audio[used : used + length].copy()
                used += hop
                start += hop
            # What the last chunk may reach back to stays.
            keep = max(used - hop, 0)
            buffer, size, used = [audio[keep:].copy()], size - keep, used - keep
    if size > used:
        back = min(max(length - (size - used), 0), used) if hop < length else 0
        yield start - back, np.concatenate(buffer)[used - back :]


def fade(length: int, overlap: int) -> np.ndarray:
    """Make the weights of a chunk: a squared sine over the first and last ``overlap`` samples, 1 between.

    Two such slopes sum to 1. They start at a small positive weight, because the first and last samples of
    a stream belong to one chunk alone.

    Returns
    -------
    float32 array (length, 1)

    Examples
    --------
    >>> (100 * fade(5, 2)).round().ravel().tolist()
    [15.0, 85.0, 100.0, 85.0, 15.0]
    """
    ramp = min(overlap, length // 2)
    weight = np.ones(length, np.float32)
    if ramp:
        slope = np.sin(np.pi / 2 * (np.arange(ramp) + 0.5) / ramp) ** 2
        weight[:ramp] = slope
        weight[length - ramp :] = slope[::-1]
    return weight[:, None]


def blend(chunks: Iterable[tuple[int, np.ndarray]], hop: int, overlap: int) -> Iterator[np.ndarray]:
    """Add up the chunks that :func:`split` cut, weighted where they overlap.

    Parameters
    ----------
    chunks : iterable of (start, float32 array (stems, samples, channels))
        In order. Their memory is used for the result.
    hop : int
        Samples from the start of one chunk to that of the next. What a last chunk reaches back beyond that
        was there for its context, and is left out.
    overlap : int
        Samples that a chunk shares with the next.

    Yields
    ------
    float32 array (stems, samples, channels)
        Consecutive and together as long as the stream: ``hop`` samples as soon as their chunk is there.

    Examples
    --------
    >>> audio = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)
    >>> chunks = ((start, chunk[None].copy()) for start, chunk in split([audio], 30, 20))
    >>> back = np.concatenate(list(blend(chunks, 20, 10)), axis=1)
    >>> bool(np.allclose(back[0], audio, atol=1e-6))
    True
    """
    done, sums, weights = 0, None, np.zeros((0, 1), np.float32)
    for start, chunk in chunks:
        fresh = chunk[:, done - start :]
        samples = fresh.shape[1]
        weight = fade(samples, overlap)
        ramp = min(overlap, samples // 2)  # all weights between two ramps are 1
        for part in (slice(ramp), slice(samples - ramp, samples)):
            _scale(np.multiply, fresh[:, part], weight[part])
        if sums is not None:
            fresh[:, : sums.shape[1]] += sums
            weight[: len(weights)] += weights
        ready = min(hop, samples)
        plain = min(max(len(weights), ramp), ready)
        for part in (slice(plain), slice(max(plain, samples - ramp), ready)):
            _scale(np.divide, fresh[:, part], weight[part])
        sums, weights, done = fresh[:, ready:].copy(), weight[ready:], done + ready
        yield fresh[:, :ready]
        del chunk, fresh  # or the memory would be held until the next chunk is there
    if sums is not None and sums.shape[1]:
        _scale(np.divide, sums, weights)
        yield sums


def _scale(operation: np.ufunc, audio: np.ndarray, weight: np.ndarray) -> None:
    """``audio operation weight`` in place, (stems, samples, channels) with (samples, 1).

    Along whole rows of samples: NumPy takes ten times as long for as many pairs of them.
    """
    for stem in audio:
        for channel in stem.T:
            operation(channel, weight[:, 0], out=channel)
