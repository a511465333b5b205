"""Command lines: the parser of all commands, and the way from an error to an exit code."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NoReturn

from xumx.base.console import complain, flags, prepare, printable, settled
from xumx.base.errors import UsageError, XumxError, line_of
from xumx.base.interrupts import interrupt
from xumx.base.log import shown
from xumx.base.ranks import speaks

LONGEST = 1 << 20
"""Bytes in all files of options together, of which there may be about a thousand."""


_NESTED = 16
"""Files of options that may name each other in a row."""


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Names defaults, but for those that say nothing."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False) else super()._get_help_string(action)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        # As Python 3.13 does: what follows the flags once, and not behind each.
        values = self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"{', '.join(action.option_strings)} {values}"


class Parser(argparse.ArgumentParser):
    """Strict parser: no abbreviations, errors in one line, and ``@file`` reads options and ``#`` comments."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Help, **options)
        self._given: list[str] = []
        self._read = 0  # bytes of files of options

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; files may stand before, between and after the options."""
        self._read = 0
        self._given = list(self._expanded(sys.argv[1:] if args is None else args))
        return super().parse_intermixed_args(self._given, namespace)

    def parse_given(self, argv: Sequence[str] | None) -> tuple[argparse.Namespace, set[str]]:
        """Return what :meth:`parse_args` does, and the names of the options that were given, defaults too."""
        missing = object()
        names = [action.dest for action in self._actions if action.default is not argparse.SUPPRESS]
        args = self.parse_args(argv, argparse.Namespace(**dict.fromkeys(names, missing)))
        given = {name for name in names if getattr(args, name) is not missing}
        for name in set(names) - given:
            setattr(args, name, self.get_default(name))
        return args, given

    def print_help(self, file: Any = None) -> None:
        if speaks():
            super().print_help(file)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        super().exit(status, message if speaks() else None)

    def error(self, message: str) -> NoReturn:
        named = next((a for a in self._given if a.startswith("-") and os.path.lexists(a)), None)
        hint = f"; for the file of that name, write ./{named}" if named else ""
        self.exit(2, printable(f"error: {message}{hint} (--help lists the options)") + "\n")

    def _expanded(self, arguments: Iterable[str], within: tuple[str, ...] = ()) -> Iterator[str]:
        """The arguments, with those in the place of ``@file`` that it holds; they may name more files."""
        for argument in arguments:
            if not argument.startswith("@"):
                yield argument
                continue
            for line in self._lines(argument, within):
                try:
                    options = shlex.split(line, comments=True)
                except ValueError as error:
                    self.error(f"{argument}: {error} in the line {line!r}")
                yield from self._expanded(options, (*within, os.path.realpath(argument[1:])))

    def _lines(self, argument: str, within: tuple[str, ...]) -> list[str]:
        name = argument[1:]
        try:
            if os.path.realpath(name) in within or len(within) == _NESTED:
                raise ValueError("files of options name each other in a circle, or too deep")
            with open(name, "rb") as file:
                data = file.read(LONGEST + 1 - self._read)
            self._read += max(len(data), LONGEST >> 10)  # files that name many others end too
            if self._read > LONGEST:
                raise ValueError(f"that makes more than {LONGEST >> 20} MB of options")
            text = data.decode("utf-8-sig", "surrogateescape")  # names of files may hold any bytes
            if any(character < " " and not character.isspace() for character in text):
                raise ValueError("it is no text")
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            literal = "" if os.path.isabs(name) else f"; for a file called {argument}, write ./{argument}"
            self.error(f"{argument} means the options in the file {name!r}, but {why}{literal}")
        return text.splitlines()


def run(main: Callable[[Sequence[str] | None], int], argv: Sequence[str] | None = None) -> int:
    """Call a command's main and turn its errors into one line and an exit code: 2 wrong usage, 1 failed."""
    prepare()
    if threading.current_thread() is threading.main_thread():
        # What is half-written goes away with the exception. A command may have handlers of its own.
        for number, default in (
            (signal.SIGINT, signal.default_int_handler),
            (signal.SIGTERM, signal.SIG_DFL),
        ):
            if signal.getsignal(number) is default:
                signal.signal(number, interrupt)
    with shown(), warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")  # other people's: the library logs its own
        code = 1
        try:
            code = main(argv)
        except XumxError as error:
            code = error.exit_code
            # Of processes that were started together with the same options, one says what is wrong with them.
            if not isinstance(error, UsageError) or speaks():
                complain(f"error: {flags(str(error))}")
        except KeyboardInterrupt:
            code = 130
            complain("interrupted")
        except BrokenPipeError:  # the reader of our output has gone
            pass
        except OSError as error:  # of a file that nobody else has answered for
            complain(f"error: {line_of(error)}")
        finally:
            code = settled(code)
    return code


def extension(text: str) -> str:
    """What a file's name ends with: ``mp3`` is the same as ``.mp3``."""
    return text if "." in text else f".{text}"
