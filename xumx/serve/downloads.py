"""What leaves the server as a file: names for it, and several files as one."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

_BLOCK = 1 << 18
_AWKWARD = re.compile(r'[\\/:*?"<>|\x00-\x1f\x7f]')  # somewhere no part of a file's name


def suggested(song: str, what: str) -> str:
    """What a download is called.

    >>> suggested('My "song".mp3', "vocals.wav")
    'My _song_ - vocals.wav'
    """
    stem = song.rpartition(".")[0] or song
    return f"{_AWKWARD.sub('_', stem)} - {_AWKWARD.sub('_', what)}"


def attachment(name: str) -> dict[str, str]:
    """The header by which a browser saves an answer under a name.

    >>> attachment("é.wav")
    {'content-disposition': "attachment; filename*=UTF-8''%C3%A9.wav"}
    """
    return {"content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}


def zipped(files: Mapping[str, Path]) -> Iterator[bytes]:
    """A ZIP archive of files by their names in it, block by block; sound does not become smaller by it."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for name, path in files.items():
            entry = zipfile.ZipInfo.from_file(path, name, strict_timestamps=False)
            with open(path, "rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                while block := source.read(_BLOCK):
                    target.write(block)
                    yield pipe.take()
    yield pipe.take()


class _Pipe:
    """A file that can only be written, and is read away."""

    def __init__(self) -> None:
        self._held = bytearray()

    def write(self, data: bytes) -> int:
        self._held += data
        return len(data)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        taken = bytes(self._held)
        self._held.clear()
        return taken
