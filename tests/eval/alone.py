"""Scoring in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from xumx.eval.scores import Members
from xumx.eval.work import MakeEstimator, Outcome, Task, _run, _Worker


def in_this_process(
    tasks: Iterable[Task], make: MakeEstimator, members: Members, *, processes: int, threads: int
) -> Iterator[Outcome]:
    """In place of `evaluate_all`, whose new processes take seconds to start."""
    _Worker.start(make, members, threads)
    for task in tasks:
        yield _run(task)
