"""Warnings as lines for the user; of several processes rank 0 prints them all."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from xumx.console import complain

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
