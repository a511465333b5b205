"""Files that appear under their names only when they are whole, and folders that one process writes to."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

from xumx.errors import UsageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Name for a new file beside ``path`` that is renamed to it when the block ends well, else removed.

    Makes the parent folders. The name keeps the suffix, since writers choose their format by it.

    Raises
    ------
    OSError
        If the folder cannot be made or the file cannot be renamed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


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
