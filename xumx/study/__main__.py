"""``python -m xumx.study``: train a network with each of many losses, and compare them."""

from __future__ import annotations

import importlib.util
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":  # as in xumx.train
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from xumx.base.cli import run
from xumx.base.console import complain, say
from xumx.base.errors import XumxError, install
from xumx.base.interrupts import Interrupts
from xumx.base.log import hush_nnabla
from xumx.parallel.job import joined
from xumx.study.options import StudyOptions

if TYPE_CHECKING:
    from xumx.parallel.communicator import Communicator


def main(argv: Sequence[str] | None = None) -> int:
    """Study as ``argv`` says; 0 if all is done, 1 if a configuration failed, 2 for wrong usage.

    SIGINT and SIGTERM end training at the next step, with a checkpoint, and all else at once; the code is 130
    or 143, and the same command goes on.
    """
    with Interrupts() as interrupts:
        return run(partial(_main, interrupts=interrupts), argv)


def _main(argv: Sequence[str] | None, interrupts: Interrupts) -> int:
    # First of all, so that --help and wrong options answer at once.
    args = StudyOptions.parse(argv)
    for package in ("nnabla", "musdb", "soundfile", "matplotlib", "pandas"):
        if importlib.util.find_spec(package) is None:
            raise XumxError(
                f"a study needs {package}, which is missing; {install('train,eval')}, on Python 3.10"
            )
    with joined() as ranks:
        interrupts.leave = ranks.leave
        return _study(args, ranks, interrupts)


def _study(args: StudyOptions, ranks: Communicator, interrupts: Interrupts) -> int:
    hush_nnabla()
    from xumx.study.study import study

    errors = study(args, ranks, interrupts)
    if errors:
        page = Path(args.output) / "study.md"
        complain(f"error: {len(errors)} failed; the others are compared in {page}")
    elif not args.quiet and ranks.rank == 0:
        say(f"tables, pictures and study.md are in {args.output}")
    return 1 if errors else 0


if __name__ == "__main__":
    Interrupts().__enter__()  # as in xumx.train
    sys.exit(main())
