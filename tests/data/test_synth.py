"""Generated data sets as readers of MUSDB18 meet them."""

from __future__ import annotations

from pathlib import Path

import musdb
import numpy as np
import pytest

from xumx.data.musdb import configuration, musdb_tracks
from xumx.demo.__main__ import main


@pytest.fixture(scope="module", params=["stems", "wav"])
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth") / str(request.param)
    options = ["--tracks", "1", "--valid", "2", "--test", "1", "--duration", "1.5", "--quiet"]
    assert main(["dataset", "--out", str(out), "--format", str(request.param), *options]) == 0
    return out


@pytest.mark.parametrize(
    "subset, split, count", [("train", "train", 1), ("train", "valid", 2), ("test", None, 1)]
)
def test_musdb_and_xumx_read_the_same(root: Path, subset: str, split: str | None, count: int) -> None:
    is_wav = root.name == "wav"
    tracks = musdb_tracks(root, subset, split, is_wav=is_wav)
    theirs = musdb.DB(root=str(root), is_wav=is_wav, subsets=subset, split=split).tracks
    assert [track.name for track in tracks] == [track.name for track in theirs]
    assert len(tracks) == count
    if split == "valid":
        assert {track.name for track in tracks} <= set(configuration()["validation_tracks"])
    track, reference = tracks[0], theirs[0]
    assert set(track.sources) == set(reference.sources) == {"drums", "bass", "other", "vocals"}
    total = np.zeros((track.samples, 2))
    for source in track.sources:
        audio = track.read(source, 0, track.samples, 2)
        wanted = reference.sources[source].audio[: track.samples]
        assert np.abs(audio.clip(-1, 1) - wanted).max() <= (0 if is_wav else 2**-15), source
        total += audio
    mixture = track.read("mixture", 0, track.samples, 2)
    assert np.mean((mixture - total) ** 2) <= (0 if is_wav else 0.01) * np.mean(mixture**2)


def test_there_are_fourteen_validation_tracks(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset", "--out", str(tmp_path / "new"), "--valid", "15"]) == 2
    told = capfd.readouterr().err
    assert "--valid is at most 14" in told and told.count("\n") == 1 and not (tmp_path / "new").exists()
