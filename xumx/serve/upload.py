"""Files that come in: straight to the disk, in little memory, and under no name that a client chose."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from xumx.base.errors import XumxError
from xumx.base.files import size
from xumx.serve.choices import display_name, stored_name

FILES = 50
"""Files that one request may bring."""

_FIELDS, _FIELD = 100, 10_000  # how many, and characters of each
_BLOCK = 1 << 20
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Refused(XumxError):
    """A request that is not granted: an HTTP status, and a sentence that says why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def no_room() -> Refused:
    return Refused(507, "the server's disk is full; remove songs, or ask whoever runs it for more room")


@dataclass
class Upload:
    """A file that lies in a folder of its own.

    Parameters
    ----------
    name : str
        What the client calls it, for eyes only.
    folder : path
    file : str
        Its name there.
    size : int
        In bytes.
    digest : hash object
        SHA-256 of them.
    """

    name: str
    folder: Path
    file: str
    size: int = 0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)


@dataclass
class Form:
    """What a form holds. Files that are still there when the block is left are removed."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    files: list[Upload] = field(default_factory=list)

    def __enter__(self) -> Form:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for upload in self.files:
            shutil.rmtree(upload.folder, ignore_errors=True)


async def receive(body: AsyncIterator[bytes], content_type: str, form: Form, place: Path, most: int) -> None:
    """Read a form of ``multipart/form-data``.

    Parameters
    ----------
    body : async iterator of bytes
    content_type : str
    form : Form
        Filled, as far as it comes.
    place : path
        Where each file gets a folder of its own.
    most : int
        Bytes of a file.

    Raises
    ------
    Refused
    """
    kind, parameters = parse_options_header(content_type)
    if kind != b"multipart/form-data" or not parameters.get(b"boundary"):
        raise Refused(415, "send a form: multipart/form-data")
    reader = _Reader(form, place, most)
    try:
        parser = MultipartParser(parameters[b"boundary"], reader.callbacks())  # type: ignore[arg-type]
        async for data in body:
            parser.write(data)
            if reader.waiting >= _BLOCK:
                await asyncio.to_thread(reader.write)
        parser.finalize()
        await asyncio.to_thread(reader.write)
    except FormParserError:
        raise Refused(400, "the form breaks off, or is none") from None
    except OSError as error:
        raise no_room() if error.errno in FULL else error from None
    finally:
        reader.close()
    if not reader.ended:
        raise Refused(400, "the form breaks off before its end")


class _Reader:
    """Makes fields and files of what a parser finds, and keeps it until there is time to write."""

    def __init__(self, form: Form, place: Path, most: int) -> None:
        self._form, self._place, self._most = form, place, most
        self._header: list[bytes] = [b"", b""]
        self._headers: dict[bytes, bytes] = {}
        self._field: tuple[str, bytearray] | None = None
        self._blocks: list[tuple[Upload, bytes]] = []
        self._open: tuple[Upload, BinaryIO] | None = None
        self.waiting = 0
        self.ended = False

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._headers.clear,
            "on_header_field": lambda data, start, end: self._gather(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._gather(1, data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._begin,
            "on_part_data": lambda data, start, end: self._data(data[start:end]),
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def write(self) -> None:
        """Write what has come."""
        blocks, self._blocks, self.waiting = self._blocks, [], 0
        for upload, data in blocks:
            if self._open is None or self._open[0] is not upload:
                self.close()
                self._open = upload, open(upload.folder / upload.file, "wb")  # noqa: SIM115
            self._open[1].write(data)
            upload.digest.update(data)
        if self.ended:
            self.close()

    def close(self) -> None:
        if self._open is not None:
            file, self._open = self._open[1], None
            with file:
                file.flush()
                os.fsync(file.fileno())

    def _gather(self, part: int, data: bytes) -> None:
        self._header[part] += data

    def _header_end(self) -> None:
        name, value = self._header
        self._headers[name.lower()] = value
        self._header = [b"", b""]

    def _begin(self) -> None:
        _, said = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = said.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" not in said:
            if sum(map(len, self._form.fields.values())) >= _FIELDS:
                raise Refused(400, f"a form may have {_FIELDS} fields")
            self._field = name, bytearray()
            return
        if name != "file":
            raise Refused(400, f"files come in fields called file, not {name[:50]!r}")
        if len(self._form.files) >= FILES:
            raise Refused(413, f"a request may bring {FILES} files; send the others in another")
        # Browsers write quotes and line ends so.
        text = said[b"filename"].decode("utf-8", "replace")
        for code, letter in (("%22", '"'), ("%0D", "\r"), ("%0A", "\n")):
            text = text.replace(code, letter)
        folder = self._place / os.urandom(16).hex()
        folder.mkdir()
        self._form.files.append(Upload(display_name(text), folder, stored_name(text)))
        self._data(b"")  # a file of 0 bytes is one too

    def _data(self, data: bytes) -> None:
        if self._field is not None:
            self._field[1].extend(data)
            if len(self._field[1]) > _FIELD:
                raise Refused(413, f"{self._field[0][:50]}: a field may have {_FIELD} characters")
            return
        upload = self._form.files[-1]
        upload.size += len(data)
        if upload.size > self._most:
            raise Refused(413, f"{upload.name}: is larger than the {size(self._most)} that this server takes")
        self._blocks.append((upload, data))
        self.waiting += len(data)

    def _end(self) -> None:
        if self._field is not None:
            name, text = self._field
            self._form.fields.setdefault(name, []).append(text.decode("utf-8", "replace"))
            self._field = None

    def _finish(self) -> None:
        self.ended = True
