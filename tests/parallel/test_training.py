"""Several processes under a real mpirun."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from tests.mpi import mpirun, ranks_of, start
from tests.musdb_set import make_musdb
from tests.parallel import rank
from tests.train.runs import arguments, assert_same, best, content, load
from xumx.base.errors import install
from xumx.train import checkpoint
from xumx.train.__main__ import main

RANK = ("-m", "tests.parallel.rank")
MORE = ("--samples-per-track", 8)
"""24 samples an epoch."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tracks, and two for validation, of 7 pieces of half a second and of 2."""
    return make_musdb(tmp_path_factory.mktemp("parallel"), 3, 1.7, stems=False, valid=2)


def loud(options: list[str]) -> list[str]:
    return [option for option in options if option != "--quiet"]


def notes(folder: Path, kind: str) -> list[list[str]]:
    """What each rank noted."""
    return [path.read_text().splitlines() for path in sorted(folder.glob(f"{kind}-*"))]


def losses(saved: checkpoint.Checkpoint) -> list[float]:
    history = saved.progress["position"]["history"]
    return [value for epoch in history for name, value in epoch.items() if name.endswith("_loss")]


def assert_close(found: checkpoint.Checkpoint, wanted: checkpoint.Checkpoint, step: float) -> None:
    """But for rounding: Adam's moments, which are sums of gradients, and the parameters, in steps of Adam."""
    assert found.solver_steps == wanted.solver_steps
    for name, moments in wanted.solver.items():
        for key, values in moments.items():
            limit = 1e-3 * np.abs(values).max()
            np.testing.assert_allclose(found.solver[name][key], values, rtol=0, atol=limit, err_msg=name)
    for name, values in wanted.parameters.items():
        # Where a gradient is all rounding, so is the direction of Adam's step.
        apart = np.abs(found.parameters[name] - values) / step
        assert np.quantile(apart, 0.99) < 1e-2 and apart.max() < 2 * wanted.solver_steps, (name, apart.max())
    assert losses(found) == pytest.approx(losses(wanted), rel=1e-3)


