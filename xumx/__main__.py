"""``xumx`` and ``python -m xumx``: all commands under one name."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from xumx.base.cli import run
from xumx.base.commands import Subcommand, dispatch
from xumx.base.console import say

COMMANDS = {
    "separate": Subcommand("xumx.test", "separate songs into stems"),
    "demo": Subcommand("xumx.demo.__main__", "hear what xumx does, offline; or write songs to train on"),
    "models": Subcommand("xumx.models", "list the networks that can be had by name"),
    "serve": Subcommand("xumx.serve.__main__", "separate in the browser, and by HTTP"),
    "worker": Subcommand("xumx.serve.worker", "separate for a server on another machine"),
    "train": Subcommand("xumx.train.__main__", "train a network on MUSDB18 or your own data"),
    "eval": Subcommand("xumx.eval.__main__", "score separation, or compare scores"),
    "study": Subcommand("xumx.study.__main__", "train with many losses, and compare them"),
    "convert": Subcommand("xumx.convert", "convert weights from PyTorch's, and to them"),
    "export": Subcommand("xumx.export", "write a network as an ONNX file"),
    "completion": Subcommand("xumx.completion", "write what a shell needs to complete commands"),
}
"""Every command; it is imported when it is called."""

_MORE = """
examples:
  xumx separate song.mp3
  xumx separate song.mp3 live/ -o stems -n x-umx -f mp3
  xumx demo
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Call the command that ``argv`` names; 0 if all is done, 1 if it failed, 2 for wrong usage."""
    if list(sys.argv[1:] if argv is None else argv)[:1] in (["--version"], ["-V"]):
        return run(_version, argv)
    about = "Music source separation: a song goes in; vocals, drums, bass and the rest come out."
    return dispatch("xumx", about, COMMANDS, argv, more=_MORE)


def _version(_: Sequence[str] | None) -> int:
    from xumx import __version__

    say(f"xumx {__version__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
