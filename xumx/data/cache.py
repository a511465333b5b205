"""Decoded recordings on disk, so that drawing a sample is copying from mapped memory.

One ``.npy`` file a recording, (samples, channels) as all audio here: 16-bit where nothing exceeds full scale,
which is exact for 16-bit files and how musdb reads all; float32 for the louder ones, so that nothing clips.
MUSDB18's ten hours take 32 GB or somewhat more. A file appears under its name when it is whole, so that
building can be interrupted and goes on where it was. The name follows from path, size and time of the
recording's file.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from xumx.base.console import Bar
from xumx.base.cores import threads
from xumx.base.errors import AudioError, XumxError
from xumx.base.files import check_room, replacing, writing_to
from xumx.base.pools import prefetch
from xumx.data.arrays import mapped
from xumx.data.recording import ARRAY_SUFFIX, Recording
from xumx.data.track import Track

logger = logging.getLogger(__name__)

FORMAT = 2
"""Part of the names: a change of the format makes all old files stale."""


def cached(
    tracks: Sequence[Track],
    folder: str | os.PathLike[str],
    *,
    workers: int | None = None,
    progress: bool = True,
) -> list[Track]:
    """Give the same tracks, read from decoded copies, which are made where they are missing, broken or stale.

    Several processes may build at once, best each a share of the tracks.

    Parameters
    ----------
    tracks : sequence of Track
        What to decode.
    folder : path
        Where the copies are kept; made if it is missing.
    workers : int, optional
        Threads that decode, each a recording at a time; by default one a core.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    list of Track
        Without those that cannot be decoded, each named in one warning.

    Raises
    ------
    XumxError
        If the folder cannot be written or is too small, or no track is left.
    """
    folder = Path(folder).expanduser()
    workers = workers or threads()
    copies = {
        recording: _copy(folder, track, source, recording)
        for track in tracks
        for source, recording in track.recordings.items()
    }
    missing = _missing(folder, copies)
    with writing_to(f"`cache_dir` {folder}"):
        _prepare(folder, [copies[recording] for recording in missing])
    failed = _build(missing, copies, workers, progress)
    kept = []
    for track in tracks:
        errors = [failed[recording] for recording in track.recordings.values() if recording in failed]
        if errors:
            logger.warning("%s; the track %s is left out", errors[0], track.name)
        else:
            kept.append(Track(track.name, {source: copies[old] for source, old in track.recordings.items()}))
    if not kept:
        raise XumxError(f"none of the {len(tracks)} tracks can be decoded into `cache_dir` {folder}")
    return kept


def _copy(folder: Path, track: Track, source: str, recording: Recording) -> Recording:
    """The decoded and resampled recording as it will be: same length, another file."""
    try:
        status = recording.path.stat()
    except OSError as error:
        raise AudioError(f"{recording.path}: cannot be read: {error.strerror}") from error
    which = _digest(recording.path.resolve(), recording.stream)
    state = _digest(FORMAT, status.st_size, status.st_mtime_ns, recording.samples, recording.channels)
    path = folder / _safe(track.name) / f"{_safe(source)}-{which}-{state}{ARRAY_SUFFIX}"
    return replace(recording, path=path, stream=0, native=None)


def _safe(name: str) -> str:
    """Of a track or source, as part of a file name, which may have 255 bytes."""
    return re.sub(r"[^\w .,&'()-]", "_", name)[:50]


def _digest(*values: object) -> str:
    return hashlib.sha256(repr(tuple(map(str, values))).encode()).hexdigest()[:10]


def _missing(folder: Path, copies: Mapping[Recording, Recording]) -> list[Recording]:
    """The recordings of which there is no whole copy; one line says if there are damaged ones."""
    missing, damaged = [], []
    for recording, copy in copies.items():
        try:
            mapped(copy.path, (copy.samples, copy.channels), np.int16, np.float32)
        except FileNotFoundError:
            missing.append(recording)
        except (OSError, ValueError):
            missing.append(recording)
            damaged.append(copy.path)
    if damaged:
        logger.warning(
            "`cache_dir` %s: %d of %d files are damaged, such as %s; they are decoded anew",
            folder, len(damaged), len(copies), damaged[0].name,
        )  # fmt: skip
    return missing


def _prepare(folder: Path, missing: Sequence[Recording]) -> None:
    """Make room: remove stale files, then see that the rest will do."""
    folder.mkdir(parents=True, exist_ok=True)
    for copy in missing:
        which = copy.path.name.rpartition("-")[0]
        for stale in copy.path.parent.glob(f"{which}-*{ARRAY_SUFFIX}"):
            stale.unlink(missing_ok=True)
    check_room("`cache_dir`", folder, sum(2 * copy.channels * copy.samples for copy in missing))


def _build(
    missing: Sequence[Recording], copies: dict[Recording, Recording], workers: int, progress: bool
) -> dict[Recording, AudioError]:
    """Decode the recordings; those that cannot be, with the reasons."""

    def build(recording: Recording) -> AudioError | None:
        try:
            audio = recording.read(0, recording.samples)
        except AudioError as error:
            return error
        except MemoryError:
            seconds = recording.samples / recording.sample_rate
            return AudioError(f"{recording.path}: there is no memory for the {seconds:.0f} s that it states")
        with replacing(copies[recording].path) as aside:
            np.save(aside, _compact(audio))
        return None

    with closing(prefetch(build, missing, workers=workers, ahead=workers)) as results:
        quiet = not (progress and missing)
        bar = Bar(len(missing), "decoding into the cache", unit="stems", quiet=quiet)
        return {copy: error for copy, error in zip(missing, bar.over(results), strict=True) if error}


def _compact(audio: np.ndarray) -> np.ndarray:
    """As 16-bit integers, if they hold all of it."""
    low, high = np.rint(np.array([audio.min(), audio.max()]) * 2**15)
    fits = low >= -(2**15) and high < 2**15  # false where a float file holds a NaN
    return np.rint(audio * np.float32(2**15)).astype(np.int16) if fits else audio
