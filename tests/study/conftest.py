from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.musdb_set import make_musdb, mono
from tests.study.studies import study
from xumx.eval.scores import Members
from xumx.eval.work import MakeEstimator, Outcome, Task, evaluate
from xumx.study import work as scoring
from xumx.train import record


def _in_this_process(
    tasks: Sequence[Task], make: MakeEstimator, members: Members, *, processes: int, threads: int
) -> Iterator[Outcome]:
    """In place of new processes, which take seconds to start."""
    estimate = make(threads) if tasks else None
    for task in tasks:
        assert estimate is not None
        evaluate(task, estimate, members, threads=threads)
        yield Outcome(task)


@pytest.fixture(autouse=True, scope="session")
def in_this_process() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "evaluate_all", _in_this_process)
        patch.setattr(record, "draw_curve", lambda *_: None)  # a third of the time of a small run
        yield


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_musdb(tmp_path_factory.mktemp("musdb"), 3, 2.2, stems=False, valid=1, test=2, compose=mono)


@pytest.fixture(scope="session")
def finished(root: Path, tmp_path_factory: pytest.TempPathFactory, in_this_process: None) -> Path:
    """A study of two losses and two architectures. Tests that change it take a copy."""
    output = tmp_path_factory.mktemp("finished") / "study"
    assert study(root, output, "--losses", "L1freq", "L2time", "--arch", "x-umx", "umx") == 0
    return output
