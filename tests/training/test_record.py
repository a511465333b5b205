from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from xumx.errors import XumxError
from xumx.training.record import Record, results

pytestmark = pytest.mark.usefixtures("curve")


def history(*losses: float) -> list[dict[str, float]]:
    best = [losses.index(min(losses[: n + 1])) for n in range(len(losses))]
    return [
        {
            "epoch": n,
            "training_loss": loss + 1,
            "validation_loss": loss,
            "learning_rate": 0.1 / (n + 1),
            "best_epoch": best[n],
            "seconds": 2.0,
        }
        for n, loss in enumerate(losses)
    ]


def test_series_are_those_of_the_whole_history(tmp_path: Path) -> None:
    """Also of a run that goes on, whatever an earlier process wrote after its last checkpoint."""
    epochs = history(3.0, 2.0, 2.5)
    record = Record(tmp_path, {}, [])
    for n in (1, 2, 3):
        record.update(epochs[:n], "training")
    record = Record(tmp_path, {}, epochs[:2])
    record.update(epochs, "done")
    series = {path.name: path.read_text().split() for path in tmp_path.glob("*.series.txt")}
    assert series["validation-loss.series.txt"] == ["0", "3", "1", "2", "2", "2.5"]
    assert series["training-loss.series.txt"] == ["0", "4", "1", "3", "2", "3.5"]
    assert series["best-epoch.series.txt"] == ["0", "0", "1", "1", "2", "1"]
    assert (tmp_path / "loss.png").stat().st_size > 0
    summary = json.loads((tmp_path / "run.json").read_text())
    assert summary["state"] == "done" and summary["history"] == epochs
    assert summary["results"] == results(epochs)
    assert results(epochs)["best_epoch"] == 1 and results(epochs)["seconds"] == 6


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    record = Record(tmp_path / "run", {}, [])
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(XumxError, match="run: cannot be written"):
        record.update(history(1.0), "training")
