"""The errors a user can mend. Each message is one line: what is wrong, where, and what to do."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable

logger = logging.getLogger(__name__)


def install(extra: str) -> str:
    """How to install an extra: xumx is in no package index, so from a clone of its repository."""
    return f'pip install ".[{extra}]" in a clone of xumx'


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
