"""A server that runs in a process of its own, as users start it."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.networks import music, random_weights, small_config
from tests.report.songs import write
from xumx.network import weights
from xumx.serve.client import Client


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Running:
    """``python -m xumx.serve`` with a folder, on a port that is free."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self._options = folder, options
        self.start()

    def start(self, *options: str) -> None:
        command = [sys.executable, "-m", "xumx.serve", "--no-browser", "--folder", str(self.folder)]
        command += [*self._options, *(options or ("--port", "0"))]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, f"no server, but {line!r}"
        self.address, _, query = found[0].partition("?")
        self.token = query.partition("=")[2] or None
        self.port = urlsplit(self.address).port
        self.client = Client(self.address, self.token)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """A request as it is, nothing added."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, given)
        answer = connection.getresponse()
        found = Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        connection.close()
        return found

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        self.process.terminate()
        self.process.stdout.close()
        return self.process.wait(20)


def form(*parts: tuple[str, Any], boundary: str = "b0undary") -> tuple[bytes, dict[str, str]]:
    """A form: fields, and files as pairs of a name and bytes; and the header that goes with it."""
    body = b""
    for name, value in parts:
        said = f'form-data; name="{name}"'
        if isinstance(value, tuple):
            said, value = f'{said}; filename="{value[0]}"', value[1]
        data = value if isinstance(value, bytes) else value.encode()
        body += f"--{boundary}\r\nContent-Disposition: {said}\r\n\r\n".encode() + data + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), {
        "content_type": f"multipart/form-data; boundary={boundary}"
    }


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """What a condition gives, once it gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("never")


def children(process: int) -> list[int]:
    """Processes that a process, whichever of its threads, has started."""
    tasks = Path(f"/proc/{process}/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


def tiny_model(folder: Path) -> Path:
    """A network that is loaded at once."""
    path = folder / "tiny.h5"
    weights.save(path, random_weights(small_config()))
    return path


def song(folder: Path, seconds: float = 1.0, seed: int = 0, name: str = "song.wav") -> Path:
    return write(folder / name, music(seconds, seed))
