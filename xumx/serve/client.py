"""A client of the HTTP interface, of the standard library alone.

client = Client("http://127.0.0.1:8000")
job = client.separate("song.mp3", model="x-umx", format="flac")
client.save(job, "stems")
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from xumx.base.errors import XumxError

_BLOCK = 1 << 20


class ServerError(XumxError):
    """What the server refuses; ``status`` is that of HTTP."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Client:
    """A server, by its address.

    Parameters
    ----------
    address : str
        As the server prints it, without the token.
    token : str, optional
    timeout : float
        Seconds to wait for an answer, or for more of one.
    """

    def __init__(self, address: str, token: str | None = None, timeout: float = 60.0) -> None:
        self._address, self._timeout = address.rstrip("/"), timeout
        self._headers = {"authorization": f"Bearer {token}"} if token else {}

    def separate(self, song: str | os.PathLike[str], **options: Any) -> dict[str, Any]:
        """Send a song and wait until it is done; as :meth:`add` and :meth:`wait`."""
        return self.wait(self.add(song, **options))

    def add(self, song: str | os.PathLike[str], *, name: str | None = None, **options: Any) -> dict[str, Any]:
        """Send a song, in memory that does not grow with it.

        Parameters
        ----------
        song : path
        name : str, optional
            What the server calls it.
        **options
            Those of ``xumx separate`` by their names; several values as a list.

        Returns
        -------
        dict
            The job.

        Raises
        ------
        ServerError
        """
        boundary = uuid.uuid4().hex
        head = b"".join(_fields(boundary, options))
        shown = (name or Path(song).name).replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        head += (
            f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="{shown}"\r\n'
            "content-type: application/octet-stream\r\n\r\n"
        ).encode("utf-8", "surrogateescape")
        tail = f"\r\n--{boundary}--\r\n".encode()
        with open(song, "rb") as file:
            length = len(head) + os.fstat(file.fileno()).st_size + len(tail)
            headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
            headers["content-length"] = str(length)
            return self._json("POST", "api/jobs", _parts(head, file, tail), headers)

    def jobs(self) -> list[dict[str, Any]]:
        """All jobs, the oldest first."""
        return self._json("GET", "api/jobs")

    def models(self) -> list[dict[str, Any]]:
        """Networks, and the stems that they give."""
        return self._json("GET", "api/models")

    def job(self, id: str) -> dict[str, Any]:
        """A job."""
        return self._json("GET", f"api/jobs/{quote(id, safe='')}")

    def remove(self, id: str) -> None:
        """Remove a job and its files."""
        self._open("DELETE", f"api/jobs/{quote(id, safe='')}").close()

    def wait(self, job: dict[str, Any], each: float = 0.2) -> dict[str, Any]:
        """Wait until a job is done.

        Raises
        ------
        ServerError
            If it fails, or is removed.
        """
        while job["status"] not in ("done", "failed"):
            time.sleep(each)
            job = self.job(job["id"])
        if job["status"] == "failed":
            raise ServerError(422, job["error"])
        return job

    def save(self, job: dict[str, Any], folder: str | os.PathLike[str]) -> list[Path]:
        """Download the stems into a folder, which is made; their files."""
        os.makedirs(folder, exist_ok=True)
        return [self.save_stem(job, stem, folder) for stem in job["stems"]]

    def save_stem(self, job: dict[str, Any], stem: str, folder: str | os.PathLike[str]) -> Path:
        """Download a stem into a folder; its file is called by the stem."""
        ending = job["options"].get("format", "wav")
        path = Path(folder) / f"{os.path.basename(stem)}.{ending}"
        with (
            self._open("GET", f"api/jobs/{job['id']}/stems/{quote(stem, safe='')}") as answer,
            open(path, "wb") as file,
        ):
            shutil.copyfileobj(answer, file, _BLOCK)
        return path

    def _json(self, *request: Any) -> Any:
        with self._open(*request) as answer:
            return json.load(answer)

    def _open(self, method: str, path: str, data: Any = None, headers: Any = ()) -> http.client.HTTPResponse:
        request = urllib.request.Request(
            f"{self._address}/{path}", data, {**self._headers, **dict(headers)}, method=method
        )
        try:
            return urllib.request.urlopen(request, timeout=self._timeout)
        except urllib.error.HTTPError as error:
            with error:
                body = error.read(100_000)
            try:
                why = json.loads(body)["error"]
            except (ValueError, KeyError, TypeError):
                why = f"the server answers {error.code}"
            raise ServerError(error.code, why) from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise XumxError(f"{self._address} does not answer: {reason}") from None


def _fields(boundary: str, options: dict[str, Any]) -> Iterator[bytes]:
    for name, value in options.items():
        for one in value if isinstance(value, (list, tuple)) else (value,):
            text = json.dumps(one) if isinstance(one, (dict, bool)) else str(one)
            yield f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()


def _parts(head: bytes, file: BinaryIO, tail: bytes) -> Iterator[bytes]:
    yield head
    while block := file.read(_BLOCK):
        yield block
    yield tail
