"""Commands of several commands: ``xumx separate``, ``xumx demo song``."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import NamedTuple

from xumx.base.cli import run
from xumx.base.console import printable, say
from xumx.base.errors import UsageError

_called: ContextVar[str] = ContextVar("called", default="")


class Subcommand(NamedTuple):
    """One of several commands.

    Attributes
    ----------
    module : str
        Imported when it is called; its ``main`` takes the arguments.
    about : str
        What it does, in one line.
    """

    module: str
    about: str


def called_as(usual: str) -> str:
    """Return how the user has called the command that is running; ``usual`` if not as one of several."""
    return _called.get() or usual


def sibling(name: str) -> str:
    """Return how the user would call another command of xumx, from where this one works.

    Examples
    --------
    >>> sibling("train")
    'python -m xumx.train'
    """
    return f"xumx {name}" if _called.get().startswith("xumx ") else f"python -m xumx.{name}"


@contextlib.contextmanager
def calling(name: str) -> Iterator[None]:
    """Let the parsers and messages of the block say that the command is called so."""
    token = _called.set(name)
    try:
        yield
    finally:
        _called.reset(token)


def dispatch(
    prog: str,
    about: str,
    commands: Mapping[str, Subcommand],
    argv: Sequence[str] | None,
    *,
    usual: str | None = None,
    more: str = "",
) -> int:
    """Call the command that the first argument names, with the others.

    Parameters
    ----------
    prog, about : str
        How the whole is called, and what it is.
    commands : mapping
        By their names.
    argv : sequence of str, optional
        ``sys.argv`` if not given.
    usual : str, optional
        The command that is meant where none is named; without it, the help is shown.
    more : str
        What the help says at its end.

    Returns
    -------
    int
        Exit code: of the command; 0 for help, 2 for a name that is none.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    first = arguments[0] if arguments else ""
    if first in ("-h", "--help") or (not first and usual is None):
        return run(lambda _: _help(prog, about, commands, more), argv)
    if first in commands:
        arguments = arguments[1:]
    elif usual is not None and (not first or first.startswith(("-", "@"))):
        first = usual
    else:
        return run(lambda _: _refuse(prog, first, commands), argv)
    with calling(f"{prog} {first}"):
        return int(importlib.import_module(commands[first].module).main(arguments))


def _help(prog: str, about: str, commands: Mapping[str, Subcommand], more: str) -> int:
    width = max(map(len, commands)) + 2
    lines = [f"usage: {prog} COMMAND ...", "", about, "", "commands:"]
    lines += [f"  {name:{width}}{command.about}" for name, command in commands.items()]
    lines += ["", f"{prog} COMMAND --help says what each takes."]
    for line in [*lines, *more.splitlines()]:
        say(line)
    return 0


def _refuse(prog: str, name: str, commands: Mapping[str, Subcommand]) -> int:
    near = difflib.get_close_matches(name, commands, 1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(commands)}"
    raise UsageError(f"{prog}: there is no command {printable(name)!r}; {hint}")
