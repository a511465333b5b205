"""``python -m xumx.train``: train UMX or X-UMX."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from xumx.args import run
from xumx.errors import XumxError, install
from xumx.parallel.job import together
from xumx.ranks import Rank
from xumx.training.args import train_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Train as ``argv`` says, or check the data; 0 if all is well, 1 if it failed, 2 for wrong usage."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    # First of all, so that --help and wrong options answer at once.
    only_check = train_parser().parse_args(argv).check_data is not None
    for package in ("nnabla", "yaml", "soundfile", "matplotlib"):
        if importlib.util.find_spec(package) is None:
            raise XumxError(
                f"training needs {package}, which is not installed; {install('train')}, on Python 3.10"
            )
    rank = Rank.detect()
    if only_check:
        return _check(argv) if rank.rank == 0 else 0
    if rank.size == 1:
        return _train(argv, None)
    with together(rank) as world:
        return _train(argv, world)


def _check(argv: Sequence[str] | None) -> int:
    logging.disable(logging.INFO)  # NNabla greets on import
    from xumx.training.check import check_data
    from xumx.training.options import parse

    logging.disable(logging.NOTSET)
    return check_data(*parse(argv))


def _train(argv: Sequence[str] | None, world: Any) -> int:
    logging.disable(logging.INFO)  # NNabla greets on import
    from xumx.training.lines import Lines
    from xumx.training.start import prepare

    logging.disable(logging.NOTSET)
    logging.getLogger("nnabla").setLevel(logging.CRITICAL)  # what it has to say comes as an exception too
    leads = world is None or world.rank == 0
    logger, lines = logging.getLogger("xumx"), Lines(prints=leads)
    with ExitStack() as stack:
        logger.addHandler(lines)
        logger.propagate = False  # NNabla prints whatever comes to the root
        stack.callback(setattr, logger, "propagate", True)
        stack.callback(logger.removeHandler, lines)
        options, trainer = prepare(argv, world, lines, stack)
        try:
            results = trainer.run()
        except SystemError as error:
            # What NNabla makes of an error, or an interrupt, in functions that it calls.
            raise _first(error) from None
    if leads and not options.quiet:
        best = f"epoch {results['best_epoch']} with validation loss {results['best_validation_loss']:.5g}"
        print(f"best: {best}, in {Path(options.output) / 'best.h5'}")
    return 0


def _first(error: BaseException) -> BaseException:
    """The error that the others followed from."""
    while before := error.__cause__ or error.__context__:
        error = before
    return error


if __name__ == "__main__":
    sys.exit(main())
