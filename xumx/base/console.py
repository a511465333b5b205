"""What the commands print: lines that steer no terminal, and bars where there is a terminal for them."""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, TextIO, TypeVar

T = TypeVar("T")

PERIOD = 60.0
"""Seconds between the lines that stand for a bar where there is no terminal."""

LONGEST = 30
"""Characters of a label beside a bar."""

# Control characters, line separators, and what turns the direction of the text around.
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_ARGUMENT = re.compile("`([a-z][a-z0-9_]*)`")


def printable(text: str) -> str:
    """The text in one line; what would steer a terminal, as names of files may hold it, is escaped."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def flag(name: str) -> str:
    """Spell an argument as a command line does.

    Examples
    --------
    >>> flag("hidden_size")
    '--hidden-size'
    """
    return "--" + name.replace("_", "-")


def flags(text: str) -> str:
    """Spell the arguments that a message of the library names, in backquotes, as a command line does.

    Examples
    --------
    >>> flags("`overlap` is between chunks, and `chunk_dur` 0 makes one of the whole song")
    '--overlap is between chunks, and --chunk-dur 0 makes one of the whole song'
    """
    return _ARGUMENT.sub(lambda found: flag(found[1]), text)


names: dict[str, str] = {}
"""What lines say in place of words of the library's, while a command runs."""


def say(text: str) -> None:
    """Print a line on stdout, above the bars.

    Where it cannot be written it is lost, and :func:`settled` tells; but the work goes on.

    Raises
    ------
    BrokenPipeError
        If nobody reads stdout any more.
    """
    _write(text, sys.stdout)


def complain(text: str) -> None:
    """Print a line on stderr, above the bars; where it cannot be written it is lost."""
    with contextlib.suppress(BrokenPipeError):
        _write(text, sys.stderr)


def has_terminal() -> bool:
    """Whether bars can be drawn on stderr."""
    return sys.stderr.isatty()