def test_ranks_take_the_steps_of_one_process(root, tmp_path, monkeypatch):
    """Two ranks of batch 3 and one process of batch 6; then, resumed, four ranks and one of batch 12.

    With the squared error alone: the SDR of what is nearly silent makes 1e-4 of a rounding error of 1e-7.
    """
    options = ("--valid-dur", 0.5, "--mcoef", 0, "--lr-scaling", "linear", "--lr", 1e-4, *MORE)
    changes = "undrawn,plain,unreadable,noted"
    for name in ("one", "two", "four"):
        (tmp_path / name).mkdir()
    for name in changes.split(","):
        getattr(rank, name)(monkeypatch.setattr)
    monkeypatch.setenv("NOTES", str(tmp_path / "one"))
    assert main(arguments(root, tmp_path / "alone", *options, "--batch-size", 6)) == 0
    first = load(tmp_path / "alone")

    code, out, err = mpirun(
        2, *RANK, changes, *loud(arguments(root, tmp_path / "run", *options)), NOTES=tmp_path / "two"
    )
    assert code == 0, err
    said = out.splitlines()
    share = max(len(os.sched_getaffinity(0)) // 2, 1)
    assert said[0].startswith(f"2 processes on 1 machine, {share} thread")
    assert said[0].endswith("a step learns from 6 samples, 3 a process")
    assert said[1].startswith("learning rate 3.75e-05, linear in the 6 samples")
    assert said[2].startswith("a step takes about ")
    assert [line.split(":")[0] for line in said[3:]] == ["epoch 1", "best"], "rank 0 alone speaks"
    assert err.count("warning: ") == 1 and "Track 1 - Take 1" in err, "a track is reported once"
    assert_close(load(tmp_path / "run"), first, step=3.75e-5)

    drawn = notes(tmp_path / "two", "samples")
    epoch = Counter(f"0 {index}" for index in range(24))
    assert Counter(drawn[0]) + Counter(drawn[1]) == epoch, "all of an epoch, each once"
    (alone,) = notes(tmp_path / "one", "pieces")
    shared = notes(tmp_path / "two", "pieces")
    assert Counter(shared[0] + shared[1]) == Counter(alone) and len(alone) == 8 and all(shared)
    summary = json.loads((tmp_path / "run" / "run.json").read_text())
    assert summary["processes"] == 2 and summary["history"][0]["learning_rate"] == pytest.approx(3.75e-5)

    # One process goes on with twice the batch, which a user must not, but more ranks do.
    changed = {**first.progress, "options": {**first.progress["options"], "batch_size": 12}}
    checkpoint.save(tmp_path / "alone" / checkpoint.NAME, dataclasses.replace(first, progress=changed))
    again = ("--epochs", "2", "--model")
    assert main([*again, str(tmp_path / "alone"), "--quiet"]) == 0
    code, out, err = mpirun(4, *RANK, changes, *again, tmp_path / "run", NOTES=tmp_path / "four")
    assert code == 0, err
    assert "4 processes" in out and "learning rate 7.5e-05, linear in the 12 samples" in out
    assert_close(load(tmp_path / "run"), load(tmp_path / "alone"), step=7.5e-5)
    drawn = notes(tmp_path / "four", "samples")
    assert len(drawn) == 4 and Counter(chain(*drawn)) == Counter(f"1 {index}" for index in range(24))


@pytest.fixture(scope="module")
def uninterrupted(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two ranks that nothing happens to."""
    output = tmp_path_factory.mktemp("two") / "run"
    code, _, err = mpirun(2, *RANK, "undrawn", *arguments(root, output, "--epochs", 2, *MORE))
    assert (code, err) == (0, "")
    return output


def test_a_killed_rank_ends_the_job_which_resumes(root, uninterrupted, tmp_path, capsys):
    """Bit for bit with as many ranks; and no other run may write to the folder meanwhile."""
    output = tmp_path / "run"
    options = arguments(root, output, "--epochs", 2, "--checkpoint-every", 0, *MORE)
    with start(2, *RANK, "undrawn,stalling", *options) as job:
        while not (output / checkpoint.NAME).exists():
            assert job.poll() is None, job.communicate()[1]
            time.sleep(0.01)
        assert main(["--model", str(output), "--quiet"]) == 2
        assert f"{output} is in use by process {ranks_of(job)[0]} on" in capsys.readouterr().err
        began = time.monotonic()
        killed = ranks_of(job)[1]
        os.kill(killed, signal.SIGKILL)
        _, err = job.communicate(timeout=30)
        assert job.returncode not in (0, None)
    assert f"error: rank 1 of 2 on {os.uname().nodename} (process {killed}) was killed by SIGKILL" in err
    assert time.monotonic() - began < 30
    saved = load(output)
    assert 1 <= saved.solver_steps <= 5

    other = tmp_path / "alone"
    assert main(["--model", str(output), "--output", str(other), "--quiet"]) == 0
    ended = load(other).progress["position"]
    assert ended["epoch"] == 2 and ended["samples"] == 0 and np.isfinite(losses(load(other))).all()
    epoch, samples = (saved.progress["position"][name] for name in ("epoch", "samples"))
    assert load(other).solver_steps == saved.solver_steps + (24 - samples) // 3 + (1 - epoch) * 8

    code, _, err = mpirun(2, *RANK, "undrawn", "--model", output, "--quiet")
    assert (code, err) == (0, "")
    assert_same(content(load(output)), content(load(uninterrupted)))
    assert_same(best(output).parameters, best(uninterrupted).parameters)
    assert not list(output.glob(".*"))


def test_ranks_stop_together(root, uninterrupted, tmp_path):
    """One that got the signal alone, or all of them: a checkpoint from which they go on bit for bit."""
    for change in ("signalled", "signalled_all"):
        output = tmp_path / change
        code, _, err = mpirun(2, *RANK, f"undrawn,{change}", *arguments(root, output, "--epochs", 2, *MORE))
        assert code == 143 and "Traceback" not in err, err
        (line,) = re.findall(r"stopped by .*", err)
        assert line.startswith("stopped by SIGTERM in epoch 1, after 18 samples"), line
    assert_same(content(load(output)), content(load(tmp_path / "signalled")))
    code, _, err = mpirun(2, *RANK, "undrawn", "--model", output, "--quiet")
    assert (code, err) == (0, "")
    assert_same(content(load(output)), content(load(uninterrupted)))
    assert_same(best(output).parameters, best(uninterrupted).parameters)


FAILURES = {
    "raising": ("rank 1 of 2 on {host}: IndexError: list index out of range", 2),
    "drifting": ("rank 0 of 2 on {host}: after epoch 1 the parameters of rank 1 are not those of rank 0", 3),
    "elsewhere": ("rank 0 of 2 on {host}: --root {root}: rank 1 found other tracks there than rank 0", 0),
}
"""What is said, and the steps of the last checkpoint."""


@pytest.mark.parametrize("change", FAILURES)
def test_a_rank_that_fails_ends_the_job(root, tmp_path, change):
    output, cache = tmp_path / "run", tmp_path / "cache"
    began = time.monotonic()
    options = arguments(root, output, "--checkpoint-every", 0, "--cache-dir", cache, *MORE)
    code, _, err = mpirun(2, *RANK, f"undrawn,{change}", *options)
    assert code == 1 and time.monotonic() - began < 60
    said, steps = FAILURES[change]
    assert f"error: {said.format(host=os.uname().nodename, root=root)}" in err, err
    assert err.count("error: ") == 1, err
    assert ("Traceback" in err) == (change == "raising"), "a traceback is for what we did not foresee"
    if steps:
        assert load(output).solver_steps == steps, "the last checkpoint is whole"
        assert len(list(cache.rglob("*.npy"))) == 5 * 5
    else:
        assert not output.exists()


def test_wrong_usage_is_said_once(root, tmp_path):
    for wrong, named in (["--epoch", "3"], "--epoch"), (["--lr", "0"], "--lr must be positive"):
        code, out, err = mpirun(2, "-m", "xumx.train", *arguments(root, tmp_path / "run"), *wrong)
        assert code == 2 and err.count("error: ") == 1 and named in err and out == "", err
    assert not (tmp_path / "run").exists()


def test_without_mpi4py(tmp_path):
    hidden = "import sys; sys.modules['mpi4py'] = None; import xumx.train.__main__ as t; sys.exit(t.main())"
    code, out, err = mpirun(3, "-c", hidden, "--output", tmp_path / "run")
    assert code == 1 and not out
    (line,) = err.splitlines()
    assert line.startswith("error: started as one of 3 processes") and install("mpi") in line


def test_mpirun_of_another_mpi(tmp_path):
    """Open MPI's mpirun, and mpi4py for another: each process would train alone."""
    said = []
    for number in range(2):
        variables = {"RANK": number, "LOCAL_RANK": number, "SIZE": 2}
        environment = {f"OMPI_COMM_WORLD_{name}": str(value) for name, value in variables.items()}
        done = subprocess.run(
            [sys.executable, "-m", "xumx.train", "--output", str(tmp_path / "run")],
            env={**os.environ, **environment}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 1 and not done.stdout
        said += done.stderr.splitlines()
    (line,) = said
    assert "2 processes were started, but mpi4py finds 1" in line and "its MPI is another" in line


NCCL = """
import nnabla as nn, nnabla.communicators as C, nnabla.functions, numpy as np
from mpi4py import MPI
from xumx.base.errors import XumxError
from xumx.parallel.nccl import NcclCommunicator

calls = []

class Fake:
    rank, size, local_rank = 0, 1, 0
    def __init__(self, context): calls.append(("made for", context.device_id))
    def init(self): calls.append("init")
    def all_reduce(self, arrays, division=False, inplace=True):
        calls.append(("all_reduce", len(arrays), division))
    def all_reduce_callback(self, arrays, pack_size, division=False):
        calls.append(("callback", len(arrays), division))
        return "callback"

class Loss:
    def backward(self, **options): calls.append(("backward", options))
    def visit(self, function): pass

C.MultiProcessDataParallelCommunicator = Fake
ranks = NcclCommunicator(MPI.COMM_WORLD, nn.Context(["cudnn:float"], "CudaCachedArray", "0"))
assert (ranks.rank, ranks.size, ranks.local_rank, ranks.machines) == (0, 1, 0, 1)
parameters = {"w": nn.Variable((2, 3), need_grad=True), "mean": nn.Variable((3,), need_grad=False)}
ranks.backward(Loss(), parameters)
assert calls == [
    ("made for", "0"), "init", ("all_reduce", 1, True), ("callback", 1, True),
    ("backward", {"grad": 1, "clear_buffer": True, "communicator_callbacks": "callback"}),
], calls
# A parameter that several functions take, as discriminators': all of its gradient is there when it is sent.
class Watching(Fake):
    def all_reduce(self, arrays, division=False, inplace=True):
        calls.append(("all_reduce", [array.data.copy() for array in arrays]))

C.MultiProcessDataParallelCommunicator = Watching
ranks = NcclCommunicator(MPI.COMM_WORLD, nn.Context(["cudnn:float"], "CudaCachedArray", "0"))
w = nn.Variable.from_numpy_array(np.array([2.0, 3.0]), need_grad=True)
once, often = nn.functions.sum(w * 3), nn.functions.sum(w * 3 + w * 4)
for loss in (once, often, often):
    loss.forward()
    w.grad.zero()
    calls.clear()
    if loss is often:
        ranks.backward(loss, {"w": w})
        ((name, (gradient,)),) = calls
        assert name == "all_reduce" and gradient.tolist() == [7, 7], calls
    else:
        try:
            ranks.backward(loss, {"w": w})
        except Exception:
            pass  # NNabla takes no callback of ours
        assert calls == [("callback", 1, True)], calls
assert ranks.gather(3) == [3] and ranks.broadcast("a") == "a"

for size, local, said in ((1, 1, "number 1 of its machine"), (2, 0, "another MPI"), (None, 0, "NCCL_HOME")):
    Fake.size, Fake.local_rank = size if size else property(lambda self: [][0]), local
    try:
        NcclCommunicator(MPI.COMM_WORLD, nn.Context(["cudnn:float"], "CudaCachedArray", "0"))
    except XumxError as error:
        assert said in str(error), error
    else:
        raise AssertionError(said)
"""


def test_gpus_by_a_communicator_with_nnablas_methods():
    """There is no GPU here: what NNabla is asked to do."""
    done = subprocess.run([sys.executable, "-c", NCCL], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_ranks_with_all_that_may_be_added(root, tmp_path, monkeypatch):
    """Two ranks that accumulate, clip and average take the steps of one."""
    options = (
        *("--valid-dur", 0.5, "--lr-scaling", "none", "--lr", 1e-4, "--clip-norm", 0.5, "--ema", 0.9),
        *(
            "--lr-schedule",
            "cosine",
            "--validate-sdr",
            "--select",
            "sdr",
            "--examples",
            1,
            *MORE,
        ),
        *("--source-augmentations", "gain", "signflip", "repitch", "equaliser", "--mixture-level", 3),
        *("--redraw-silence", "--loss", "MSE", "L2time", "--through-filter", *MORE),
    )
    changes = "undrawn,plain"
    for name in changes.split(","):
        getattr(rank, name)(monkeypatch.setattr)
    assert main(arguments(root, tmp_path / "alone", *options, "--batch-size", 3, "--accumulate", 4)) == 0
    wanted = load(tmp_path / "alone")
    mine = arguments(root, tmp_path / "run", *options, "--batch-size", 3, "--accumulate", 2)
    code, _, err = mpirun(2, *RANK, changes, *mine)
    assert code == 0, err
    found = load(tmp_path / "run")
    assert_close(found, wanted, step=1e-4)
    for name, values in wanted.average.items():
        apart = np.abs(found.average[name] - values) / 1e-4
        assert np.quantile(apart, 0.99) < 1e-2, name
    for one, two in zip(*(saved.progress["position"]["history"] for saved in (wanted, found)), strict=True):
        assert two["average_validation_sdr"] == pytest.approx(one["average_validation_sdr"], abs=1e-2)
    assert len(list((tmp_path / "run" / "examples").glob("*/*.flac"))) == 5, "of rank 0 alone"
    steps = [line.split(",")[:2] for line in (tmp_path / "run" / "metrics.csv").read_text().splitlines()[1:]]
    assert steps == [["1", "1"], ["1", "2"], ["1", ""]]
