from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from xumx.base.errors import XumxError
from xumx.train.record import Record, line_of, results

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
    assert series["validation-loss.series.txt"] == ["1", "3", "2", "2", "3", "2.5"]
    assert series["training-loss.series.txt"] == ["1", "4", "2", "3", "3", "3.5"]
    assert series["best-epoch.series.txt"] == ["1", "1", "2", "2", "3", "2"]
    assert (tmp_path / "loss.png").stat().st_size > 0
    summary = json.loads((tmp_path / "run.json").read_text())
    assert summary["state"] == "done" and summary["context"] == "cpu"
    assert [(e["epoch"], e["best_epoch"]) for e in summary["history"]] == [(1, 1), (2, 2), (3, 2)]
    assert summary["results"] == results(epochs)
    assert results(epochs)["best_epoch"] == 2 and results(epochs)["seconds"] == 6


@pytest.mark.parametrize("loss", [0.123456, -12.3456])
def test_lines_fit_a_terminal(loss: float) -> None:
    epoch = {"epoch": 998, "learning_rate": 3.75e-5, "samples_per_second": 123.456}
    line = line_of({**epoch, "training_loss": loss, "validation_loss": loss}, best=True)
    assert line.startswith("epoch 999: ") and line.endswith("(best), rate 3.75e-05, 123 samples/s")
    assert len(line) < 80


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    record = Record(tmp_path / "run", {}, [])
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(XumxError, match="run: cannot be written"):
        record.update(history(1.0), "training")