class Bar:
    """Progress of a long work: a bar on a terminal, elsewhere a line a minute.

    Parameters
    ----------
    total : float, optional
        How much there is to do, if that is known. More is shown when more is done.
    label : str
        What is being done.
    unit : str
        Of the amounts; they are not shown without one.
    done : float
        How much of it is done already.
    quiet : bool
        Show nothing at all.
    leave : bool
        Leave the bar on the terminal at the end, or end the lines with one more.
    delay : float
        Seconds before the bar appears.
    scale : bool
        Show amounts as 1.2M.
    """

    def __init__(
        self,
        total: float | None,
        label: str = "",
        *,
        unit: str = "",
        done: float = 0,
        quiet: bool = False,
        leave: bool = True,
        delay: float = 0,
        scale: bool = False,
    ) -> None:
        self.total = total or None
        self.done = self._before = done
        self.quiet = quiet or sys.stderr is None or sys.stderr.closed
        self._label, self._waits, self._note, self._unit, self._scale = label, "", "", unit, scale
        self._began = self._said_at = time.monotonic()
        self._said: float | None = None if leave else math.inf  # what was done at the last line
        self._bar: Any = None
        if not self.quiet and has_terminal():
            from tqdm import tqdm

            self._bar = tqdm(
                desc=self._prefix(), total=self.total, initial=done, leave=leave, delay=delay,
                unit_scale=scale, bar_format=self._format(),
            )  # fmt: skip

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()
        elif self._said not in (None, self.done, math.inf):
            self._say()

    def label(self, text: str) -> None:
        """Say what is being done now."""
        self._label = text
        if self._bar is not None:
            self._bar.set_description_str(self._prefix())

    def wait(self, text: str = "") -> None:
        """Say what the work waits for, beside what is being done; nothing once it goes on."""
        self._waits = text
        if self._bar is not None:
            self._bar.set_description_str(self._prefix())

    def note(self, text: str) -> None:
        """Say how it goes, beside the amounts."""
        self._note = printable(text)
        if self._bar is not None:
            self._bar.set_postfix_str(self._note, refresh=False)

    def update(self, step: float = 1) -> None:
        """Count ``step`` more as done."""
        self.done += step
        if self._bar is not None:
            self._bar.total, self._bar.bar_format = self._whole(), self._format()
            self._bar.update(step)
        elif not self.quiet and time.monotonic() - self._said_at >= PERIOD:
            self._say()

    def reset(self) -> None:
        """Begin anew, as pooch does at the end of a download."""
        self.done = 0
        if self._bar is not None:
            self._bar.reset()

    def correct(self, by: float) -> None:
        """Count with so much more, or less, to do than was thought."""
        if self.total is not None:
            self.total = max(self.total + by, self.done)

    def over(self, items: Iterable[T]) -> Iterator[T]:
        """The items, each counted once it has been dealt with; the bar ends with them."""
        with self:
            for item in items:
                yield item
                self.update()

    def __str__(self) -> str:
        from tqdm import tqdm

        return tqdm.format_meter(
            self.done,
            self._whole(),
            time.monotonic() - self._began,
            prefix=self._prefix(),
            initial=self._before,
            postfix=self._note,
            unit_scale=self._scale,
            bar_format=self._format().replace("|{bar}|", ""),
        ).strip()

    def _say(self) -> None:
        complain(str(self))
        self._said_at = time.monotonic()
        if self._said != math.inf:
            self._said = self.done

    def _whole(self) -> float | None:
        return None if self.total is None else max(self.total, self.done)

    def _prefix(self) -> str:
        label = printable(self._label)
        if self._bar is not None and len(label) > LONGEST:  # so that there is room for the rest of the line
            label = f"{label[: LONGEST - 1]}…"
        told = ", ".join(filter(None, (label, self._waits)))
        return f"{told}: " if told else ""

    def _format(self) -> str:
        done, total = ("{n_fmt}", "{total_fmt}") if self._scale else ("{n:.0f}", "{total:.0f}")
        if self.total is None:
            return f"{{desc}}{done} {self._unit} [{{elapsed}}{{postfix}}]"
        amount = f" {done}/{total} {self._unit} [{{elapsed}}<{{remaining}}{{postfix}}]" if self._unit else ""
        return f"{{desc}}{{percentage:3.0f}}%|{{bar}}|{amount}"


def prepare() -> None:
    """Make the standard streams fit for a command, those too that are closed.

    Called first, before any file could take the place of a closed one.
    """
    names.clear()
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # File names may hold any bytes; lines come when they are written, in a pipe or a log too.
            stream.reconfigure(errors="backslashreplace", line_buffering=True)


def settled(code: int) -> int:
    """The command's exit code: 1 in place of 0 if lines on stdout were lost, which is then said."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            _drop(stream, error)
    if sys.stdout in _lost:
        complain(f"error: standard output cannot be written ({_lost.pop(sys.stdout)})")
        return code or 1
    return code


def _drop(stream: TextIO, error: OSError) -> None:
    """Let what is written to a stream from now on vanish, since it fails."""
    if not isinstance(error, BrokenPipeError):
        _lost[stream] = error.strerror or str(error)
    with contextlib.suppress(OSError, ValueError):  # a stream of a test, without a number
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


_lost: dict[TextIO, str] = {}
"""Streams that have failed, and why."""


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")


def _named(text: str) -> str:
    for word, name in names.items():
        text = text.replace(word, name)
    return text


def _write(text: str, stream: TextIO) -> None:
    bars = sys.modules.get("tqdm")  # without it there is no bar
    above = bars.tqdm.external_write_mode(stream) if bars else contextlib.nullcontext()
    try:
        with above:
            print(printable(_named(text)), file=stream, flush=True)
    except OSError as error:
        _drop(stream, error)
        if isinstance(error, BrokenPipeError):
            raise
