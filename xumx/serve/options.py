"""The options of ``python -m xumx.serve`` and ``python -m xumx.serve.worker``."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import platformdirs

from xumx.base.options import AT_LEAST_ONE, POSITIVE, Command, Range, like, option

_web = partial(option, group="web")
_limits = partial(option, group="limits")
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)b?", text.lower())
    if found is None or not float(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 500M or 20G")
    return round(float(found[1]) * _UNITS[found[2]])


@dataclass(frozen=True, kw_only=True)
class FolderOptions(Command):
    """Options of whoever separates songs of the server's folder."""

    folder: str | None = option(
        None, "where songs and stems are kept; a folder of the user's data if not given", metavar="DIR"
    )
    workers: int = option(1, "processes that separate, each a song at a time", range=AT_LEAST_ONE)
    models: tuple[str, ...] = option(
        (), "weights of your own that may be chosen, by the names of their files", metavar="PATH"
    )
    model_dir: str | None = option(None, "folder of downloaded weights; also XUMX_HOME", metavar="DIR")
    broker: str | None = option(
        None, "a Redis that leads songs to workers on other machines: redis://HOST:6379/0", metavar="URL"
    )
    quiet: bool = option(False, "print errors and warnings only", also=("-q",))

    @property
    def place(self) -> Path:
        """The folder."""
        if self.folder is None:
            return Path(platformdirs.user_data_dir("xumx")) / "serve"
        return Path(self.folder).expanduser()


@dataclass(frozen=True, kw_only=True)
class ServeOptions(FolderOptions):
    """Options of ``python -m xumx.serve``."""

    PROG: ClassVar[str] = "python -m xumx.serve"
    ABOUT: ClassVar[str] = "Separate songs in the browser, and by HTTP."

    model: str = option("x-umx", "the network that is chosen where nobody chooses")
    workers: int = like(
        FolderOptions,
        "workers",
        help="processes that separate, each a song at a time; 0, with --broker: others do it",
        range=Range("0 or more", lambda value: value >= 0),
    )

    host: str = _web("127.0.0.1", "address to listen on; any but a loopback one needs the token")
    port: int = _web(8000, "0 is any that is free", range=Range("0 to 65535", lambda p: 0 <= p <= 65535))
    no_browser: bool = _web(False, "do not open the page in a browser")
    token: str | None = _web(None, "ask for this token; made and kept in the folder where one is needed")
    allow_host: tuple[str, ...] = _web(
        (), "names by which the server may be called, as behind a proxy", metavar="NAME"
    )
    root_path: str | None = _web(
        None, "path of the page behind a proxy that leaves it in the requests: /stems"
    )
    music_dir: str | None = _web(None, "folder whose songs may be asked for by their path", metavar="DIR")

    max_upload: int = _limits(500_000_000, "bytes of a song: 500M", type=_size, metavar="SIZE")
    max_duration: float = _limits(3600.0, "seconds of a song", range=POSITIVE, metavar="SECONDS")
    max_queue: int = _limits(200, "songs that may wait", range=AT_LEAST_ONE, metavar="N")
    patience: float = _limits(30.0, "for which a request may pause", range=POSITIVE, metavar="SECONDS")
    keep: float | None = _limits(
        None, "remove songs so long after they are done; never if not given", range=POSITIVE, metavar="DAYS"
    )
    max_disk: int | None = _limits(
        None, "remove the oldest songs that are done beyond this: 20G", type=_size, metavar="SIZE"
    )

    @property
    def root(self) -> str:
        """The path of the page, without the last slash."""
        path = (self.root_path or "").strip("/")
        return f"/{path}" if path else ""


@dataclass(frozen=True, kw_only=True)
class WorkerOptions(FolderOptions):
    """Options of ``python -m xumx.serve.worker``."""

    PROG: ClassVar[str] = "python -m xumx.serve.worker"
    ABOUT: ClassVar[str] = "Separate songs for a server on another machine, whose folder this one shares."

    folder: str | None = like(
        FolderOptions, "folder", help="the server's folder, as it is mounted here", required=True
    )
    broker: str | None = like(
        FolderOptions, "broker", help="the server's Redis: redis://HOST:6379/0", required=True
    )
    max_duration: float = like(ServeOptions, "max_duration")
