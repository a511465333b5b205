"""Room on a disk, looked at before hours of work and not after them."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from xumx.errors import XumxError


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
