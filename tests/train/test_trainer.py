"""Whole runs: they learn, what they leave can be used, and bad input is answered with one line."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.extensions import REASON, break_cudnn
from tests.musdb_set import make_musdb
from tests.train.runs import NETWORK, arguments, best, content, load, train
from xumx.base.errors import AudioError, install
from xumx.data.musdb import musdb_tracks
from xumx.data.recording import Recording
from xumx.graph.objective import Objective
from xumx.network import weights
from xumx.separation.separator import Separator
from xumx.test import main as separate
from xumx.train import start
from xumx.train.__main__ import main
from xumx.train.options import TrainOptions
from xumx.train.validation import Validation

_LEARN = "--hidden-size 8 --nfft 512 --nhop 256 --seq-dur 0.2 --samples-per-track 16 --batch-size 4 --lr 0.05"
LEARN = [*_LEARN.split(), "--nb-workers", "1"]


def learn(root: Path, output: Path, *change: object) -> list[dict[str, float]]:
    """The epochs of a run that is resumed; another run, whose network cannot learn, has far larger losses."""
    assert main(arguments(root, output, "--epochs", 2, *change, small=LEARN)) == 0
    assert main(["--model", str(output), "--epochs", "4", "--quiet"]) == 0
    still = output.with_name("still")
    assert main(arguments(root, still, "--epochs", 1, *change, "--lr", 1e-30, small=LEARN)) == 0
    (unlearned,) = load(still).progress["position"]["history"]
    history: list[dict[str, float]] = load(output).progress["position"]["history"]
    for loss in ("training_loss", "validation_loss"):
        found = [epoch[loss] for epoch in history]
        assert found[-1] < 0.5 * unlearned[loss], f"{loss} of {found}, {unlearned[loss]} without learning"
    return history


def unseen(root: Path, is_wav: bool) -> dict[str, np.ndarray]:
    """The test track: its mixture and sources, (samples, channels)."""
    (track,) = musdb_tracks(root, "test", is_wav=is_wav)
    return {name: track.read(name, 0, track.samples, 2) for name in track.recordings}


def assert_gains(stems: dict[str, np.ndarray], audio: dict[str, np.ndarray]) -> None:
    """Each stem is nearer to its source than the mixture is; of these songs some 20 dB are to be had."""

    def error(estimate: np.ndarray, source: str) -> float:
        return 10 * float(np.log10(np.sum((audio[source] - estimate) ** 2)))

    for source, stem in stems.items():
        gain = error(audio["mixture"], source) - error(stem, source)
        assert gain > 6, f"{source}: {gain} dB over the mixture"


def test_x_umx_learns_resumes_and_separates(bands_stems: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    learn(bands_stems, output)
    audio = unseen(bands_stems, is_wav=False)
    for engine in ("onnx", "nnabla"):
        stems = Separator(output / "best.h5", niter=0, engine=engine, context="cpu")(audio["mixture"])
        assert set(stems) == set(audio) - {"mixture"}
        assert_gains(stems, audio)


def test_umx_learns_resumes_and_separates(bands_wav: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    learn(bands_wav, output, "--umx-train", "--source", "drums")
    audio = unseen(bands_wav, is_wav=True)
    shutil.copy(output / "best.h5", tmp_path / "drums.h5")
    song = tmp_path / "song.wav"
    soundfile.write(song, audio["mixture"], 44100)
    options = ["--inputs", str(song), "--model", str(tmp_path / "drums.h5"), "--niter", "0", "--quiet"]
    assert separate([*options, "--outdir", str(tmp_path / "out"), "--subtype", "float32"]) == 0
    drums, _ = soundfile.read(tmp_path / "out" / "drums.wav")
    assert_gains({"drums": drums}, audio)


def test_a_joint_network_learns_resumes_and_separates(bands_wav: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    history = learn(bands_wav, output, "--arch", "joint", "--sources", "drums", "bass")
    assert "training_time_loss" not in history[0] and best(output).config.arch == "joint"
    audio = unseen(bands_wav, is_wav=True)
    song = tmp_path / "song.wav"
    soundfile.write(song, audio["mixture"], 44100)
    options = ["--inputs", str(song), "--model", str(output / "best.h5"), "--niter", "0", "--quiet"]
    for engine in ("onnx", "nnabla"):
        folder = tmp_path / engine
        where = ["--outdir", str(folder), "--subtype", "float32", "--engine", engine, "--context", "cpu"]
        assert separate([*options, *where]) == 0
        assert sorted(path.name for path in folder.iterdir()) == ["bass.wav", "drums.wav"]
        assert_gains({name: soundfile.read(folder / f"{name}.wav")[0] for name in ("bass", "drums")}, audio)


def test_validation_is_over_all_samples(wav_root, tmp_path, monkeypatch):
    """Against the loss of each piece on its own, weighted by its length; the shortest tail included."""
    root = tmp_path / "set"
    shutil.copytree(wav_root, root)
    lengths = [30000, 22050 + 1000]  # 22050 + 7950; 22050 + a tail that is long enough
    for length, folder in zip(lengths, sorted((root / "train").glob("A*")), strict=True):
        for path in folder.iterdir():
            audio, rate = soundfile.read(path)
            soundfile.write(path, audio[:length], rate)
    seen, losses = [], []
    feed, forward = Objective.feed, Objective.forward

    def watched(self: Objective, mixture: np.ndarray, targets: np.ndarray) -> None:
        seen.append(mixture.shape[1])
        feed(self, mixture, targets)

    def heard(self: Objective) -> float:
        losses.append(forward(self))
        return losses[-1]

    monkeypatch.setattr(Objective, "feed", watched)
    monkeypatch.setattr(Objective, "forward", heard)
    found = train(root, tmp_path / "run", "--valid-dur", 0.5)
    assert seen[-4:] == [22050, 7950, 22050, 1000]
    wanted = np.average(losses[-4:], weights=seen[-4:])
    assert found.progress["position"]["history"][0]["validation_loss"] == pytest.approx(wanted, rel=1e-9)


def test_the_best_weights_are_those_of_the_best_epoch(wav_root, tmp_path, monkeypatch):
    values = iter([3.0, 1.0, 2.0])
    monkeypatch.setattr(Validation, "run", lambda *_, **__: {"loss": next(values)})
    first, second = tmp_path / "first", tmp_path / "second"
    train(wav_root, first, "--epochs", 3)
    values = iter([3.0, 1.0])
    train(wav_root, second, "--epochs", 2)
    for name, array in best(second).parameters["drums"].items():
        np.testing.assert_array_equal(best(first).parameters["drums"][name], array, err_msg=name)
    assert not np.array_equal(
        best(first).parameters["drums"]["fc1/affine/W"], load(first).parameters["fc1_drums/affine/W"]
    )
    summary = json.loads((first / "run.json").read_text())
    assert summary["results"]["best_epoch"] == 2 and summary["results"]["best_validation_loss"] == 1.0


@pytest.mark.usefixtures("curve")
def test_what_a_run_leaves_behind(wav_root, tmp_path):
    output = tmp_path / "run"
    saved = train(wav_root, output, "--epochs", 2)
    history = saved.progress["position"]["history"]
    summary = json.loads((output / "run.json").read_text())
    assert summary["state"] == "done" and summary["context"] == "cpu"
    assert summary["history"] == [
        {**e, "epoch": n, "best_epoch": summary["history"][n - 1]["best_epoch"]}
        for n, e in enumerate(history, 1)
    ]
    assert summary["arguments"]["hidden_size"] == 8 and summary["arguments"]["root"] == str(wav_root)
    assert summary["versions"]["nnabla"] and summary["host"]["cores"]
    assert summary["results"]["epochs"] == 2
    for name, key in (("training-loss", "training_loss"), ("validation-loss", "validation_loss")):
        lines = (output / f"{name}.series.txt").read_text().splitlines()
        assert [float(line.split()[1]) for line in lines] == pytest.approx(
            [e[key] for e in history], rel=1e-5
        )
    for epoch in history:
        for kind in ("training", "validation"):
            terms = 10 * epoch[f"{kind}_time_loss"] + epoch[f"{kind}_frequency_loss"]
            assert terms == pytest.approx(epoch[f"{kind}_loss"], rel=1e-5)
    from matplotlib.image import imread

    picture = imread(output / "loss.png")
    assert picture.shape[1] > 500 and picture.std() > 0.01
    assert sorted(p.name for p in output.iterdir() if p.suffix == ".h5") == ["best.h5", "checkpoint.h5"]


def test_statistics_become_the_input_parameters(wav_root, tmp_path):
    saved = train(wav_root, tmp_path / "run", "--lr", 1e-30)
    assert [p.suffix for p in wav_root.iterdir() if p.is_file()].count(".npy") >= 1
    network = best(tmp_path / "run")
    for parameters in network.parameters.values():
        k = network.config.max_bin
        np.testing.assert_allclose(parameters["input_mean"], -saved.statistics["mean"][:k], rtol=1e-6)
        np.testing.assert_allclose(parameters["input_scale"], 1 / saved.statistics["scale"][:k], rtol=1e-6)


def test_in_a_fresh_process(stems_root: Path, tmp_path: Path) -> None:
    """With recipes, and nothing on the screen that is not ours."""
    few = "--seq-dur 0.2 --samples-per-track 2 --batch-size 2 --epochs 1"
    small = [*NETWORK, *few.split()]
    recipe = tmp_path / "recipe.txt"
    recipe.write_text("# a comment\n" + " ".join(small) + "  # another\n--root " + f"'{stems_root}'\n")
    command = [sys.executable, "-m", "xumx.train", f"@{recipe}", "--output", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["computing", "a", "epoch", "best:"]
    assert "nnabla" not in done.stderr.replace(str(tmp_path), "") and "Traceback" not in done.stderr


def error_line(capsys: pytest.CaptureFixture[str], code: int, argv: list[str]) -> str:
    assert main(argv) == code
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("error: ")
    return "\n".join(lines)


def test_a_root_without_tracks(tmp_path, capsys):
    (tmp_path / "set" / "train").mkdir(parents=True)
    for root in (tmp_path / "nowhere", tmp_path / "set"):
        assert str(root) in error_line(capsys, 2, arguments(root, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_broken_stem_file_among_good_ones(stems_root, tmp_path, capsys):
    root = tmp_path / "set"
    shutil.copytree(stems_root, root)
    (root / "train" / "Broken - One.stem.mp4").write_bytes(b"\0" * 5000)
    assert main(arguments(root, tmp_path / "run", "--epochs", 2)) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ") and "Broken - One" in line and "left out" in line


def test_a_track_that_breaks_in_the_middle(wav_root, tmp_path, capsys, monkeypatch):
    """Named once, however often it is drawn; the rest goes on."""
    read = Recording.read

    def broken(self: Recording, start: int, length: int) -> np.ndarray:
        if "Take 1" in str(self.path) and start + length > 40000:
            raise AudioError(f"{self.path}: cannot be decoded")
        return read(self, start, length)

    monkeypatch.setattr(Recording, "read", broken)
    assert main(arguments(wav_root, tmp_path / "run", "--epochs", 3, "--nb-workers", 2)) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ") and "Track 1 - Take 1" in line


def test_validation_tracks_that_cannot_be_read(wav_root, tmp_path, capsys, monkeypatch):
    read = Recording.read

    def broken(self: Recording, start: int, length: int) -> np.ndarray:
        if self.path.parent.name.startswith("A"):
            raise AudioError(f"{self.path}: cannot be decoded")
        return read(self, start, length)

    monkeypatch.setattr(Recording, "read", broken)
    assert "none of the validation tracks" in error_line(capsys, 1, arguments(wav_root, tmp_path / "run"))


def test_tracks_shorter_than_a_sample(wav_root, tmp_path, capsys):
    saved = train(wav_root, tmp_path / "run", "--seq-dur", 2.0)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: shorter than a sample of 2 s") and "Track 0 - Take 0" in line
    assert np.isfinite(saved.progress["position"]["history"][0]["training_loss"])


def test_a_validation_track_shorter_than_a_window(tmp_path):
    """Not even a frame: silence makes it one."""
    root = make_musdb(tmp_path / "set", 1, 1.0, stems=False, valid=1)
    for path in next((root / "train").glob("A*")).iterdir():
        audio, rate = soundfile.read(path)
        soundfile.write(path, audio[:300], rate)
    assert main(arguments(root, tmp_path / "run")) == 0


@pytest.mark.parametrize(
    "change, named",
    [
        (("--batch-size", 13), "batch of 13"),
        (("--seq-dur", 0.005), "--seq-dur"),
        (("--valid-dur", 0.005), "--valid-dur"),
        (("--sources", "bass", "vocal"), "vocals"),
        (("--umx-train", "--source", "piano"), "piano"),
    ],
)
def test_what_does_not_fit_the_data(wav_root, tmp_path, capsys, change, named):
    assert named in error_line(capsys, 2, arguments(wav_root, tmp_path / "run", *change))
    assert not (tmp_path / "run").exists()


def test_the_wrong_kind_of_set(wav_root, stems_root, tmp_path, capsys):
    options = [o for o in arguments(wav_root, tmp_path / "run") if o != "--is-wav"]
    assert "--is-wav" in error_line(capsys, 2, options)
    assert "--is-wav" in error_line(capsys, 2, [*arguments(stems_root, tmp_path / "run"), "--is-wav"])


def test_no_network_and_no_root(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("socket.socket.connect", lambda *_: (_ for _ in ()).throw(OSError("no network")))
    line = error_line(capsys, 1, ["--output", str(tmp_path / "run"), "--quiet"])
    assert "preview" in line and "--root" in line


def test_runs_do_not_overwrite_each_other(wav_root, tmp_path, capsys):
    output = tmp_path / "run"
    before = content(train(wav_root, output))
    line = error_line(capsys, 2, arguments(wav_root, output))
    assert str(output) in line and "--model" in line
    assert load(output).progress["position"]["epoch"] == before["position"]["epoch"]
    assert "--epochs" in error_line(capsys, 2, ["--model", str(output), "--quiet"])


def test_a_checkpoint_of_another_network(wav_root, tmp_path, capsys):
    output = tmp_path / "run"
    train(wav_root, output)
    for change in (
        ["--hidden-size", "16"],
        ["--arch", "umx"],
        ["--umx-train"],
        ["--sources", "bass"],
        ["--seed", "3"],
    ):
        line = error_line(capsys, 2, ["--model", str(output), "--epochs", "2", *change])
        assert (
            line.split()[1] == (change[0] if change[0] != "--umx-train" else "--arch") and str(output) in line
        )
    same = ["--hidden-size", "8", "--arch", "x-umx", "--sources", "bass", "drums", "vocals", "other"]
    assert main(["--model", str(output), "--epochs", "2", "--quiet", *same]) == 0


def test_weights_of_another_network(wav_root, tmp_path, capsys):
    train(wav_root, tmp_path / "run")
    model = tmp_path / "run" / "best.h5"
    for change in (["--hidden-size", "16"], ["--nfft", "512"], ["--bandwidth", "3000"], ["--arch", "umx"]):
        line = error_line(capsys, 2, ["--model", str(model), "--output", str(tmp_path / "x"), *change])
        assert change[0] in line and str(model) in line, line
    assert weights.load(model).config.crossing


def test_an_output_that_cannot_be_made(wav_root, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert str(tmp_path / "file") in error_line(capsys, 1, arguments(wav_root, tmp_path / "file" / "run"))


def test_a_context_that_is_not_there(wav_root, tmp_path, capsys):
    line = error_line(capsys, 1, arguments(wav_root, tmp_path / "run", "--context", "cudnn"))
    assert install("gpu") in line


def test_a_gpu_that_fails_is_said(wav_root, tmp_path, monkeypatch, capsys):
    break_cudnn(tmp_path, monkeypatch)
    train(wav_root, tmp_path / "run")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ") and REASON in line and "the CPU is used" in line
    summary = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (summary["arguments"]["context"], summary["context"]) == ("auto", "cpu")


def test_a_full_memory_names_what_to_do(wav_root, tmp_path, monkeypatch, capsys):
    def forward(self):
        raise RuntimeError("Failed `cudaMalloc(&ptr, bytes)`: out of memory, 2500000000 bytes")

    monkeypatch.setattr("xumx.graph.objective.Objective.forward", forward)
    line = error_line(capsys, 1, arguments(wav_root, tmp_path / "run"))
    assert "no memory left (2.5 GB more were asked for; a step takes about " in line
    assert line.endswith("give a smaller --batch-size or --seq-dur")


def test_caches_are_cleared_around_validation(wav_root, tmp_path, monkeypatch, capsys):
    """And the memory of a step is said at the start."""
    did, validate = [], Validation.run
    monkeypatch.setattr("nnabla_ext.cpu.clear_memory_cache", lambda: did.append("clear"))
    monkeypatch.setattr(
        Validation, "run", lambda self, **how: did.append("validate") or validate(self, **how)
    )
    options = [option for option in arguments(wav_root, tmp_path / "run") if option != "--quiet"]
    assert main(options) == 0
    assert did == ["clear", "validate", "clear"]
    assert re.search(r"^a step takes about [\d.]+ MB of memory$", capsys.readouterr().out, re.MULTILINE)


def test_rounded_products_are_said(monkeypatch, caplog):
    """Of a GPU, which is not here: NNabla rounds where a variable says so."""
    monkeypatch.setattr(start, "open_context", lambda context, device: None)
    for value, lines in ((None, 0), ("0", 0), ("1", 1)):
        if value is not None:
            monkeypatch.setenv("NNABLA_CUDA_ALLOW_TF32", value)
        caplog.clear()
        assert start._device(TrainOptions(output="run", context="cudnn"), ()) == "cudnn"
        assert (
            len([record for record in caplog.records if "NNABLA_CUDA_ALLOW_TF32" in record.message]) == lines
        )


def test_what_training_needs(tmp_path, capsys, monkeypatch):
    """Where NNabla is not installed, that is said."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "nnabla" else find(name))
    line = error_line(capsys, 1, ["--output", str(tmp_path / "run")])
    assert "nnabla" in line and "Python 3.10" in line
