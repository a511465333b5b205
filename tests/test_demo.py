"""``python -m xumx.demo song``, and the model that comes with the package."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.networks import random_weights, small_config
from xumx import audio
from xumx.demo import song
from xumx.demo.__main__ import main
from xumx.network import pretrained, weights
from xumx.network.config import SOURCES


def test_a_song_its_stems_their_scores_and_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["song", "--out", str(out), "--duration", "4", "--seed", "3", "--no-open"]) == 0

    said = capsys.readouterr().out
    assert str(out / "index.html") in said
    rows = [line.split() for line in said.splitlines() if line.split()[:1] and line.split()[0] in SOURCES]
    assert {row[0] for row in rows} == set(SOURCES), said
    for source, before, after in rows:
        assert float(after) > float(before) + 3, f"{source}: {before} dB in the mixture, {after} dB after"
    mix, rate = audio.read(out / "song 3.flac")
    for source in SOURCES:
        for folder, suffix in (("stems", "wav"), ("truth", "flac")):
            stem, its_rate = audio.read(out / folder / f"{source}.{suffix}")
            assert (stem.shape, its_rate) == (mix.shape, rate), f"{folder} of {source}"
    page = (out / "index.html").read_text(encoding="utf-8")
    for source, _, after in rows:  # with a digit more on the page
        (shown,) = re.findall(rf'<th scope="row">{source}</th>\s*<td>([−\d.]+)</td>', page)
        assert float(shown.replace("−", "-")) == pytest.approx(float(after), abs=0.06), source


def test_the_song_that_comes_with_xumx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(song, "_scores", lambda *_: {})
    weights.save(tmp_path / "small.h5", random_weights(small_config()))
    out = tmp_path / "out"
    assert main(["song", "--model", str(tmp_path / "small.h5"), "--out", str(out), "--no-open"]) == 0
    assert "comes with xumx" in capsys.readouterr().out
    mix, rate = audio.read(out / "song.flac")
    assert rate == 44100 and 20 < len(mix) / rate < 30
    truth = {source: audio.read(out / "truth" / f"{source}.flac")[0] for source in SOURCES}
    assert np.abs(mix - sum(truth.values())).max() < 2.1e-4  # six roundings to 16 bits
    for source, stem in truth.items():  # none is another in disguise, and all sound most of the time
        loud = np.abs(stem).max(axis=1)[: len(stem) // rate * rate].reshape(-1, rate).max(axis=1) > 0.01
        assert loud.mean() > 0.7, source
    for one in range(4):
        for other in range(one):
            pair = [np.ravel(list(truth.values())[k]) for k in (one, other)]
            assert abs(np.corrcoef(pair)[0, 1]) < 0.2, (SOURCES[one], SOURCES[other])


def test_a_seed_is_a_song(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(song, "_scores", lambda *_: {})  # which takes most of the time
    weights.save(tmp_path / "small.h5", random_weights(small_config()))
    songs = []
    for out, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        options = ["--model", str(tmp_path / "small.h5"), "--out", str(tmp_path / out), "--seed", seed]
        assert main(["song", *options, "--duration", "3", "--quiet"]) == 0
        songs.append((tmp_path / out / f"song {seed}.flac").read_bytes())
    assert songs[0] == songs[1] != songs[2]


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["sing"], "did you mean song?"),
        (["song", "--seed", "-1"], "--seed"),
        (["song", "--duration", "1"], "--duration"),
        (["song", "--model", "demos"], "'demo'"),
    ],
)
def test_bad_usage_is_one_line(argv: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(argv)
    except SystemExit as stop:
        code = stop.code
    said = capsys.readouterr()
    assert (code, said.out, said.err.count("\n")) == (2, "", 1) and text in said.err, (argv, said.err)


def test_a_folder_that_cannot_be_is_said_before_a_song_is_composed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xumx.synth.song", lambda *_: pytest.fail("composes"))
    (tmp_path / "file").touch()
    assert main(["song", "--out", str(tmp_path / "file" / "below")]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("error: --out ") and said.err.count("\n") == 1 and not said.out, said
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=10**6))
    assert main(["song", "--out", str(tmp_path / "new")]) == 1
    assert "more than are free" in capsys.readouterr().err


def test_the_folder_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "index.html").write_text("mine")
    assert main(["song", "--out", str(tmp_path)]) == 1
    assert (tmp_path / "index.html").read_text() == "mine" and "index.html" in capsys.readouterr().err


def test_the_model_is_small_and_in_half_precision() -> None:
    path = pretrained.resolve("demo")
    assert path.stat().st_size < 12e6
    assert weights.load(path).config.sources == SOURCES
