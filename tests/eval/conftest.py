from __future__ import annotations

import pytest

from tests.eval.alone import in_this_process


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Score in this process; that new ones score is for those tests that are about them."""
    monkeypatch.setattr("xumx.eval.work.evaluate_all", in_this_process)
