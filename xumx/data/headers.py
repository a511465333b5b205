"""The headers of many files, read once: a large tree of them is not opened again for each run."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, TypedDict

from msgspec import Meta

from xumx.base import jsonfile
from xumx.base.console import Bar
from xumx.base.errors import AudioError, WriteError
from xumx.base.files import replacing
from xumx.base.pools import prefetch
from xumx.data.recording import Recording, recordings

NAME = "xumx-headers.json"
FORMAT = 1
"""Part of the file: a change of what it holds makes all old files stale."""

LARGEST = 128 * 2**20
"""Bytes of the file, which has some 150 for each of the others."""

logger = logging.getLogger(__name__)

State = tuple[
    Annotated[int, Meta(ge=0)],
    int,
    Annotated[int, Meta(ge=0, le=2**40)],
    Annotated[int, Meta(ge=1, le=2**10)],
    Annotated[int, Meta(ge=1, le=2**20)],
]
"""Size, time, samples (of half a year at most), channels and rate of a file."""


class _AnyFile(TypedDict):
    format: int


class _File(TypedDict):
    files: dict[str, State]


def read_headers(
    paths: Iterable[Path], root: Path, folders: Sequence[Path], *, workers: int = 0, progress: bool = True
) -> dict[Path, Recording | AudioError]:
    """The first audio stream of each file, or why there is none.

    What the files say is kept in a file of its own, by path, size and time. Paths are kept relative to the
    root, so that a data set may move.

    Parameters
    ----------
    paths : iterable of path
        Files below ``root``.
    root : path
        Folder of the data set.
    folders : sequence of path
        Where headers may be kept: the first that has some is read, the first that can be is written.
    workers : int
        Threads that read.
    progress : bool
        Whether to show a bar, if it takes longer than a second.
    """
    paths = list(dict.fromkeys(paths))
    known = _load(folders)

    def examine(path: Path) -> tuple[str, State | AudioError]:
        """The name in the file, and what is kept under it."""
        name = path.relative_to(root).as_posix()
        try:
            status = path.stat()
            size, time = status.st_size, status.st_mtime_ns
            if name in known and known[name][:2] == (size, time):
                return name, known[name]
            found = recordings(path)[0]
            samples, channels, rate = found.samples, found.channels, found.sample_rate
            return name, jsonfile.check((size, time, samples, channels, rate), State)
        except OSError as error:
            return name, AudioError(f"{path}: cannot be read: {error.strerror}")
        except jsonfile.JsonError:
            stated = f"{samples} samples of {channels} channels at {rate} Hz"
            return name, AudioError(f"{path}: states {stated}, which no recording has")
        except AudioError as error:
            return name, error

    headers: dict[Path, Recording | AudioError] = {}
    new: dict[str, State] = {}
    with closing(prefetch(examine, paths, workers=workers, ahead=64 * workers)) as results:
        bar = Bar(len(paths), "headers", unit="files", leave=False, delay=1, quiet=not progress)
        for path, (name, found) in zip(paths, bar.over(results), strict=True):
            if isinstance(found, AudioError):
                headers[path] = found
                continue
            new[name] = found
            headers[path] = Recording(path, 0, *found[2:])
    if not new.items() <= known.items():
        others = {
            name: state for name, state in known.items() if name not in new and os.path.exists(root / name)
        }
        _save({**others, **new}, folders)
    return headers


def _load(folders: Sequence[Path]) -> dict[str, State]:
    for folder in folders:
        path = folder / NAME
        try:
            if jsonfile.read(path, _AnyFile, largest=LARGEST)["format"] == FORMAT:
                return jsonfile.read(path, _File, largest=LARGEST)["files"]
            return {}
        except FileNotFoundError:
            continue
        except jsonfile.JsonError as error:
            logger.warning("%s; it is made anew", error)
    return {}


def _save(files: dict[str, State], folders: Sequence[Path]) -> None:
    text = json.dumps({"format": FORMAT, "files": files})
    for folder in folders:
        try:
            with replacing(folder / NAME) as aside:
                aside.write_text(text, encoding="utf-8")
            return
        except WriteError as error:
            logger.debug("%s", error)
