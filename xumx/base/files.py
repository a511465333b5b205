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

from xumx.base.errors import UsageError, XumxError

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
    XumxError
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        raise XumxError(f"{option} {folder}: cannot be written ({error.strerror or error})") from None
    if needed > free:
        raise XumxError(
            f"{option} {folder} needs {size(needed)}, {size(needed - free)} more than are free on its disk; "
            "make room, or give a folder on another"
        )


def size(count: int) -> str:
    """Bytes in the unit that fits: ``1.4 GB``."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} bytes"
