from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.eval.alone import in_this_process
from tests.musdb_set import make_musdb, mono
from tests.study.studies import study
from xumx.study import work as scoring
from xumx.train import record


@pytest.fixture(autouse=True, scope="session")
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "evaluate_all", in_this_process)
        patch.setattr(record, "draw_curve", lambda *_: None)  # a third of the time of a small run
        yield


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_musdb(tmp_path_factory.mktemp("musdb"), 3, 2.2, stems=False, valid=1, test=2, compose=mono)


@pytest.fixture(scope="session")
def finished(root: Path, tmp_path_factory: pytest.TempPathFactory, quick: None) -> Path:
    """A study of two losses and two architectures. Tests that change it take a copy."""
    output = tmp_path_factory.mktemp("finished") / "study"
    assert study(root, output, "--losses", "L1freq", "L2time", "--arch", "x-umx", "umx") == 0
    return output
