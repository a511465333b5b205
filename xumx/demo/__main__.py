"""``python -m xumx.demo``: see what xumx does, offline."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from xumx.base.commands import Subcommand, called_as, dispatch

COMMANDS = {
    "song": Subcommand("xumx.demo.song", "separate a song and listen to its stems; if none is named, this"),
    "dataset": Subcommand("xumx.demo.dataset", "write songs with their stems, in MUSDB18's layout"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Do what ``argv`` says; 0 if all is done, 1 if it failed, 2 for wrong usage."""
    prog = called_as("python -m xumx.demo")
    return dispatch(prog, "See what xumx does, offline.", COMMANDS, argv, usual="song")


if __name__ == "__main__":
    sys.exit(main())
