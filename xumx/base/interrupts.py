"""Ctrl-C and SIGTERM for commands that end at a moment of their own choosing."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from xumx.base.ranks import Rank

_SAME = 0.5
"""Seconds in which another signal is the same one: launchers send it to a process and to its parent."""

_LATER = 0.01  # seconds

_TURN = 0.5
"""Seconds by which each of several processes speaks after the one before, which ends them all."""


class Interrupts:
    """Answers SIGINT and SIGTERM while it is entered.

    The process ends at once, with one line and the exit code 130 or 143, unless the signal comes within
    :meth:`noted`: there the first one is kept in :attr:`number`, for the work to look at, and the second ends
    the process. Nothing is raised in a handler: it may run within a callback whose errors are lost, or within
    a function that NNabla calls, which makes another error of them.

    Attributes
    ----------
    number : int
        Of the first signal; 0 if there was none.
    leave : callable
        Called with the exit code, ends the process, and those that it works with.
    """

    def __init__(self) -> None:
        self.number = 0
        self.leave: Callable[[int], object] = os._exit
        self._noting, self._since = False, 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():  # no other may
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._answer)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before.clear()

    @contextmanager
    def noted(self) -> Iterator[None]:
        """While this is entered, the first signal ends nothing."""
        self._noting = True
        try:
            yield
        finally:
            self._noting = False

    def asked(self) -> int:
        """The first signal's number, or 0."""
        return self.number

    def _answer(self, number: int, frame: FrameType | None) -> None:
        now, first = time.monotonic(), not self.number
        if first:
            self.number, self._since = number, now
            if self._noting:
                _say(f"{name(number)}: ends after this step, with a checkpoint; again: at once", talk=True)
                return
        elif now - self._since < _SAME:
            return
        rank = Rank.detect()
        time.sleep(_TURN * min(rank.rank, 20))
        who = f"{rank}: " if rank.size > 1 else ""
        _say(f"{who}interrupted by {name(number)}" + ("" if first else ", at once"))
        self.leave(128 + number)


def interrupt(number: int, frame: FrameType | None) -> None:
    """A handler for commands that end where they are: raises KeyboardInterrupt, or SystemExit for SIGTERM.

    Where the interpreter would lose it, in a callback of a weak reference or in ``__del__``, a moment later.
    """
    while frame is not None:
        if frame.f_code.co_name == "__del__" or frame.f_globals.get("__name__") == "weakref":
            threading.Timer(_LATER, _send, (number,)).start()
            return
        frame = frame.f_back
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def _send(number: int) -> None:
    """Send a signal to the main thread, which wakes up if it sleeps or waits."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        _thread.interrupt_main(signal.Signals(number))


def name(number: int) -> str:
    """That of a signal: SIGINT."""
    return signal.Signals(number).name


def _say(text: str, *, talk: bool = False) -> None:
    """Write a line; one that is ``talk`` to a terminal only. A stream may be in use where a handler runs."""
    try:
        terminal = os.isatty(2)
        if terminal or not talk:
            os.write(2, (("\n" if terminal else "") + text + "\n").encode())  # a bar may be in the line
    except OSError:
        pass  # nobody listens
