"""HDF5 files that are whole or not there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import h5py

from xumx.files import replacing


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """A new file that is made in memory, and appears under ``path`` when the block ends well.

    In memory, because HDF5 does not take a full disk well: it fails again and again while it cleans up.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        yield file
        file.flush()
        image = file.id.get_file_image()
    with replacing(path) as aside:
        aside.write_bytes(image)
