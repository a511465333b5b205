"""What may be added to the published recipe: accumulation, clipping, averages, cosine, steps left out."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from tests.parallel import rank
from tests.train.conftest import EVERYTHING
from tests.train.runs import arguments, assert_same, best, content, load, train
from xumx.graph.objective import Objective
from xumx.train import checkpoint
from xumx.train.__main__ import main
from xumx.train.trainer import Trainer
from xumx.train.validation import Validation


def untimed(output) -> list[dict[str, str]]:
    """The rows of a run's metrics, but for the times in them."""
    with open(output / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: value for name, value in row.items() if "second" not in name} for row in rows]


def test_a_run_with_all_of_it_resumes_to_the_last_bit(wav_root, everything, tmp_path, monkeypatch, capsys):
    output, step, left = tmp_path / "run", Trainer._step, iter(range(6))

    def counted(self, batches):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return step(self, batches)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", counted)
        assert main(arguments(wav_root, output, *EVERYTHING, "--checkpoint-every", 0)) == 130
    assert load(output).solver_steps == 6
    with open(output / "metrics.csv", "a") as file:
        file.write("2,3,9.9,0,0,0\n2,4")  # of a step that was lost, and of a line that was cut off
    assert main(["--model", str(output), "--quiet"]) == 0
    assert untimed(output) == untimed(everything)
    assert_same(content(load(output)), content(load(everything)))
    assert_same(best(output).parameters, best(everything).parameters)
    capsys.readouterr()
    for option, value in (("--ema", "0.5"), ("--accumulate", "4"), ("--lr-schedule", "plateau")):
        assert main(["--model", str(output), option, value]) == 2
        assert f"error: {option} {value}: the run in {output} has" in capsys.readouterr().err


def test_batches_that_are_accumulated_are_one(wav_root, tmp_path, monkeypatch):
    """But for batch norm, which is kept from looking at batches; and clipping acts on the whole gradient."""
    rank.plain(monkeypatch.setattr)
    options = ("--mcoef", 0, "--lr", 1e-4, "--clip-norm", 1.0, "--samples-per-track", 8)
    one = train(wav_root, tmp_path / "one", *options, "--batch-size", 6)
    two = train(wav_root, tmp_path / "two", *options, "--accumulate", 2)
    assert one.solver_steps == two.solver_steps == 4
    for name, moments in one.solver.items():
        for key, values in moments.items():
            limit = 1e-3 * np.abs(values).max()
            np.testing.assert_allclose(two.solver[name][key], values, rtol=0, atol=limit, err_msg=name)
    # The second moment of a gradient of norm 1 sums to (1 - β2) · 1 after one step.
    total = sum(float(moments["var"].sum()) for moments in one.solver.values())
    assert total <= (1 - 0.999**4) * 1.01


def test_the_average_is_that_of_all_updates(wav_root, tmp_path, monkeypatch):
    """With its definition; and it becomes the best where it is the better one."""
    step, seen, losses = Trainer._step, [], iter([{"loss": 2.0}, {"loss": 1.0}])

    def noted(self, batches):
        values = step(self, batches)
        seen.append({name: p.d.copy() for name, p in self._separator.items()})
        return values

    monkeypatch.setattr(Trainer, "_step", noted)
    monkeypatch.setattr(Validation, "run", lambda *_, **__: next(losses))
    saved = train(wav_root, tmp_path / "run", "--ema", 0.5)
    weights = np.array([0.5**3, 0.5**2, 0.5, 1.0])
    assert len(seen) == 4 and any(name.endswith("bn/var") for name in seen[0])
    for name, values in saved.average.items():
        wanted = np.tensordot(weights / weights.sum(), [at[name] for at in seen], 1)
        np.testing.assert_allclose(values, wanted, rtol=1e-4, atol=1e-6, err_msg=name)
    (epoch,) = saved.progress["position"]["history"]
    assert epoch["validation_loss"] == 2 and epoch["average_validation_loss"] == 1 and epoch["averaged"]
    chosen = best(tmp_path / "run").parameters["drums"]["fc1/affine/W"]
    assert_same(chosen, saved.average["fc1_drums/affine/W"])


def test_a_step_without_a_number_changes_nothing(wav_root, tmp_path, monkeypatch, capsys):
    """Samples that are none: the loss, and the running statistics, would be none either."""
    feed, calls = Objective.feed, iter(range(100))

    def poisoned(self, mixture, targets):
        bad = self.inputs.mixture.shape[1] == 3 and next(calls) == 1  # the second batch of training
        feed(self, mixture + np.float32(np.nan) if bad else mixture, targets)

    monkeypatch.setattr(Objective, "feed", poisoned)
    saved = train(wav_root, tmp_path / "run")
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "warning: a step in epoch 1 is left out: the loss is nan"
    (epoch,) = saved.progress["position"]["history"]
    assert saved.solver_steps == 3 and epoch["skipped"] == 1 and np.isfinite(epoch["training_loss"])


def test_many_of_them_in_a_row_end_the_run(wav_root, tmp_path, monkeypatch, capsys):
    forward = Objective.forward

    def poisoned(self):
        return forward(self) * (np.nan if self.inputs.mixture.shape[1] == 3 else 1)  # not in validation

    monkeypatch.setattr(Objective, "forward", poisoned)
    options = ("--samples-per-track", 8, "--checkpoint-every", 0)
    assert main(arguments(wav_root, tmp_path / "run", *options)) == 1
    *skipped, line = capsys.readouterr().err.splitlines()
    assert len(skipped) == 1, "one line stands for all of a kind"
    assert line.startswith("error: training diverged in epoch 1: the loss is nan, and 5 steps in a row")
    assert load(tmp_path / "run").progress["position"]["failing"] == 4


@pytest.mark.parametrize(
    "options, named",
    [
        (("--accumulate", 3), "--accumulate 3 must divide the 4 batches"),
        (("--lr-schedule", "cosine", "--lr-decay-gamma", 0.5), "--lr-decay-gamma is for --lr-schedule"),
        (("--ema", 1), "--ema must be between 0 and 1, not 1.0"),
        (("--clip-norm", 0), "--clip-norm must be positive, not 0.0"),
    ],
)
def test_what_contradicts_itself_is_refused(wav_root, tmp_path, capsys, options, named):
    assert main(arguments(wav_root, tmp_path / "run", *options)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {named}"), line
    assert not (tmp_path / "run" / checkpoint.NAME).exists()


def test_a_network_is_tuned_through_the_filter(wav_root, everything, tmp_path, capsys):
    steps = ["--seq-dur", "0.2", "--samples-per-track", "4", "--batch-size", "3", "--epochs", "1"]
    options = ["--model", str(everything / "best.h5"), "--lr", "1e-4", "--loss", "SISDRtime=0.01", "MSE"]
    tuned = tmp_path / "tuned"
    assert main(arguments(wav_root, tuned, *options, "--through-filter", small=steps)) == 0
    before, after = (best(run).parameters["drums"]["fc1/affine/W"] for run in (everything, tuned))
    assert 0 < np.abs(after - before).max() < 1e-3
    for wrong, said in (
        (["--loss", "MSE"], "--through-filter is for losses on waveforms, and --loss MSE has none"),
        (["--arch", "umx", "--loss", "L1time"], "--through-filter needs several sources"),
    ):
        assert main(arguments(wav_root, tmp_path / "wrong", *wrong, "--through-filter")) == 2
        assert capsys.readouterr().err.startswith(f"error: {said}")
