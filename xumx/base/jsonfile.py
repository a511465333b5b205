"""JSON from files that anyone may have written: bounded, and of the shape that is asked for.

Whoever reads JSON here says what it must look like as a Python type, which msgspec holds it against:
``dict[str, list[int]]``, a ``TypedDict`` (other names beside its own do not matter) or a dataclass.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from xumx.base.errors import XumxError

LARGEST = 32 * 2**20
"""Bytes of a file: scores of a day of music have fewer. In memory it may take thirty times as many."""

DEEPEST = 32
"""Lists and objects within each other. What prints, compares or copies them calls itself for each."""

T = TypeVar("T")


class JsonError(XumxError):
    """JSON that is none, or that is not what it should be.

    Parameters
    ----------
    reason : str
        What is wrong with it.
    path : path, optional
        Where it stands.
    """

    def __init__(self, reason: str, path: Path | None = None) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.reason = reason


def read(path: str | os.PathLike[str], kind: type[T], *, largest: int = LARGEST) -> T:
    """What a file holds.

    Parameters
    ----------
    path : path
    kind : type
        What it must be.
    largest : int
        Bytes that it may have.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    JsonError
        If it cannot be read, or is something else; the message names the file.
    """
    path = Path(path)
    try:
        return parse(_bytes(path, largest), kind)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None
    except OSError as error:
        raise JsonError(f"cannot be read ({error.strerror or error})", path) from None
    except JsonError as error:
        raise JsonError(error.reason, path) from None


def parse(text: bytes | str, kind: type[T]) -> T:
    """What a text is in JSON; see :func:`read`.

    Raises
    ------
    JsonError
        If it is none, or something else.
    """
    try:
        content = json.loads(text if isinstance(text, str) else text.decode("utf-8-sig"))
    except RecursionError:
        raise JsonError(f"is nested more than {DEEPEST} levels deep") from None
    except ValueError as error:
        raise JsonError(f"is no JSON ({error})") from None
    if _depth(content) > DEEPEST:
        raise JsonError(f"is nested more than {DEEPEST} levels deep")
    checked: T = check(content, kind)
    return checked


def check(content: Any, kind: Any) -> Any:
    """The same content as a value of this type.

    Raises
    ------
    JsonError
        If it is of another.
    """
    try:
        return msgspec.convert(content, kind)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise JsonError(f"does not hold what it should ({error})") from None


def _bytes(path: Path, largest: int) -> bytes:
    with open(path, "rb", opener=_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise JsonError("is no regular file")
        if status.st_size > largest:
            raise JsonError(f"is too large, {status.st_size} bytes of at most {largest}")
        return file.read(largest)


def _without_waiting(path: str, flags: int) -> int:
    """Open a file, of a pipe too without a writer at its other end."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _depth(content: Any) -> int:
    """How many lists and objects stand in each other; counted without calling itself."""
    depth, level = 0, _within([content])
    while level:
        depth, level = depth + 1, _within(chain.from_iterable(map(_values, level)))
    return depth


def _within(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, (dict, list))]


def _values(outer: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return outer if isinstance(outer, list) else outer.values()
