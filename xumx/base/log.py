"""Warnings as lines for the user; of several processes rank 0 prints them all."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

from xumx.base.console import complain
from xumx.base.errors import XumxError
from xumx.base.errors import listing as listing

Line = tuple[str, str]
"""What a line is about, and its text."""


class Lines(logging.Handler):
    """Prints warnings so that they do not break progress bars, and of each subject one.

    A record's subject is its text, if it has no attribute ``subject``: several processes may not be able to
    read the same track.

    Parameters
    ----------
    prints : bool
        Whether this process prints, or keeps its lines until :meth:`take`.
    """

    def __init__(self, prints: bool = True) -> None:
        super().__init__(logging.WARNING)
        self._prints = prints
        self._known: set[str] = set()
        self._waiting: list[Line] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = f"{record.levelname.lower()}: {record.getMessage()}"
        line = getattr(record, "subject", text), text
        if self._prints:
            self.show([line])
        else:
            self._waiting.append(line)

    def take(self) -> list[Line]:
        """The lines that have come up since, for the process that prints."""
        self.acquire()  # threads that draw samples warn too
        lines, self._waiting = self._waiting, []
        self.release()
        return lines

    def show(self, lines: Iterable[Line]) -> None:
        """Print those whose subject is new, if this process prints."""
        for subject, text in lines:
            if self._prints and subject not in self._known:
                self._known.add(subject)
                complain(text)


logger = logging.getLogger(__name__)


Result = TypeVar("Result")


class WarnOnce:
    """Logs one warning a subject, whichever thread meets it first."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, subject: str, message: str) -> None:
        with self._lock:
            new = subject not in self._known
            self._known.add(subject)
        if new:
            logger.warning("%s", message, extra={"subject": subject})


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def with_warnings(find: Callable[[], Result]) -> tuple[Result, list[str]]:
    """What a function that looks for tracks gives, and its warnings, the first also in its error."""
    handler = _Lines()
    logger.addHandler(handler)
    try:
        return find(), handler.lines
    except XumxError as error:
        if handler.lines:
            raise type(error)(f"{error}; the first: {handler.lines[0]}") from None
        raise
    finally:
        logger.removeHandler(handler)
