"""``--song-metrics``: what is measured of songs as a whole, beside museval's scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from tests.musdb_set import RATE, write_wavs
from xumx.eval import options as declared
from xumx.eval.__main__ import main
from xumx.signal.metrics import SONG_METRICS, sdr

SOURCES = ("vocals", "drums", "bass", "other")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("musdb")
    for index, name in enumerate(("A - One", "B - Two")):
        noise = 0.1 * np.random.default_rng(index).standard_normal((4, 1, RATE + 100))
        write_wavs(folder / "test" / name, {"mixture": noise.sum(axis=0), **dict(zip(SOURCES, noise))})
    (folder / "train").mkdir()
    return folder


def test_what_can_be_chosen_is_what_can_be_measured():
    assert tuple(SONG_METRICS) == declared.SONG_METRICS


def test_songs_are_measured_as_a_whole(root, alone, tmp_path, capsys):
    folder = tmp_path / "scores"
    options = ["--root", str(root), "--is-wav", "--baseline", "mixture", "--fast", "--evaldir", str(folder)]
    assert main(options) == 0
    assert not (folder / "songs.csv").exists(), "museval's alone are the default"
    plain = (folder / "scores.csv").read_bytes()
    assert main([*options, "--song-metrics", "sdr"]) == 0
    first = capsys.readouterr().out
    assert main([*options, "--song-metrics", *SONG_METRICS]) == 0, "those that are missing are measured"
    assert (folder / "scores.csv").read_bytes() == plain
    table = pd.read_csv(folder / "songs.csv")
    assert len(table) == 2 * 4 * 4
    for row in table.itertuples():
        truth, mixture = (
            soundfile.read(root / "test" / row.track / f"{name}.wav", always_2d=True)[0]
            for name in (row.target, "mixture")
        )
        assert row.score == pytest.approx(SONG_METRICS[row.metric](truth, mixture, RATE), abs=1e-3)
    found = table[table["metric"] == "sdr"]["score"]
    (mean,) = (line for line in first.splitlines() if line.startswith("| mean") and line.count("|") == 4)
    assert float(mean.split("|")[2]) == pytest.approx(found.mean(), abs=6e-3)
    assert found.iloc[0] == pytest.approx(-4.77, abs=0.2), "three other sources as loud as this one"
    (folder / "songs" / "test" / "A - One.json").write_text("{}")
    assert main([*options, "--song-metrics", "sdr"]) == 0
    again = json.loads((folder / "songs" / "test" / "A - One.json").read_text())
    assert set(again) == set(SOURCES) and sdr(np.ones((1, 1)), np.ones((1, 1))) == pytest.approx(70, abs=1e-3)
