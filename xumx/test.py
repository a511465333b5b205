"""``python -m xumx.test``: separate songs into stems.

``separate`` and ``separate_args_dict`` stand here for programs written for Sony's code; new ones use
:func:`xumx.separate`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from xumx.base import log
from xumx.base.cli import run
from xumx.parallel.job import joined
from xumx.separation.compat import separate, separate_args_dict
from xumx.separation.options import SongOptions

__all__ = ["main", "separate", "separate_args_dict"]


def main(argv: Sequence[str] | None = None) -> int:
    """Separate what ``argv`` names; 0 if every song was separated, 1 if one failed, 2 for wrong usage."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    args = SongOptions.parse(argv)  # first of all, so that --help and wrong options answer at once
    if args.quiet:
        log.only_errors()
    if args.live:
        from xumx.separation.pcm import separate_live

        return separate_live(args)
    with joined() as ranks:
        from xumx.separation.work import separate_songs  # after it is known how many threads a rank has

        return separate_songs(args, ranks)


if __name__ == "__main__":
    sys.exit(main())
