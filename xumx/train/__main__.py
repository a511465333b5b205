"""``python -m xumx.train``: train UMX or X-UMX."""

from __future__ import annotations

import importlib.util
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":  # until there are handlers, Ctrl-C ends without a word
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from xumx.base.cli import run
from xumx.base.console import complain, say
from xumx.base.errors import XumxError, install
from xumx.base.interrupts import Interrupts, name
from xumx.base.log import hush_nnabla
from xumx.base.ranks import Rank
from xumx.parallel.job import together
from xumx.train.options import Given, TrainOptions

if TYPE_CHECKING:
    from xumx.train.trainer import Trainer


def main(argv: Sequence[str] | None = None) -> int:
    """Train as ``argv`` says, or check the data; 0 if all is well, 1 if it failed, 2 for wrong usage.

    SIGINT and SIGTERM end training at the next step, with a checkpoint, and the code is 130 or 143; all else,
    and a second signal, they end at once.
    """
    with Interrupts() as interrupts:
        return run(partial(_main, interrupts=interrupts), argv)


def _main(argv: Sequence[str] | None, interrupts: Interrupts) -> int:
    # First of all, so that --help and wrong options answer at once.
    given = TrainOptions.given(argv)
    for package in ("nnabla", "musdb", "soundfile", "matplotlib"):
        if importlib.util.find_spec(package) is None:
            raise XumxError(
                f"training needs {package}, which is not installed; {install('train')}, on Python 3.10"
            )
    rank = Rank.detect()
    if "check_data" in given:
        return _check(given) if rank.rank == 0 else 0
    if rank.size == 1:
        return _train(given, None, interrupts)
    with together(rank) as world:
        interrupts.leave = world.Abort
        return _train(given, world, interrupts)


def _check(given: Given) -> int:
    hush_nnabla()
    from xumx.train.check import check_data

    return check_data(given)


def _train(given: Mapping[str, Any], world: Any, interrupts: Interrupts) -> int:
    hush_nnabla()
    from xumx.train.start import prepare

    leads = world is None or world.rank == 0
    with ExitStack() as stack:
        options, trainer = prepare(given, world, stack)
        try:
            with interrupts.noted():
                results = trainer.run(interrupts.asked)
        except SystemError as error:
            # What NNabla makes of an error in functions that it calls.
            raise _first(error) from None
    if number := trainer.stopped or interrupts.number:
        if leads:
            complain(_stopped(number, options, trainer))
        return 128 + number
    if leads and not options.quiet:
        best = f"epoch {results['best_epoch']} with validation loss {results['best_validation_loss']:.5g}"
        say(f"best: {best}, in {Path(options.output) / 'best.h5'}")
    return 0


def _stopped(number: int, options: TrainOptions, trainer: Trainer) -> str:
    """Where a run was when a signal came, and how it goes on."""
    if not trainer.stopped:
        return f"interrupted by {name(number)} when the run was over"
    at = trainer.position
    return (
        f"stopped by {name(number)} in epoch {at.epoch + 1}, after {at.samples} samples of it; "
        f"go on with python -m xumx.train --model {shlex.quote(options.output)}"
    )


def _first(error: BaseException) -> BaseException:
    """The error that the others followed from."""
    while before := error.__cause__ or error.__context__:
        error = before
    return error


if __name__ == "__main__":
    Interrupts().__enter__()  # for good: a signal that comes when main has ended is answered too
    sys.exit(main())
