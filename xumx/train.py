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
    for package in ("yaml", "soundfile") if only_check else ("nnabla", "yaml", "soundfile", "matplotlib"):
        if importlib.util.find_spec(package) is None:
            raise XumxError(
                f"training needs {package}, which is not installed; pip install 'xumx[train]' on Python 3.10"
            )
    if only_check:
        from xumx.training.check import check_data
        from xumx.training.options import parse

        return check_data(*parse(argv))
    logging.disable(logging.INFO)  # NNabla greets on import
    from xumx.training.start import prepare

    logging.disable(logging.NOTSET)
    logging.getLogger("nnabla").setLevel(logging.CRITICAL)  # what it has to say comes as an exception too
    logger, lines = logging.getLogger("xumx"), _Lines()
    logger.addHandler(lines)
    try:
        options, trainer = prepare(argv)
        results = trainer.run()
    finally:
        logger.removeHandler(lines)
    if not options.quiet:
        best = f"epoch {results['best_epoch']} with validation loss {results['best_validation_loss']:.5g}"
        print(f"best: {best}, in {Path(options.output) / 'best.h5'}")
    return 0


class _Lines(logging.Handler):
    """Warnings as lines that do not break progress bars."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(f"{record.levelname.lower()}: {record.getMessage()}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
