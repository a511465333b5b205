from __future__ import annotations

import json
import shlex
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from tests.eval.alone import in_this_process
from tests.study.studies import study
from tests.train.runs import assert_same, best
from xumx.base.errors import XumxError
from xumx.eval.scores import read_scores
from xumx.study import pictures, plan
from xumx.study import work as training
from xumx.study.__main__ import main
from xumx.study.options import StudyOptions
from xumx.train import checkpoint
from xumx.train.options import TrainOptions
from xumx.train.resolve import new_run
from xumx.train.trainer import Trainer


@pytest.fixture
def copied(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """To be changed, without its pictures, which `finished` has: they would take most of the time."""
    for name in ("boxes", "curves", "heat_map"):
        monkeypatch.setattr(pictures, name, lambda *_: Figure((1, 1)))
    return Path(shutil.copytree(finished, tmp_path / "study"))


def times(folder: Path, pattern: str) -> dict[str, int]:
    """When the files were written."""
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in sorted(folder.glob(pattern))}


def test_leaves_tables_pictures_and_a_page(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    pictures = {f"{kind}-{arch}.png" for kind in ("boxes", "curves", "cross") for arch in ("x-umx", "umx")}
    tables = {"scores.csv", "tracks.csv", "cross.csv", "correlations.csv"}
    assert names == {"study.json", "study.md", "runs", "scores"} | pictures | tables
    text = (finished / "study.md").read_text()
    for word in [*pictures, "L1freq", "L2time", "*ideal ratio mask*", "*mixture as every stem*", "1e-05"]:
        assert word in text, word
    assert "published" not in text  # that is of other tracks


def test_tables_hold_the_scores_of_the_files(finished: Path) -> None:
    table = pd.read_csv(finished / "scores.csv").set_index(["arch", "loss", "source", "metric"])["value"]
    for arch, loss in [("x-umx", "L1freq"), ("umx", "L2time"), ("reference", "ideal ratio mask")]:
        folder = finished / "scores" / arch / loss.replace(" ", "-") / "test"
        files = [read_scores(path) for path in sorted(folder.glob("*.json"))]
        assert len(files) == 2, folder
        for source in ("drums", "vocals"):
            for row, metric in enumerate(("SDR", "ISR", "SIR", "SAR")):
                wanted = np.median([np.nanmedian(scores[source][row]) for scores in files])
                found = table[arch, loss, source, metric]
                assert found == pytest.approx(wanted, abs=1e-9), f"{arch} {loss} {source} {metric}"
    pair = table["umx", "L1freq", :, "SDR"][["drums", "vocals"]]
    assert table["umx", "L1freq", "mean", "SDR"] == pytest.approx(pair.mean())


def test_scores_are_those_of_the_command_that_the_page_prints(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xumx.eval.__main__ import main as evaluate

    page = (finished / "study.md").read_text()
    printed = [line.strip() for line in page.splitlines() if "-m xumx.eval " in line]
    assert len(printed) == 2, "one an architecture"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("xumx.eval.work.evaluate_all", in_this_process)
    for command in printed:
        argv = shlex.split(command)[3:]
        assert evaluate([*argv, "--quiet"]) == 0
        model = Path(argv[argv.index("--model") + 1]).relative_to(finished / "runs")
        loss = model.parent
        files = sorted(Path(argv[argv.index("--evaldir") + 1]).glob("test/*.json"))
        assert len(files) == 2
        for path in files:
            ours = read_scores(finished / "scores" / loss / "test" / path.name)
            for stem, values in read_scores(path).items():
                np.testing.assert_allclose(ours[stem], values, atol=0.02, err_msg=f"{path.name} {stem}")


def test_scores_do_not_depend_on_the_scale_of_a_network_s_magnitudes(
    finished: Path, root: Path, tmp_path: Path
) -> None:
    """Magnitudes ten times too large, as SI-SDR does not mind, are scored alike without iterations."""
    from xumx.data.musdb import musdb_tracks
    from xumx.network import weights
    from xumx.study import work as scoring

    args = StudyOptions.parse(
        ["--root", str(root), "--is-wav", "--fast", "--niter", "0", "--sources", "drums", "vocals"]
    )
    tracks = musdb_tracks(root, "test", is_wav=True)
    found = []
    for gain in (1, 10):
        network = weights.load(finished / "runs" / "x-umx" / "L1freq" / "best.h5")
        for parameters in network.parameters.values():
            for name in ("output_mean", "output_scale"):
                parameters[name] = gain * parameters[name]
        weights.save(tmp_path / f"{gain}.h5", network)
        assert not scoring.score_model(args, tmp_path / f"{gain}.h5", tmp_path / str(gain), tracks)
        found.append(scoring.scores(tmp_path / str(gain), tracks))
    for name, stems in found[0].items():
        for stem, values in stems.items():
            np.testing.assert_allclose(found[1][name][stem], values, atol=0.05, err_msg=f"{name} {stem}")


def test_a_loss_as_metric_is_what_validation_computes(finished: Path, root: Path, tmp_path: Path) -> None:
    """The validation tracks as test tracks: the mean over tracks of one length is the validation loss."""
    valid = tmp_path / "set" / "test"
    valid.mkdir(parents=True)
    (tmp_path / "set" / "train").symlink_to(root / "train")
    (track,) = (p for p in (root / "train").iterdir() if not p.name.startswith("Track"))
    (valid / track.name).symlink_to(track)
    from xumx.data.musdb import musdb_tracks
    from xumx.network import weights
    from xumx.train.validation import measure, measured

    for loss in ("L1freq", "L2time"):
        folder = finished / "runs" / "x-umx" / loss
        network = weights.load(folder / "best.h5")
        argv = json.loads((folder / "run.json").read_text())["arguments"]
        options = new_run(TrainOptions.given(["--output", "unused", "--valid-dur", str(argv["valid_dur"])]))
        found = measure(network, musdb_tracks(tmp_path / "set", "test", is_wav=True), options)
        assert list(found) == measured(network.config)
        (history,) = checkpoint.load(folder / "checkpoint.h5").progress["position"]["history"]
        assert found[loss][track.name] == pytest.approx(history["validation_loss"], rel=1e-4), loss


def test_what_is_done_is_not_done_again(copied: Path, root: Path) -> None:
    patterns = ("runs/**/checkpoint.h5", "scores/**/test/*.json", "scores/**/losses.json")
    before = [times(copied, pattern) for pattern in patterns]
    assert study(root, copied, "--losses", "L1freq", "L2time", "--arch", "x-umx", "umx") == 0
    assert [times(copied, pattern) for pattern in patterns] == before
    (copied / "runs" / "x-umx" / "L1freq" / "checkpoint.h5").unlink()  # as if interrupted in its first epoch
    assert study(root, copied, "--losses", "L1freq") == 0
    after = times(copied, patterns[0])
    assert {name for name in after if after[name] != before[0][name]} == {"runs/x-umx/L1freq/checkpoint.h5"}
    # The same run again, so the same weights: nothing to score.
    assert times(copied, patterns[1]) == before[1]


def test_a_signal_in_training_leaves_a_checkpoint(
    copied: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, step = copied / "runs" / "x-umx" / "L1freq", Trainer._step
    before = best(folder)
    shutil.rmtree(folder)

    def signalled(self: Trainer, *batch: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return step(self, *batch)

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(Trainer, "_step", signalled)
        study(root, copied, "--losses", "L1freq")
    assert end.value.code == 143 and "stopped by SIGTERM; the same command goes on" in capsys.readouterr().err
    assert checkpoint.load(folder / "checkpoint.h5").solver_steps == 1
    assert study(root, copied, "--losses", "L1freq") == 0
    assert_same(best(folder).parameters, before.parameters)


def test_losses_and_epochs_are_added(copied: Path, root: Path) -> None:
    before = times(copied, "runs/**/checkpoint.h5")
    assert study(root, copied, "--losses", "L2freq", "L1freq", "--epochs", "2") == 0
    after = times(copied, "runs/**/checkpoint.h5")
    assert {name for name in after if before.get(name) != after[name]} == {
        f"runs/x-umx/{loss}/checkpoint.h5" for loss in ("L1freq", "L2freq")
    }
    table = pd.read_csv(copied / "scores.csv")
    keys = set(zip(table["arch"], table["loss"])) - {("reference", n) for n in set(table["loss"])}
    expected = {("x-umx", "L2freq")} | {(a, n) for a in ("x-umx", "umx") for n in ("L1freq", "L2time")}
    assert keys == expected, "what was there before is still compared"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["--losses", "L1freq", "--hidden-size", "8"], ["holds a study", "--hidden-size is 4, not 8"]),
        (["--losses", "L1freq", "--lr", "0.1"], ["--lr is the default, not 0.1"]),
        (["--losses", "L1freq", "--sources", "drums", "bass"], ["--sources is drums vocals, not drums bass"]),
        (["--losses", "L1frq"], ["L1frq", "L1freq"]),
        (["--losses", "L1freq", "LSGAN"], ["LSGAN"]),
        (["--losses", "L1freq", "DeepFeatures"], ["DeepFeatures", "--feature-model"]),
        (["--losses", "L1freq", "L1freq"], ["L1freq is there twice"]),
        (["--losses", "Dissimilarity", "--arch", "umx"], ["Dissimilarity"]),
        (["--losses", "L1freq", "--cores", "0"], ["--cores"]),
        (["--losses", "L1freq", "--feature-model", "x.h5"], ["--feature-model"]),
        (["--losses", "L1freq", "--context", "cpu", "--device-id", "0"], ["--device-id"]),
    ],
)
def test_refuses_before_anything_is_trained(
    changes: list[str], words: list[str], finished: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = times(finished, "**/*")
    assert study(root, finished, *changes) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1, error
    for word in words:
        assert word in error, f"{word} is not in: {error}"
    assert times(finished, "**/*") == before


def test_refuses_fewer_epochs(copied: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads((copied / "study.json").read_text())
    (copied / "study.json").write_text(json.dumps({**content, "epochs": 3}))
    assert study(root, copied, "--losses", "L1freq") == 2
    assert "trains 3; give as many or more" in capsys.readouterr().err


def test_refuses_a_root_without_tracks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(tmp_path), "--output", str(tmp_path / "study")]) == 2
    assert str(tmp_path) in capsys.readouterr().err
    assert not (tmp_path / "study").exists()


def test_a_run_that_diverges_does_not_end_the_study(
    copied: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train_one = Trainer.run

    def diverge(trainer: Trainer, *stop: Any) -> dict[str, Any]:
        if trainer._options.loss == ("L2freq",):
            raise XumxError("training diverged in epoch 0: the loss is nan; try a smaller --lr")
        return train_one(trainer, *stop)

    monkeypatch.setattr(Trainer, "run", diverge)
    assert study(root, copied, "--losses", "L2freq", "L1freq") == 1
    assert "x-umx L2freq: training diverged" in capsys.readouterr().err
    text = (copied / "study.md").read_text()
    assert "failed: x-umx L2freq: training diverged" in text
    assert "| L2freq " in text
    table = pd.read_csv(copied / "scores.csv")
    assert table[table["loss"] == "L2freq"]["value"].isna().all()
    assert "L2freq" in set(table["loss"])


def test_the_default_leaves_out_what_one_source_cannot_be_trained_with() -> None:

    args = StudyOptions.parse(["--root", "x", "--arch", "x-umx", "umx"])
    found, notes = plan.configurations(args)
    of = {arch: [c.name for c in found if c.arch == arch] for arch in ("x-umx", "umx")}
    assert of["x-umx"] == list(plan.DEFAULT)
    assert len(of["x-umx"]) == 24  # the study's 18, MSE and SDR with and without combination, their sum, STFT
    missing = {"CrossEntropy", "Dissimilarity"} | {n for n in plan.DEFAULT if n.startswith("Combination")}
    assert set(of["x-umx"]) - set(of["umx"]) == missing
    assert all(name in notes[0] for name in missing)


def test_learning_rates_are_those_of_the_published_study() -> None:
    def rate(*names: str) -> float:
        return plan.Configuration("x-umx", names).rate

    assert [rate(n) for n in ("L1time", "L2time", "L2mask", "L1mask", "MSE")] == [
        1e-5,
        1e-5,
        1e-4,
        1e-3,
        1e-3,
    ]
    assert rate("MSE", "L2mask=0.5") == 1e-4


def test_a_recipe_gives_what_all_runs_have_in_common() -> None:
    """Not what a study gives each run itself; and the rest of the command line wins."""
    args = StudyOptions.parse(["--root", "x", "--recipe", "demo", "--epochs", "3", "--losses", "L2mask"])
    assert (args.epochs, args.training["hidden_size"], args.training["batch_size"]) == (3, 96, 8)
    (run,) = plan.runs(args, plan.configurations(args)[0][0])
    options = new_run(run.given)
    assert (options.loss, options.lr, options.hidden_size, options.epochs) == (("L2mask",), 1e-4, 96, 3)


def test_a_run_is_done_with_its_last_epoch(finished: Path, root: Path) -> None:

    argv = ["--root", str(root), "--is-wav", "--output", str(finished), "--losses", "L1freq", "--epochs"]
    for epochs, wanted in (("1", True), ("2", False)):
        args = StudyOptions.parse([*argv, epochs])
        (one,) = plan.configurations(args)[0]
        assert [training.done(run) for run in plan.runs(args, one)] == [wanted]


@pytest.mark.parametrize("options", [["--context", "cudnn"], ["--device-id", "1"]])
def test_a_missing_gpu_is_said_once(
    options: list[str],
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan, "automatic_context", lambda device: ("cpu", None))
    assert study(root, tmp_path / "study", "--losses", "L1freq", "L2freq", *options) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "cannot use a GPU" in told, told
    assert not (tmp_path / "study").exists()


def test_a_full_disk_is_one_line_before_anything_is_trained(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from xumx.base import files as room

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    monkeypatch.setattr(Trainer, "run", lambda _: pytest.fail("trains"))
    assert study(root, tmp_path / "study", "--losses", "L1freq") == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and f"--output {tmp_path / 'study'} needs" in told, told
