"""``python -m xumx.study``: train a network with each of many losses, and compare them."""

from __future__ import annotations

import importlib.util
import logging
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xumx.args import run
from xumx.comparison.args import study_parser
from xumx.errors import XumxError, install
from xumx.parallel.job import joined

if TYPE_CHECKING:
    from xumx.parallel.communicator import Communicator


def main(argv: Sequence[str] | None = None) -> int:
    """Study as ``argv`` says; 0 if all is done, 1 if a configuration failed, 2 for wrong usage."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    # First of all, so that --help and wrong options answer at once.
    args = study_parser().parse_args(argv)
    for package in ("nnabla", "yaml", "soundfile", "matplotlib", "pandas"):
        if importlib.util.find_spec(package) is None:
            raise XumxError(
                f"a study needs {package}, which is missing; {install('train,eval')}, on Python 3.10"
            )
    with joined() as ranks:
        return _study(args, ranks)


def _study(args: Namespace, ranks: Communicator) -> int:
    logging.disable(logging.INFO)  # NNabla greets on import
    from tqdm.contrib.logging import logging_redirect_tqdm

    from xumx.comparison.study import study

    logging.disable(logging.NOTSET)
    logging.getLogger("nnabla").setLevel(logging.CRITICAL)  # what it has to say comes as an exception too
    with logging_redirect_tqdm([logging.getLogger("xumx")]):
        errors = study(args, ranks)
    if errors:
        page = Path(args.output) / "study.md"
        print(f"error: {len(errors)} failed; the others are compared in {page}", file=sys.stderr)
    elif not args.quiet and ranks.rank == 0:
        print(f"tables, pictures and study.md are in {args.output}")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
