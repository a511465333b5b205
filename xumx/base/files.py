"""Files that appear under their names only when they are whole, and folders that one process writes to."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from xumx.base.errors import UsageError, WriteError

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = ".lock"

_WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}
"""What file systems say that have no locks."""

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
        lock = _held(place / LOCK)
        if lock is None:
            continue  # another process has just taken it for a forsaken one
        try:
            yield place
        finally:
            lock.release()  # before it is removed, for Windows
            _remove(place)
        return


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Place for a new file that is moved to ``path`` when the block ends well, else removed.

    Makes the parent folders. The place has the file's name, since writers choose their format by it.

    Raises
    ------
    WriteError
        If the folder cannot be made, or the file cannot be written or moved.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "notes" / "a.txt"
    ...     with replacing(path) as new:
    ...         print(new.write_text("whole"), path.exists())
    ...     print(path.read_text())
    5 False
    whole
    """
    path = Path(path)
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside(path.parent) as place:
            yield place / path.name
            (place / path.name).replace(path)


@contextlib.contextmanager
def writing_to(what: str | os.PathLike[str]) -> Iterator[None]:
    """Let the system's errors in the block say what cannot be written: a path, or an argument with its path.

    Raises
    ------
    WriteError
        In place of an OSError.
    """
    try:
        yield
    except OSError as error:
        kept = "; the one before is kept" if os.path.isfile(what) else ""
        raise WriteError(f"{os.fspath(what)}: cannot be written ({error.strerror or error}){kept}") from error


def make_folder(folder: Path, argument: str = "") -> None:
    """Make a folder, unless it is there; ``argument`` calls it in the error.

    Raises
    ------
    WriteError
        If it cannot be made.
    """
    with writing_to(f"`{argument}` {folder}" if argument else folder):
        folder.mkdir(parents=True, exist_ok=True)


@functools.lru_cache(maxsize=1024)  # once a run is enough
def _sweep(folder: str) -> None:
    """Remove what killed processes left."""
    for path in Path(folder).glob(f"{ASIDE}*/{LOCK}"):
        with contextlib.suppress(OSError):
            with _lock(path):
                shutil.rmtree(path.parent, ignore_errors=True)
            _remove(path.parent)  # again, as Windows keeps the file while it is locked


def _remove(place: Path) -> None:
    """Remove a folder that is aside; on Windows what is in use stays, until a later run sweeps it."""
    shutil.rmtree(place, ignore_errors=True)
    if place.exists():
        with contextlib.suppress(OSError):
            (place / LOCK).touch()


def _lock(path: Path, timeout: float = 0) -> BaseFileLock:
    from filelock import FileLock  # 20 to 40 ms, which only who writes a file pays

    # Writers are closed by other threads than they were opened by.
    return FileLock(path, timeout, thread_local=False, poll_interval=0.02, fallback_to_soft=False)


def _held(path: Path, timeout: float = 0) -> BaseFileLock | None:
    """A lock that is ours, None if it is another's; file systems without locks let everyone in."""
    from filelock import Timeout

    lock = _lock(path, timeout)
    try:
        lock.acquire()
    except Timeout:
        return None
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS:
            raise
    return lock


@contextlib.contextmanager
def locked(folder: Path, name: str = LOCK, what: str = "`output`") -> Iterator[None]:
    """Keep other processes out of the block for the same folder; the lock ends with its process.

    ``name`` is that of the file that is locked; ``what`` calls the folder in the message.

    File systems without locks let everyone in.

    Raises
    ------
    UsageError
        If another process is in it.
    WriteError
        If the folder cannot be written.
    """
    path = folder / name
    with writing_to(f"{what} {folder}"):
        lock = _held(path, timeout=0.1)  # a process that ends removes the file, and the next makes it again
    if lock is None:
        holder = "another process"
        with contextlib.suppress(OSError):  # on Windows nobody else can read it
            holder = path.read_text(encoding="utf-8").strip() or holder
        raise UsageError(f"{what} {folder} is in use by {holder}; end that run, or use another folder")
    try:
        with contextlib.suppress(PermissionError):  # on Windows, where it is locked for reading and writing
            path.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(PermissionError):
            path.unlink(missing_ok=True)
        lock.release()


def check_room(option: str, folder: Path, needed: int) -> None:
    """See that files can be written into a folder, which is made if it is missing, and that they will fit.

    Parameters
    ----------
    option : str
        What the command calls the folder.
    folder : Path
    needed : int
        Bytes.

    Raises
    ------
    WriteError
    """
    with writing_to(f"{option} {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    if needed > free:
        raise WriteError(
            f"{option} {folder} needs {size(needed)}, {size(needed - free)} more than are free on its disk; "
            "make room, or give a folder on another"
        )


def size(count: int) -> str:
    """Bytes in the unit that fits: ``1.4 GB``."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} bytes"
