"""Files that appear under their names only when they are whole."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


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
