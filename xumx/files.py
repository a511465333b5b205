"""Files that appear under their names only when they are whole, and folders that one process writes to."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from xumx.errors import UsageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"


ASIDE = ".xumx-"
"""How the names of folders begin that hold what is not whole yet."""


@contextlib.contextmanager
def aside(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """A new hidden folder in ``folder`` for what is not whole yet; it goes with the block.

    Those that processes left there that were killed go first: nobody holds their locks any more. File
    systems without locks keep them.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    _sweep(os.path.abspath(folder))
    while True:
        place = Path(tempfile.mkdtemp(prefix=ASIDE, dir=folder))
        with open(place / LOCK, "ab") as lock:
            if not _hold(lock, place / LOCK):
                continue  # another process has just taken it for a forsaken one
            try:
                yield place
            finally:
                lock.close()  # before it is removed, for Windows
                shutil.rmtree(place, ignore_errors=True)
            return


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Place for a new file that is moved to ``path`` when the block ends well, else removed.

    Makes the parent folders. The place has the file's name, since writers choose their format by it.

    Raises
    ------
    OSError
        If the folder cannot be made or the file cannot be moved.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with aside(path.parent) as place:
        yield place / path.name
        (place / path.name).replace(path)


@functools.lru_cache(maxsize=1024)  # once a run is enough
def _sweep(folder: str) -> None:
    """Remove what killed processes left."""
    if fcntl is None:
        return
    for place in Path(folder).glob(f"{ASIDE}*"):
        with contextlib.suppress(OSError), open(place / LOCK, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(place, ignore_errors=True)


def _hold(file: IO[bytes], path: Path) -> bool:
    """Lock a new file while it is open; whether it is ours and there still."""
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            pass
    return path.exists()


@contextlib.contextmanager
def locked(folder: Path, name: str = LOCK, what: str = "--output") -> Iterator[None]:
    """Keep other processes out of the block for the same folder; the lock ends with its process.

    ``name`` is that of the file that is locked; ``what`` calls the folder in the message.

    File systems without locks let everyone in.

    Raises
    ------
    UsageError
        If another process is in it.
    OSError
        If the folder cannot be written.
    """
    if fcntl is None:
        yield
        return
    path = folder / name
    with contextlib.ExitStack() as stack:
        while True:
            file = stack.enter_context(open(path, "a+", encoding="utf-8"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().strip() or "another process"
                raise UsageError(
                    f"{what} {folder} is in use by {holder}; end that run, or use another folder"
                ) from None
            except OSError:  # a file system without locks
                pass
            if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                break  # else the process that had the lock has removed the file
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
