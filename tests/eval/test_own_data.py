"""``python -m xumx.eval`` on tracks that are not MUSDB18's."""

from __future__ import annotations

from pathlib import Path

import museval
import numpy as np
import pandas as pd
import pytest
import soundfile

from tests.folder_sets import write_track
from tests.networks import random_weights, small_config
from xumx.eval.__main__ import main
from xumx.eval.scores import read_scores
from xumx.network.weights import save

SOURCES = ("speech", "rain", "café")
pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two mono tracks of three sources in flac, one of them with a recorded mixture."""
    root = tmp_path_factory.mktemp("own")
    files = [f"{source}.flac" for source in SOURCES]
    write_track(root / "valid" / "1", files, 1.2, channels=1)
    write_track(root / "valid" / "2", [*files, "mixture.flac"], 1.1, seed=1, channels=1)
    return root


def options(root: Path, folder: Path, *more: str) -> list[str]:
    own = ["--dataset", "trackfolder_fix", "--subset", "valid", "--sources", *SOURCES, "--ext", "flac"]
    return ["--root", str(root), "--evaldir", str(folder), "--quiet", *own, *more]


def test_any_sources_are_scored(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "floor"
    assert main(options(root, folder, "--baseline", "mixture")) == 0
    for track in ("1", "2"):
        truth = np.stack([soundfile.read(root / "valid" / track / f"{s}.flac")[0] for s in SOURCES])
        recorded = root / "valid" / track / "mixture.flac"
        mixture = soundfile.read(recorded)[0] if recorded.exists() else truth.sum(axis=0)
        wanted = museval.evaluate(truth, np.stack([mixture] * 3))
        ours = read_scores(folder / "valid" / f"{track}.json")
        for metric, values in enumerate(wanted):
            for source, row in zip(SOURCES, values, strict=True):
                both = np.minimum([ours[source][metric], row], 100)  # beyond it there is only rounding
                np.testing.assert_allclose(*both, atol=1e-3, err_msg=f"{track} {source}")
    page = (folder / "report" / "report.md").read_text(encoding="utf-8")
    assert "café" in page and "published" not in page


def test_a_network_of_these_sources(root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "net.h5", random_weights(small_config(sources=SOURCES, nb_channels=1)))
    assert main(options(root, tmp_path / "scores", "--model", str(tmp_path / "net.h5"))) == 0
    table = pd.read_csv(tmp_path / "scores" / "scores.csv")
    assert set(table["target"]) == set(SOURCES) and set(table["track"].astype(str)) == {"1", "2"}
    assert not capfd.readouterr().err


def test_a_track_that_is_left_out_fails_the_run(
    root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    write_track(data / "valid" / "good", [f"{source}.flac" for source in SOURCES], 1.1, channels=1)
    write_track(data / "valid" / "bad", ["speech.flac"], 1.1, channels=1)
    assert main(options(data, tmp_path / "scores", "--baseline", "mixture")) == 1
    (error,) = capfd.readouterr().err.splitlines()
    assert error.startswith("error: ") and "bad: misses rain.flac" in error


@pytest.mark.parametrize(
    "argv, named",
    [
        (["--dataset", "trackfolder_fix", "--is-wav"], "--is-wav"),
        (["--dataset", "trackfolder_fix", "--split", "valid"], "--split"),
        (["--dataset", "trackfolder_fix"], "no folder 'test'"),
        (["--sources", "a", "b"], "--sources"),
        (["--ext", ".mp3"], "--ext"),
        (["--subset", "valid"], "unknown subset 'valid'"),
        (["--dataset", "trackfolder_fix", "--subset", "valid"], "none of the 2 tracks"),
    ],
)
def test_what_does_nothing_is_refused(
    root: Path, tmp_path: Path, argv: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["--root", str(root), "--evaldir", str(tmp_path), "--baseline", "mixture", *argv])
    (line,) = capsys.readouterr().err.splitlines()
    assert code == (1 if "none" in named else 2) and named in line
    assert not list(tmp_path.iterdir())
