"""``python -m xumx.train``: train UMX or X-UMX."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from xumx.args import run
from xumx.errors import XumxError
from xumx.training.args import train_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Train as ``argv`` says, or check the data; 0 if all is well, 1 if it failed, 2 for wrong usage."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    # First of all, so that --help and wrong options answer at once.
    only_check = train_parser().parse_args(argv).check_data is not None
    if only_check:
        _need("yaml", "soundfile", what="--check-data", advice="pip install 'xumx[data]'")
        from xumx.training.check import check_data
        from xumx.training.options import parse

        return check_data(*parse(argv))
    packages = ("nnabla", "yaml", "soundfile", "matplotlib")
    _need(*packages, what="training", advice="pip install 'xumx[train]' on Python 3.10")
    logging.disable(logging.INFO)  # NNabla greets on import
    from xumx.training.start import prepare

    logging.disable(logging.NOTSET)
    logging.getLogger("nnabla").setLevel(logging.CRITICAL)  # what it has to say comes as an exception too
    logger, lines = logging.getLogger("xumx"), _Lines()
    logger.addHandler(lines)
    logger.propagate = False  # NNabla prints whatever comes to the root
    try:
        options, trainer = prepare(argv)
        results = trainer.run()
    finally:
        logger.removeHandler(lines)
        logger.propagate = True
    if not options.quiet:
        best = f"epoch {results['best_epoch']} with validation loss {results['best_validation_loss']:.5g}"
        print(f"best: {best}, in {Path(options.output) / 'best.h5'}")
    return 0


def _need(*packages: str, what: str, advice: str) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise XumxError(f"{what} needs {package}, which is not installed; {advice}")


class _Lines(logging.Handler):
    """Warnings as lines that do not break progress bars."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(f"{record.levelname.lower()}: {record.getMessage()}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
