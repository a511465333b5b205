from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from tests.eval.alone import in_this_process


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Score in this process, and draw nothing: both are for those tests that are about it."""
    monkeypatch.setattr("xumx.eval.work.evaluate_all", in_this_process)
    monkeypatch.setattr("xumx.eval.report.box_plots", lambda *_: Figure((1, 1)))
