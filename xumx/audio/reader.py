"""Files of sound to blocks of samples, by FFmpeg's libraries (PyAV)."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator

import numpy as np

from xumx.audio.media import AudioInfo, PathLike
from xumx.audio.samples import check_rate, cropped, first_non_finite, resampled
from xumx.audio.stream import Track
from xumx.base.errors import AudioError, UsageError

logger = logging.getLogger(__name__)


def probe(path: PathLike, *, stream: int | None = None) -> AudioInfo:
    """Read the header of a file.

    Raises
    ------
    AudioError
        When the file is missing, unreadable, or holds no such audio stream.

    Examples
    --------
    >>> import tempfile
    >>> from xumx.audio import Writer
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with Writer(f"{folder}/a.wav", 8000, channels=1, tags={"title": "A"}) as writer:
    ...         writer.write(np.zeros((4000, 1), np.float32))
    ...     info = probe(f"{folder}/a.wav")
    >>> info.sample_rate, info.channels, info.duration, info.tags
    (8000, 1, 0.5, {'title': 'A'})
    """
    with Track(path, stream) as track:
        return track.info


def decode(
    path: PathLike,
    *,
    sample_rate: int | None = None,
    channels: int | None = None,
    start: float = 0.0,
    duration: float | None = None,
    stream: int | None = None,
) -> Iterator[np.ndarray]:
    """Stream the samples of a file.

    Parameters
    ----------
    path : path
        Anything that FFmpeg decodes, video files included. It is always a plain local file, whatever its
        name looks like, and no other file is opened because of what it holds.
    sample_rate : int, optional
        In Hz; the file's own when None.
    channels : 1, 2 or None
        1 is the average of left and right. 2 doubles mono, and mixes more than two channels down with the
        ITU-R BS.775 coefficients of libswresample, scaled so that full scale stays within full scale; a
        warning says so. None keeps the file's channels.
    start, duration : float
        In seconds, each acting alone or together, exact to the sample: the result is the slice
        ``[round(start * rate) :][: round(duration * rate)]`` of the whole decoded file.
    stream : int, optional
        Number, from 0 on, among the audio streams of the file (films and stems files have several); when
        None, the first that is marked as the default, or else the first.

    Yields
    ------
    ndarray, float32, (samples, channels)
        In order, none empty. Encoder delay and padding are taken out where the file tells them.

    Notes
    -----
    Warnings go to the log, naming the file: one for a mix down; one, at the end, when audio was damaged
    (silence keeps its place where the time stamps tell how much is lost) or when the file ends before its
    header says.

    Raises
    ------
    UsageError
        At once, for arguments that no file can satisfy.
    AudioError
        While iterating: no such file, no audio, nothing that decodes, no sample at all, nothing left at
        ``start``, samples that are NaN or infinite, a sample rate below 1 kHz or above 768 kHz or one that
        changes on the way, time stamps that leave more than an hour empty.

    Examples
    --------
    >>> import tempfile
    >>> from xumx.audio import Writer
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with Writer(f"{folder}/a.wav", 8000, channels=1) as writer:
    ...         writer.write(np.linspace(-1, 1, 80000)[:, None])
    ...     sum(len(block) for block in decode(f"{folder}/a.wav", start=0.5))
    76000
    """
    _check(sample_rate, channels, start, duration, stream)

    def blocks() -> Iterator[np.ndarray]:
        with Track(path, stream) as track:
            yield from _decoded(track, sample_rate, channels, start, duration)

    return blocks()


def read(
    path: PathLike,
    *,
    sample_rate: int | None = None,
    channels: int | None = None,
    start: float = 0.0,
    duration: float | None = None,
    stream: int | None = None,
) -> tuple[np.ndarray, int]:
    """Read a whole file, or a part of one, as one array.

    Arguments, warnings and errors are those of `decode`.

    Returns
    -------
    audio : float32 array (samples, channels)
    sample_rate : int
        In Hz.

    Examples
    --------
    >>> import tempfile
    >>> from xumx.audio import Writer
    >>> ramp = np.linspace(0, 1, 8000, dtype=np.float32)[:, None]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with Writer(f"{folder}/a.wav", 8000, channels=1, subtype="float32") as writer:
    ...         writer.write(ramp)
    ...     audio, rate = read(f"{folder}/a.wav", start=0.25, duration=0.5)
    >>> rate, bool(np.array_equal(audio, ramp[2000:6000]))
    (8000, True)
    """
    _check(sample_rate, channels, start, duration, stream)
    with Track(path, stream) as track:
        audio = np.concatenate(list(_decoded(track, sample_rate, channels, start, duration)))
        return audio, sample_rate or track.info.sample_rate


def check_part(start: float, duration: float | None) -> None:
    """Raise a UsageError for a part that no file can have; arguments as for `decode`."""
    if not 0 <= start < math.inf:
        raise UsageError(f"`start` must be 0 or more seconds, not {start}")
    if duration is not None and not 0 < duration < math.inf:
        raise UsageError(f"`duration` must be more than 0 seconds, not {duration}")


def _check(
    sample_rate: int | None, channels: int | None, start: float, duration: float | None, stream: int | None
) -> None:
    if sample_rate is not None:
        check_rate(sample_rate, "`sample_rate`")
    if channels not in (None, 1, 2):
        raise UsageError(f"channels must be 1 or 2, not {channels}")
    check_part(start, duration)
    if stream is not None and stream < 0:
        raise UsageError(f"stream must be 0 or more, not {stream}")


def _decoded(
    track: Track, sample_rate: int | None, channels: int | None, start: float, duration: float | None
) -> Iterator[np.ndarray]:
    info = track.info
    rate = sample_rate or info.sample_rate
    if channels is not None and info.channels > 2:
        logger.warning("%s: %d channels mixed down to %d", info.path, info.channels, channels)
    first = round(start * rate)
    count = None if duration is None else max(1, round(duration * rate))
    begin, skip, needed = first, 0, count
    if rate != info.sample_rate:
        # All rates share the instants of whole seconds. From one at least a second before the start, a
        # resampler fills its memory and walks the same grid as from the beginning.
        second = max(0, math.floor(start) - 1)
        begin, skip = second * info.sample_rate, first - second * rate
        needed = None if count is None else math.ceil((skip + count) / rate + 1) * info.sample_rate
    blocks = track.blocks(begin, channels or info.channels, needed)
    blocks = resampled(_finite(blocks, begin, info), info.sample_rate, rate)
    found = False
    for block in cropped(blocks, skip, count):
        found = True
        yield block
    if not found:
        where = "" if track.end is None else f" at {track.end:.2f} s"
        raise AudioError(f"{info.path}: `start` {start:g} lies beyond its end{where}")
    track.warn_of_damage()


def _finite(blocks: Iterable[np.ndarray], begin: int, info: AudioInfo) -> Iterator[np.ndarray]:
    """Let blocks pass, the first of which begins at sample ``begin``, as long as they are finite."""
    for block in blocks:
        bad = first_non_finite(block)
        if bad is not None:
            raise AudioError(
                f"{info.path}: NaN or infinite samples at {(begin + bad) / info.sample_rate:.3f} s"
            )
        begin += len(block)
        yield block
