"""What the library logs (logger ``xumx``) as lines of a command; of several processes rank 0 shows all."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

from xumx.base.console import complain, flags
from xumx.base.errors import XumxError
from xumx.base.ranks import speaks

Result = TypeVar("Result")

_LOGGER = logging.getLogger("xumx")


class Line(NamedTuple):
    """What a line is about, how grave it is, and its text."""

    subject: str
    level: str
    text: str


class Lines(logging.Handler):
    """Shows warnings so that they do not break progress bars, and of each subject one.

    A record's subject is its text, if it has no attribute ``subject``: several processes may not be able to
    read the same track. Records below warnings come as logging formats them, as often as they come.

    Parameters
    ----------
    prints : bool
        Whether this process prints, or keeps its lines until :meth:`take`.
    """

    def __init__(self, prints: bool = True) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(logging.BASIC_FORMAT))
        self._prints = prints
        self._known: set[str] = set()
        self._waiting: list[Line] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.WARNING:  # of those who ask for it
            for text in self.format(record).splitlines():
                complain(text)
            return
        text = record.getMessage()
        line = Line(getattr(record, "subject", text), record.levelname.lower(), text)
        if line.subject in self._known:
            return
        if record.levelno == logging.WARNING:
            self._known.add(line.subject)
        if self._prints:
            _show(line)
        else:
            self._waiting.append(line)

    def take(self) -> list[Line]:
        """The lines that have come up since, for the process that prints."""
        with self.lock or contextlib.nullcontext():  # threads that draw samples warn too
            lines, self._waiting = self._waiting, []
        return lines

    def show(self, lines: Iterable[Line]) -> None:
        """Print those of another process whose subject is new, if this process prints."""
        with self.lock or contextlib.nullcontext():
            for line in lines:
                if self._prints and line.subject not in self._known:
                    if line.level == "warning":
                        self._known.add(line.subject)
                    _show(line)

    def flush(self) -> None:
        """Print what still waits, where the process that prints will not come to take it."""
        for line in self.take():
            _show(line)


@contextlib.contextmanager
def shown() -> Iterator[None]:
    """Show what the library logs during the block; at what level, the environment may say (XUMX_LOG)."""
    level = os.environ.get("XUMX_LOG", "").upper()
    with _handling(Lines(prints=speaks())):
        before = _LOGGER.level
        _LOGGER.setLevel(level if level in ("DEBUG", "INFO") else logging.WARNING)
        try:
            yield
        finally:
            _LOGGER.setLevel(before)


def _show(line: Line) -> None:
    complain(f"{line.level}: {flags(line.text)}")


def only_errors() -> None:
    """Show no warnings from now on."""
    for lines in _lines():
        lines.setLevel(logging.ERROR)


def take() -> list[Line]:
    """What a command of this process has to show, but leaves to rank 0."""
    return [line for lines in _lines() for line in lines.take()]


def show(found: Iterable[Line]) -> None:
    """Show what another process has taken."""
    for lines in _lines():
        lines.show(found)


def flush() -> None:
    """Show it here: rank 0 will not ask any more."""
    for lines in _lines():
        lines.flush()


def hush_nnabla() -> None:
    """Call it before NNabla is imported, which greets: what it has to say comes as an exception too."""
    logging.getLogger("nnabla").setLevel(logging.CRITICAL)


def with_warnings(find: Callable[[], Result]) -> tuple[Result, list[str]]:
    """What a function gives and its warnings, which are not shown; the first of them also in its error."""
    with _handling(Lines(prints=False)) as kept:
        try:
            result = find()
        except XumxError as error:
            found = kept.take()
            raise type(error)(f"{error}; the first: {found[0].text}") if found else error from None
        return result, [line.text for line in kept.take()]


@contextlib.contextmanager
def _handling(lines: Lines) -> Iterator[Lines]:
    """Nothing else sees what is logged during the block: NNabla prints whatever comes to the root."""
    before = _LOGGER.handlers, _LOGGER.propagate
    _LOGGER.handlers, _LOGGER.propagate = [lines], False
    try:
        yield lines
    finally:
        _LOGGER.handlers, _LOGGER.propagate = before
        lines.flush()
        lines.close()


def _lines() -> list[Lines]:
    return [handler for handler in _LOGGER.handlers if isinstance(handler, Lines)]
