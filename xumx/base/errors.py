"""The errors a user can mend. Each message is one line: what is wrong, where, and what to do."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

logger = logging.getLogger(__name__)


def install(extra: str) -> str:
    """Say how to install an extra, or several with commas between them, from where xumx runs.

    It is in no package index: from a clone the command names the clone, and elsewhere what the extra brings.
    """
    home = Path(__file__).parents[2]
    if (home / "pyproject.toml").is_file() and (home / "args").is_dir():
        return f"pip install -e {_quoted(f'{home}[{extra}]')}"
    packages = _required(extra)
    if not packages:
        return f"install xumx with its extra {extra}, on a Python for which that has packages"
    return " ".join(["pip install", *map(_quoted, packages)])


def _required(extra: str) -> list[str]:
    """What the installed xumx requires for extras beyond what it always does, on this Python and system."""
    from importlib.metadata import PackageNotFoundError, requires

    from packaging.requirements import Requirement

    try:
        lines = requires("xumx") or []
    except PackageNotFoundError:
        return []
    found: dict[str, None] = {}
    seen, ahead = set(), extra.split(",")
    while ahead:
        name = ahead.pop(0)
        seen.add(name)
        for one in map(Requirement, lines):
            marker, one.marker = one.marker, None
            if not marker or marker.evaluate({"extra": ""}) or not marker.evaluate({"extra": name}):
                continue
            if one.name == "xumx":  # an extra that brings others
                ahead += sorted(one.extras - seen)
            else:
                found[str(one)] = None
    return list(found)


def _quoted(text: str) -> str:
    """An argument as the system's shell takes it."""
    return f'"{text}"' if sys.platform == "win32" else shlex.quote(text)


class XumxError(Exception):
    """A run that failed: an unreadable file, weights that do not fit, a full disk.

    The commands print the message and end with ``exit_code``; no traceback reaches the user.
    """

    exit_code = 1


class UsageError(XumxError, ValueError):
    """An option or argument that cannot be right, whatever the files hold."""

    exit_code = 2


class AudioError(XumxError):
    """Audio that cannot be read, separated or written; the message names the file."""


class WriteError(XumxError):
    """A file or folder that cannot be written: :mod:`xumx.base.files` makes it of every ``OSError`` there."""


class WeightsError(XumxError):
    """A weights file that is not one, or that does not hold one whole network."""


def line_of(error: Exception, about: str | os.PathLike[str] = "") -> str:
    """An error in one line, what it is about first, if the error does not say it.

    Where a line cannot tell enough, of errors that are not ours, the log has the rest at level DEBUG.
    """
    if isinstance(error, XumxError):
        return str(error)
    logger.debug("%s", about, exc_info=error)
    if isinstance(error, OSError) and error.strerror:
        name = os.fspath(about) or error.filename
        return f"{os.fsdecode(name)}: {error.strerror}" if name else error.strerror
    text = f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
    return f"{os.fspath(about)}: {text}" if about else text


def listing(names: Iterable[str], most: int = 5) -> str:
    """Names in one line of a message, the rest of a long list as a number."""
    names = list(names)
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
