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

from xumx.base.options import Command, Option, declared, flag  # noqa: E402
from xumx.eval.options import EvalOptions  # noqa: E402
from xumx.separation.options import SongOptions  # noqa: E402
from xumx.serve.options import ServeOptions, WorkerOptions  # noqa: E402
from xumx.study.options import PASSED, StudyOptions  # noqa: E402
from xumx.train.options import Options  # noqa: E402

PAGE = ROOT / "docs" / "options.md"

HEAD = """\
# Options

Written by `python tools/options.py` from the classes that declare them: `xumx/separation/options.py`,
`xumx/train/options.py`, `xumx/eval/options.py`, `xumx/serve/options.py` and `xumx/study/options.py`. A
command's `--help` says the same. `@FILE` takes options from a file, with `#` comments.
"""


def page() -> str:
    """All of it."""
    parts = [HEAD]
    for command in (SongOptions, Options, EvalOptions, ServeOptions, WorkerOptions, StudyOptions):
        parts += [f"\n## {command.PROG}\n\n{command.ABOUT}\n", *_tables(command)]
        if command is Options:
            parts.append("\nA run that goes on cannot change options that are marked *fixed*.\n")
    passed = ", ".join(f"`{flag(name)}`" for name in PASSED)
    return "".join([*parts, f"\nAs in xumx.train, with its defaults: {passed}.\n"])


def _tables(command: type[Command]) -> Iterator[str]:
    for group, options in groupby(declared(command).values(), key=lambda one: one.group):
        yield f"\n### {group}\n" if group else ""
        yield "\n| option | default | |\n| --- | --- | --- |\n"
        yield from map(_row, options)


def _row(one: Option) -> str:
    value = f" {one.metavar}" if one.metavar else ""
    flags = ", ".join(f"`{spelling}`" for spelling in (flag(one.name) + value, *one.also))
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
