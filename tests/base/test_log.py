from __future__ import annotations

import logging

from xumx.base.log import Lines, WarnOnce


def test_rank_0_prints_each_subject_once(capsys):
    logger = logging.getLogger("xumx.base.log")
    ranks = [Lines(prints=rank == 0) for rank in range(3)]
    for rank, lines in enumerate(ranks):
        logger.addHandler(lines)
        try:
            WarnOnce()("a track", f"seen by {rank}")
            logger.warning("the same for %s", "all")
            logger.info("no warning")
            if rank:
                WarnOnce()(f"track {rank}", f"only {rank}")
        finally:
            logger.removeHandler(lines)
    for lines in ranks:
        taken = lines.take()
        ranks[0].show(taken)
        ranks[1].show(taken)
        assert lines.take() == []
    printed = capsys.readouterr().err.splitlines()
    assert printed == [
        "warning: seen by 0",
        "warning: the same for all",
        "warning: only 1",
        "warning: only 2",
    ]
