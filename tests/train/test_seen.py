"""What a run lets one see and hear: SDR of validation, metrics.csv, TensorBoard, pictures, examples."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.train.runs import arguments, load
from xumx.audio import read
from xumx.data.musdb import musdb_tracks
from xumx.separation.separator import Separator
from xumx.signal.metrics import sdr
from xumx.train.__main__ import main


def rows(output: Path) -> list[dict[str, str]]:
    with open(output / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_sdr_is_that_of_what_is_separated(wav_root, everything):
    """By the separator itself, over whole songs: tracks are of one piece, without an overlap."""
    history = load(everything).progress["position"]["history"]
    chosen = max(history, key=lambda e: max(e["validation_sdr"], e["average_validation_sdr"]))
    kind = "average_validation" if chosen["averaged"] else "validation"
    assert history[-1]["best_epoch"] == chosen["epoch"]
    separator = Separator(everything / "best.h5", chunk_dur=0)
    songs = []
    for track in musdb_tracks(wav_root, "train", "valid", is_wav=True):
        mixture = track.read("mixture", 0, track.samples, 2)
        stems = separator(mixture, 44100)
        songs.append([sdr(track.read(s, 0, track.samples, 2), stems[s]) for s in separator.config.sources])
    assert chosen[f"{kind}_sdr"] == pytest.approx(np.mean(songs), abs=1e-3)
    assert chosen[f"{kind}_median_sdr"] == pytest.approx(np.median(songs, axis=0).mean(), abs=1e-3)


def test_metrics_have_a_row_a_step_and_a_row_an_epoch(everything):
    found = rows(everything)
    assert [(row["epoch"], row["step"]) for row in found] == [
        (str(epoch), step) for epoch in (1, 2) for step in ("1", "2", "3", "4", "")
    ]
    history = json.loads((everything / "run.json").read_text())["history"]
    for epoch, row in zip(history, found[4::5], strict=True):
        for name in (
            "training_loss",
            "validation_loss",
            "average_validation_sdr",
            "learning_rate",
            "skipped",
        ):
            assert float(row[name]) == pytest.approx(epoch[name], rel=1e-6), name
    steps = [float(row["training_loss"]) for row in found[:4]]
    assert np.mean(steps) == pytest.approx(history[0]["training_loss"], rel=1e-6)
    assert all(float(row["gradient_norm"]) > 0 and not row["validation_loss"] for row in found[:4])


def test_tensorboard_has_the_same(everything):
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import RecordWriter  # noqa: F401  its format: length, checksum, event, checksum

    (file,) = (everything / "tensorboard").glob("events.out.tfevents.*")
    content, at, scalars = file.read_bytes(), 0, {}
    while at < len(content):
        length = int.from_bytes(content[at : at + 8], "little")
        event = Event.FromString(content[at + 12 : at + 12 + length])
        at += length + 16
        for value in event.summary.value:
            scalars[value.tag, event.step] = value.simple_value
    for row in rows(everything):
        kind, step = ("step", 4 * (int(row["epoch"]) - 1) + int(row["step"])) if row["step"] else ("epoch", 0)
        step = step or 4 * int(row["epoch"])
        for name in ("training_loss", "learning_rate"):
            assert scalars[f"{kind}/{name}", step] == pytest.approx(float(row[name]), rel=1e-5)
    assert ("epoch/validation_sdr", 8) in scalars


def test_examples_sum_to_their_mixture(everything):
    (folder,) = (everything / "examples").iterdir()
    assert folder.name == "0002"
    sounds = {path.stem: read(path)[0] for path in folder.glob("*.flac")}
    mixture = sounds.pop("mixture")
    assert len(mixture) == 74970 and sounds.keys() == {"bass", "drums", "vocals", "other"}
    assert np.abs(sum(sounds.values()) - mixture).max() < 1e-3


def test_selecting_by_what_is_not_measured_is_refused(wav_root, tmp_path, capsys):
    assert main(arguments(wav_root, tmp_path / "run", "--select", "sdr")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --select sdr needs --validate-sdr")
