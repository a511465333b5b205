"""What FFmpeg does not tell of how a file is built."""

from __future__ import annotations

import os
import struct
from functools import lru_cache
from typing import NamedTuple

_MOST = 1000
"""Chunks that are looked at: sound comes after a few."""

_BEGINS = b"OggS\0\2"
"""First bytes of the page that begins a stream in Ogg; coded sound has them by chance in one of 10⁷ files."""

STREAMED = 0x7F00_0000
"""Bytes from which a size of 32 bits says nothing: programs that write to a pipe leave such numbers."""


class _Layout(NamedTuple):
    """Of a format made of chunks; sizes are in bytes."""

    begin: int  # of the first chunk
    name: int
    number: str  # how `struct` reads the size of a chunk
    counted: int  # of a chunk's header, in that size
    multiple: int  # to which chunks are filled up
    most: int = 1 << 60


_LAYOUTS = {
    b"RIFF": _Layout(12, 4, "<I", 0, 2, STREAMED),  # WAV
    b"caff": _Layout(8, 4, ">q", 0, 1),
    b"riff": _Layout(40, 16, "<Q", 24, 8),  # Sony Wave64
}


def promised_bytes(path: str | os.PathLike[str]) -> int | None:
    """Read the size of the samples in a WAV, CAF or W64 file off its header; None where that leaves it open.

    A file that was not downloaded to its end has fewer bytes; FFmpeg tells what is there, and not what should
    be.

    Raises
    ------
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile, wave
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with wave.open(f"{folder}/a.wav", "wb") as file:
    ...         file.setparams((1, 2, 8000, 0, "NONE", ""))
    ...         file.writeframes(bytes(100))
    ...     promised_bytes(f"{folder}/a.wav")
    100
    """
    with open(path, "rb") as file:
        magic = file.read(4)
        if magic == b"RF64":  # a WAV beyond 4 GiB: its first chunk, ds64, has the size as the second number
            return _number("<Q", file.read(32)[24:])
        layout = _LAYOUTS.get(magic)
        if layout is None:
            return None
        at = layout.begin
        header = layout.name + struct.calcsize(layout.number)
        for _ in range(_MOST):
            file.seek(at)
            start = file.read(header)
            number = _number(layout.number, start[layout.name :])
            if number is None or number < layout.counted:
                return None
            size = number - layout.counted
            if start[:4] == b"data":
                return size if 0 < size < layout.most else None
            at += header + size + -size % layout.multiple
    return None


def is_chained(path: str | os.PathLike[str], streams: int) -> bool:
    """Tell whether one recording follows another in an Ogg file.

    Each has a time line of its own then, and a seek by time may end in any of them.

    Parameters
    ----------
    path : path
    streams : int
        How many there are side by side.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    if not os.path.isfile(path):  # a pipe is read once
        return False
    status = os.stat(path)
    return _beginnings(os.fspath(path), status.st_size, status.st_mtime_ns) > streams


@lru_cache(maxsize=4096)
def _beginnings(path: str, size: int, changed: int) -> int:
    """Streams that begin in an Ogg file; its size and time stand for what it holds."""
    found, tail = 0, b""
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            found += (tail + block).count(_BEGINS)
            tail = block[1 - len(_BEGINS) :]
    return found


def _number(kind: str, field: bytes) -> int | None:
    return int(struct.unpack(kind, field)[0]) if len(field) == struct.calcsize(kind) else None
