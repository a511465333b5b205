"""``xumx completion``: what a shell needs to complete commands and options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from xumx.base.cli import run
from xumx.base.options import Command, declared, option

_SHELLS = ("bash", "zsh", "tcsh")


@dataclass(frozen=True, kw_only=True)
class CompletionOptions(Command):
    """Options of ``xumx completion``."""

    PROG: ClassVar[str] = "xumx completion"
    ABOUT: ClassVar[str] = "Print a script that completes the commands and options of xumx in a shell."
    USAGE: ClassVar[str] = "SHELL"
    EXAMPLES: ClassVar[tuple[str, ...]] = ("bash > ~/.local/share/bash-completion/completions/xumx",)

    shell: str = option(
        "",
        "bash, zsh or tcsh",
        metavar="SHELL",
        choices=("bash", "zsh", "tcsh"),
        positional=True,
        required=True,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the script for the shell that ``argv`` names; 0, or 2 for wrong usage."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    args = CompletionOptions.parse(argv)
    import shtab

    print(shtab.complete(_tree(), args.shell))
    return 0


def _tree() -> argparse.ArgumentParser:
    """One parser of all commands, which says where names of files belong."""
    from xumx import __main__
    from xumx.convert import ConvertOptions
    from xumx.demo.options import DemoDataset, DemoSong
    from xumx.eval.options import EvalOptions
    from xumx.export import ExportOptions
    from xumx.models import ModelsOptions
    from xumx.separation.options import SongOptions
    from xumx.serve.options import ServeOptions, WorkerOptions
    from xumx.study.options import StudyOptions
    from xumx.train.options import TrainOptions

    known: dict[str, type[Command]] = {
        "separate": SongOptions, "models": ModelsOptions, "train": TrainOptions, "eval": EvalOptions,
        "study": StudyOptions, "convert": ConvertOptions, "export": ExportOptions,
        "completion": CompletionOptions, "serve": ServeOptions, "worker": WorkerOptions,
    }  # fmt: skip
    root = argparse.ArgumentParser(prog="xumx")
    commands = root.add_subparsers()
    for name, command in __main__.COMMANDS.items():
        parser = commands.add_parser(name, help=command.about)
        if name == "demo":
            parts = parser.add_subparsers()
            for part, options in (("song", DemoSong), ("dataset", DemoDataset)):
                _add(parts.add_parser(part, help=options.ABOUT), options)
        else:
            _add(parser, known[name])
    return root


def _add(parser: argparse.ArgumentParser, command: type[Command]) -> None:
    """Give a parser the options of a command."""
    import shtab

    for one in declared(command).values():
        one.add_to(parser)
    for action in parser._actions:
        if action.metavar in ("FILE", "DIR", "PATH", "INPUT", "OUTPUT", "AUDIO"):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
