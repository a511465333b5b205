"""Write docs/options.md, the options of the commands, from their classes.

python tools/options.py
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from xumx.base.console import flag  # noqa: E402
from xumx.base.options import Command, Option, declared  # noqa: E402
from xumx.convert import ConvertOptions  # noqa: E402
from xumx.demo.options import DemoDataset, DemoSong  # noqa: E402
from xumx.eval.options import EvalOptions  # noqa: E402
from xumx.export import ExportOptions  # noqa: E402
from xumx.models import ModelsOptions  # noqa: E402
from xumx.separation.options import SongOptions  # noqa: E402
from xumx.serve.options import ServeOptions, WorkerOptions  # noqa: E402
from xumx.study.options import PASSED, StudyOptions  # noqa: E402
from xumx.train.options import TrainOptions  # noqa: E402

COMMANDS: tuple[type[Command], ...] = (
    *(SongOptions, DemoSong, DemoDataset, ModelsOptions, TrainOptions, EvalOptions, StudyOptions),
    *(ConvertOptions, ExportOptions, ServeOptions, WorkerOptions),
)

PAGE = ROOT / "docs" / "options.md"

HEAD = """\
# Options

Written by `python tools/options.py` from the classes that declare them, one a command. `--help-all`, or
`--help` where a command has only that, says the same. `@FILE` takes options from a file, with `#` comments.
`python -m xumx.test` is `xumx separate`; the others are called `xumx` and the last part of their names.
"""


def page() -> str:
    """All of it."""
    parts = [HEAD]
    for command in COMMANDS:
        about = " ".join(command.ABOUT.split())
        parts += [f"\n## {command.PROG}\n\n{about}\n", *_tables(command)]
        if command is TrainOptions:
            parts.append("\nA run that goes on cannot change options that are marked *fixed*.\n")
        if command is StudyOptions:
            passed = ", ".join(f"`{flag(name)}`" for name in PASSED)
            parts.append(f"\nAs in xumx.train, with its defaults: {passed}.\n")
    return "".join(parts)


def _tables(command: type[Command]) -> Iterator[str]:
    for group, options in groupby(declared(command).values(), key=lambda one: one.group):
        yield f"\n### {group}\n" if group else ""
        yield "\n| option | default | |\n| --- | --- | --- |\n"
        yield from map(_row, options)


def _row(one: Option) -> str:
    value = f" {one.metavar}" if one.metavar else ""
    named = (flag(one.name) + value, *one.also)
    flags = ", ".join(f"`{spelling}`" for spelling in ((one.metavar, *named) if one.positional else named))
    told = [one.help.replace("|", "\\|").replace("<", "\\<")]
    if one.choices:
        told.append("one of " + ", ".join(f"`{choice}`" for choice in one.choices))
    if one.range:
        told.append(one.range.text)
    if one.of:
        told.append("for `--dataset` " + _or(f"`{kind}`" for kind in one.of))
    if one.fixed and one.stored:
        told.append("*fixed*")
    return f"| {flags} | {_default(one)} | {'; '.join(told)} |\n"


def _default(one: Option) -> str:
    if one.default is None or one.default is False or one.default == ():
        return "required" if one.required else ""
    values = one.default if isinstance(one.default, tuple) else (one.default,)
    return f"`{' '.join(map(str, values))}`"


def _or(names: Iterable[str]) -> str:
    return " or ".join(names)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
