"""The headers of many files, read once: a large tree of them is not opened again for each run."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from xumx.data.recording import Recording, recordings
from xumx.errors import AudioError
from xumx.files import replacing
from xumx.prefetch import prefetch
from xumx.progress import bar

NAME = "xumx-headers.json"
FORMAT = 1
"""Part of the file: a change of what it holds makes all old files stale."""

logger = logging.getLogger(__name__)


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

    def examine(path: Path) -> tuple[str, list[int] | AudioError]:
        """The name in the file, and size, time, samples, channels and rate."""
        name = path.relative_to(root).as_posix()
        try:
            status = path.stat()
            state = [status.st_size, status.st_mtime_ns]
            if name in known and known[name][:2] == state:
                return name, known[name]
            found = recordings(path)[0]
        except OSError as error:
            return name, AudioError(f"{path}: cannot be read: {error.strerror}")
        except AudioError as error:
            return name, error
        return name, [*state, found.samples, found.channels, found.sample_rate]

    headers: dict[Path, Recording | AudioError] = {}
    new: dict[str, list[int]] = {}
    with closing(prefetch(examine, paths, workers=workers, ahead=64 * workers)) as results:
        shown = bar(results, "headers", len(paths), unit="file", leave=False, delay=1, quiet=not progress)
        for path, (name, found) in zip(paths, shown, strict=True):
            if isinstance(found, AudioError):
                headers[path] = found
                continue
            new[name] = found
            headers[path] = Recording(path, 0, *found[2:])
    if not new.items() <= known.items():
        others = {name: state for name, state in known.items() if name not in new and (root / name).exists()}
        _save({**others, **new}, folders)
    return headers


def _load(folders: Sequence[Path]) -> dict[str, list[int]]:
    for folder in folders:
        path = folder / NAME
        try:
            return _checked(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            if not isinstance(error, NotADirectoryError):
                logger.warning("%s: cannot be read (%s); it is made anew", os.fspath(path), error)
    return {}


def _checked(content: Any) -> dict[str, list[int]]:
    if content["format"] != FORMAT:
        return {}
    files: dict[str, list[int]] = content["files"]
    if not all(len(state) == 5 and all(type(value) is int for value in state) for state in files.values()):
        raise ValueError("it does not hold five numbers a file")
    return files


def _save(files: dict[str, list[int]], folders: Sequence[Path]) -> None:
    text = json.dumps({"format": FORMAT, "files": files})
    for folder in folders:
        try:
            with replacing(folder / NAME) as aside:
                aside.write_text(text, encoding="utf-8")
            return
        except OSError as error:
            logger.debug("%s: %s", folder / NAME, error)
