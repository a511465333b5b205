"""A run that was interrupted, in whatever way, ends as if it had not been."""

from __future__ import annotations

import json
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import nnabla.functions as F
import numpy as np
import pytest
import soundfile

from tests.networks import DATA
from tests.train.runs import arguments, assert_same, best, content, load, train
from xumx.base.errors import XumxError
from xumx.base.files import ASIDE, LOCK
from xumx.graph.objective import Objective
from xumx.graph.ops import stock as stock_ops
from xumx.train import checkpoint
from xumx.train.__main__ import main
from xumx.train.trainer import Trainer
from xumx.train.validation import Validation

LOSSES_OF_BEFORE = [[10.1678185, 7.9236794], [10.2413218, 7.7531857], [9.8438306, 7.6925898]]
"""Of training and validation, by epoch; see test_a_run_of_the_house_before_goes_on."""


@pytest.fixture(scope="module")
def uninterrupted(wav_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("whole") / "run"
    train(wav_root, output, "--epochs", 3)
    return output


def interrupt(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Let the user press Ctrl-C before a step."""
    step, left = Trainer._step, iter(range(steps))

    def counted(self, *batch):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return step(self, *batch)

    monkeypatch.setattr(Trainer, "_step", counted)


@pytest.mark.parametrize("steps", [2, 4, 7], ids=["first epoch", "between", "second epoch"])
def test_resumed_equals_uninterrupted(wav_root, uninterrupted, tmp_path, monkeypatch, steps):
    """After ``steps`` of 4 a epoch; the workers may be others."""
    output = tmp_path / "run"
    with monkeypatch.context() as patch:
        interrupt(patch, steps)
        assert main(arguments(wav_root, output, "--epochs", 3, "--checkpoint-every", 0)) == 130
    assert load(output).solver_steps == steps
    assert main(["--model", str(output), "--nb-workers", "2", "--quiet"]) == 0
    assert_same(content(load(output)), content(load(uninterrupted)))
    assert_same(best(output).parameters, best(uninterrupted).parameters)


def test_a_joint_network_resumes_too(wav_root, tmp_path, monkeypatch):
    whole, output = tmp_path / "whole", tmp_path / "run"
    train(wav_root, whole, "--epochs", 2, "--arch", "joint")
    with monkeypatch.context() as patch:
        interrupt(patch, 6)
        assert (
            main(arguments(wav_root, output, "--epochs", 2, "--arch", "joint", "--checkpoint-every", 0))
            == 130
        )
    assert main(["--model", str(output), "--quiet"]) == 0
    assert_same(content(load(output)), content(load(whole)))
    assert_same(best(output).parameters, best(whole).parameters)


def test_more_epochs_continue_a_finished_run(wav_root, uninterrupted, tmp_path):
    output = tmp_path / "run"
    train(wav_root, output, "--epochs", 2)
    again = ["--recipe", "x-umx"]  # whose network is another: the run has its own
    assert main([*again, "--model", str(output), "--epochs", "3", "--quiet"]) == 0
    assert_same(content(load(output)), content(load(uninterrupted)))
    series = (output / "training-loss.series.txt").read_text().splitlines()
    assert [line.split()[0] for line in series] == ["1", "2", "3"]
    assert series == (uninterrupted / "training-loss.series.txt").read_text().splitlines()


def test_resume_into_another_folder(wav_root, uninterrupted, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    train(wav_root, first, "--epochs", 2)
    before = (first / checkpoint.NAME).read_bytes()
    assert (
        main(["--model", str(first / checkpoint.NAME), "--output", str(second), "--epochs", "3", "--quiet"])
        == 0
    )
    assert (first / checkpoint.NAME).read_bytes() == before
    assert_same(content(load(second)), content(load(uninterrupted)))
    assert_same(best(second).parameters, best(uninterrupted).parameters)


def test_killed_at_any_moment(wav_root, uninterrupted, tmp_path):
    """kill -9, again and again, with a checkpoint after each step: what is there is always whole."""
    output, rng = tmp_path / "run", random.Random(0)
    command = [sys.executable, "-m", "xumx.train"]
    options = arguments(wav_root, output, "--epochs", 3, "--checkpoint-every", 0)
    steps = []
    for _ in range(2):
        process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
        done = steps[-1] if steps else 0
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if (output / checkpoint.NAME).exists() and load(output).solver_steps > done:
                time.sleep(rng.uniform(0, 0.05))
                process.kill()
                break
            time.sleep(0.02)
        _, said = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), said
        steps.append(load(output).solver_steps)
        options = ["--model", str(output), "--quiet"]
    (output / f"{ASIDE}left").mkdir()
    for name in (LOCK, checkpoint.NAME):
        (output / f"{ASIDE}left" / name).write_bytes(b"unfinished")
    if load(output).progress["position"]["epoch"] < 3:
        assert main(options) == 0
        assert not list(output.glob(".*"))
    assert steps == sorted(steps), steps
    assert_same(content(load(output)), content(load(uninterrupted)))


@pytest.fixture
def small_disk():
    """Files end at 100 kB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_disk(uninterrupted, tmp_path, capsys, request):
    output = Path(shutil.copytree(uninterrupted, tmp_path / "run"))
    before = (output / checkpoint.NAME).read_bytes()
    assert len(before) > 100_000
    request.getfixturevalue("small_disk")
    assert main(["--model", str(output), "--epochs", "4", "--quiet"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and str(output) in line and "cannot be written" in line
    assert (output / checkpoint.NAME).read_bytes() == before
    assert not list(output.glob(".*")), "half a file is left"


def test_full_disk_at_the_checkpoint(wav_root, uninterrupted, tmp_path, request):
    path = tmp_path / checkpoint.NAME
    saved = load(uninterrupted)
    checkpoint.save(path, saved)
    before = path.read_bytes()
    request.getfixturevalue("small_disk")
    with pytest.raises(XumxError, match=r"checkpoint\.h5.*cannot be written.*the one before is kept"):
        checkpoint.save(path, saved)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_checkpoints_hold_everything(uninterrupted, tmp_path):
    saved = load(uninterrupted)
    checkpoint.save(tmp_path / "again.h5", saved)
    again = checkpoint.load(tmp_path / "again.h5")
    assert again.config == saved.config and again.progress == saved.progress
    assert_same(content(again), content(saved))
    assert saved.parameters.keys() > saved.solver.keys()
    assert {"nnabla", "numpy", "python", "xumx"} <= saved.progress["versions"].keys()
    assert saved.solver_steps == 12


@pytest.mark.parametrize("damage", ["short", "no HDF5", "other HDF5", "format"])
def test_broken_checkpoints(uninterrupted, tmp_path, capsys, damage):
    path = tmp_path / checkpoint.NAME
    whole = (uninterrupted / checkpoint.NAME).read_bytes()
    path.write_bytes(
        whole[: len(whole) // 2] if damage == "short" else b"no HDF5" if damage == "no HDF5" else whole
    )
    if damage == "other HDF5":
        path.write_bytes((uninterrupted / "best.h5").read_bytes())
    if damage == "format":
        with h5py.File(path, "a") as file:
            run = file["run"][()].replace(b'"format": 2', b'"format": 9')
            del file["run"]
            file["run"] = run
    assert main(["--model", str(tmp_path), "--quiet"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line and ("format 9" in line if damage == "format" else "no whole checkpoint" in line)


@pytest.mark.parametrize(
    "where, value, named",
    [
        (("config", "n_fft"), "wide", "does not hold what it should"),
        (("solver_steps",), 1e300, "solver_steps"),
        (("progress", "position", "samples"), -1, "samples"),
        (("progress", "position", "epoch"), 10**30, "epoch"),
        (("progress", "position", "history", 0, "best_epoch"), 7, "order"),
        (("progress", "random", 0, "state"), 3, "random state"),
        (("progress", "plateau"), [], "plateau"),
        (("progress", "options", "loss"), ["nothing"], "no such loss"),
        (("progress", "options", "batch_size"), "3", "batch_size"),
        (("progress", "options", "new"), 3, "new"),
    ],
)
def test_checkpoints_that_hold_something_else(uninterrupted, tmp_path, capsys, where, value, named):
    path = tmp_path / checkpoint.NAME
    path.write_bytes((uninterrupted / checkpoint.NAME).read_bytes())
    with h5py.File(path, "a") as file:
        run = json.loads(file["run"][()])
        inner = run
        for key in where[:-1]:
            inner = inner[key]
        inner[where[-1]] = value
        file["run"][()] = json.dumps(run)
    assert main(["--model", str(tmp_path), "--epochs", "4", "--quiet"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path) in line and named in line and "best.h5" in line


@pytest.mark.parametrize("group", ["parameters", "solver", "statistics"])
def test_checkpoints_whose_arrays_do_not_fit(uninterrupted, tmp_path, capsys, group):
    path = tmp_path / checkpoint.NAME
    for change in (None, np.zeros(3, np.float32), np.array("x", "S3")):
        path.write_bytes((uninterrupted / checkpoint.NAME).read_bytes())
        with h5py.File(path, "a") as file:
            name = group
            while isinstance(file[name], h5py.Group):
                name = f"{name}/{min(file[name])}"
            del file[name]
            if change is not None:
                file[name] = change
        assert main(["--model", str(tmp_path), "--epochs", "4", "--quiet"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert str(path) in line and name in line and "best.h5" in line


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_no_number_stops_the_run_and_keeps_the_checkpoint(
    uninterrupted, tmp_path, monkeypatch, capsys, value
):
    output = Path(shutil.copytree(uninterrupted, tmp_path / "run"))
    before = (output / checkpoint.NAME).read_bytes()
    forward, calls = Objective.forward, iter(range(3))

    def poisoned(self):
        return forward(self) if next(calls, None) is not None else value

    with monkeypatch.context() as patch:
        patch.setattr(Objective, "forward", poisoned)
        assert main(["--model", str(output), "--epochs", "4", "--quiet"]) == 1
    skipped, line = capsys.readouterr().err.splitlines()
    assert f"left out: the loss is {value}" in skipped
    assert "diverged in epoch 4" in line and str(output / checkpoint.NAME) in line and "--lr" in line
    assert (output / checkpoint.NAME).read_bytes() == before
    assert main(["--model", str(output), "--epochs", "4", "--lr", "1e-4", "--quiet"]) == 0
    assert load(output).progress["position"]["history"][-1]["learning_rate"] == 1e-4


def test_parameters_that_are_no_numbers_are_never_saved(wav_root, tmp_path, monkeypatch, capsys):
    """A gradient may be infinite when the loss is not."""
    output = tmp_path / "run"
    step = Trainer._step

    def poisoned(self, batches):
        losses = step(self, batches)
        if self.position.samples == 6:
            next(iter(self._parameters.values())).d = np.nan
        return losses

    monkeypatch.setattr(Trainer, "_step", poisoned)
    assert main(arguments(wav_root, output, "--checkpoint-every", 0)) == 1
    assert "not finite" in capsys.readouterr().err
    assert load(output).progress["position"]["samples"] == 6


def test_what_nnabla_draws_follows_from_the_seed(wav_root, tmp_path, monkeypatch):
    """As the dropout of its LSTM on a GPU, in place of which a function draws here that the CPU has too."""
    lstm = stock_ops.lstm
    monkeypatch.setattr(stock_ops, "lstm", lambda *args, **options: F.dropout(lstm(*args, **options), 0.3))
    monkeypatch.setattr(Validation, "run", lambda *_, **__: {"loss": 1.0})  # it draws nothing, in seconds
    options = ("--arch", "umx", "--source", "drums", "--epochs", 2, "--stock-ops", "--context", "cpu")
    first, second, other = (tmp_path / name for name in ("first", "second", "other"))
    train(wav_root, first, *options)
    with monkeypatch.context() as patch:
        interrupt(patch, 5)
        assert main(arguments(wav_root, second, *options, "--checkpoint-every", 0)) == 130
    train(wav_root, other, *options, "--seed", 43)  # draws in between
    assert main(["--model", str(second), "--quiet"]) == 0
    assert_same(content(load(second)), content(load(first)))
    weights = [best(run).parameters["drums"]["fc1/affine/W"] for run in (first, other)]
    assert not np.array_equal(*weights)


def test_pieces_of_validation_are_fixed(uninterrupted, capsys):
    """The best loss so far would be one of other pieces."""
    assert main(["--model", str(uninterrupted), "--epochs", "4", "--valid-dur", "5", "--quiet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: --valid-dur 5.0: the run in {uninterrupted} has 10.0; leave it out")


def test_a_run_of_the_house_before_goes_on(tmp_path: Path) -> None:
    """Trained for an epoch by commit 2711dee, which came to these losses in its second and third.

    On the machine that trained it the checkpoint after them is the same to the last bit; elsewhere roundings
    differ, and Adam makes much of gradients that are nothing but rounding.
    """
    rng = np.random.default_rng(2711)
    for name in ("Track 0 - Take 0", "Track 1 - Take 1", "ANiMAL - Rockshow"):
        stems = {
            source: rng.integers(-3000, 3000, (44100, 2), dtype=np.int16)
            for source in ("bass", "drums", "other", "vocals")
        }
        stems["mixture"] = sum(stems.values(), start=np.zeros((44100, 2), np.int16))
        folder = tmp_path / "set" / "train" / name
        folder.mkdir(parents=True)
        for source, samples in stems.items():
            soundfile.write(folder / f"{source}.wav", samples, 44100, subtype="PCM_16")
    (tmp_path / "set" / "test").mkdir()
    shutil.copytree(DATA / "run", tmp_path / "run")
    options = ["--root", str(tmp_path / "set"), "--output", str(tmp_path / "run"), "--epochs", "3", "--quiet"]
    assert main(["--model", str(tmp_path / "run"), *options]) == 0
    history = load(tmp_path / "run").progress["position"]["history"]
    found = [[epoch["training_loss"], epoch["validation_loss"]] for epoch in history]
    np.testing.assert_allclose(found, LOSSES_OF_BEFORE, rtol=1e-3)
