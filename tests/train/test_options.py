"""Every option acts, or is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.networks import DATA, random_weights, small_config
from tests.train.runs import STEPS, arguments, assert_same, best, content, load, train
from xumx.base.errors import UsageError
from xumx.graph.objective import Objective
from xumx.network import weights
from xumx.train.__main__ import main
from xumx.train.options import TrainOptions, fields, recipe
from xumx.train.resolve import new_run, resumed
from xumx.train.trainer import Trainer
from xumx.train.validation import Validation

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def plain(wav_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("plain") / "run"
    train(wav_root, output)
    return output


def test_documented_defaults():
    options = new_run(TrainOptions.given(["--output", "x"]))
    shown = {name: tuple(v) if isinstance(v, list) else v for name, v in fields(options).items()}
    assert shown == {
        "output": "x",
        "model": None,
        "epochs": 1000,
        "patience": 0,
        "checkpoint_every": 30,
        "seed": 42,
        "quiet": False,
        "context": "auto",
        "device_id": "0",
        "stock_ops": False,
        "root": None,
        "is_wav": False,
        "cache_dir": None,
        "nb_workers": 4,
        "seq_dur": 6,
        "samples_per_track": 64,
        "source_augmentations": ("gain", "channelswap"),
        "mixture_level": 0,
        "redraw_silence": False,
        "validate_sdr": False,
        "select": "loss",
        "tensorboard": False,
        "examples": 0,
        "lr_schedule": "plateau",
        "clip_norm": None,
        "accumulate": 1,
        "ema": None,
        "through_filter": False,
        "valid_dur": 10,
        "arch": "x-umx",
        "sources": ("bass", "drums", "vocals", "other"),
        "hidden_size": 512,
        "unidirectional": False,
        "nfft": 4096,
        "nhop": 1024,
        "bandwidth": 16000,
        "nb_channels": 2,
        "batch_size": 16,
        "lr": 0.001,
        "lr_decay_patience": 80,
        "lr_decay_gamma": 0.3,
        "weight_decay": 1e-5,
        "loss": ("CombinationMultiDomain",),
        "mcoef": 10,
        "lr_scaling": None,
        "warmup": 0,
        "feature_model": None,
        "unpaired": None,
        "sample_rate": 44100,
        "dataset": "musdb",
        "input_file": None,
        "output_file": (),
        "target_dir": None,
        "interferer_dirs": (),
        "nb_train_samples": None,
        "nb_valid_samples": None,
        "target_file": None,
        "interferer_files": (),
        "random_track_mix": False,
        "random_interferer_mix": False,
        "silence_missing": False,
        "ext": (),
        "valid_share": None,
        "min_chunk_duration": 0,
    }
    assert options.config.max_bin == 1487
    umx = new_run(TrainOptions.given(["--output", "x", "--umx-train"]))
    assert (umx.arch, umx.sources, umx.patience, umx.loss) == ("umx", ("vocals",), 140, ("MSE",))
    assert new_run(TrainOptions.given(["--output", "x", "--arch", "umx", "--source", "bass"])).sources == (
        "bass",
    )
    assert (umx.hidden_size, umx.mcoef) == (512, 0)
    joint = new_run(TrainOptions.given(["--output", "x", "--arch", "joint"]))
    assert (joint.arch, joint.sources, joint.patience) == ("joint", options.sources, 140)
    assert (joint.hidden_size, joint.mcoef) == (1024, 0)
    assert (
        new_run(TrainOptions.given(["--output", "x", "--arch", "joint", "--hidden-size", "6"])).hidden_size
        == 6
    )


@pytest.mark.parametrize("name", ["x-umx", "umx", "joint"])
def test_recipes_are_the_defaults(name):
    """The argument files spell the published recipes out, and are found by name and by path."""
    rest = ["--output", "x", "--root", "y"]
    plain = new_run(TrainOptions.given([*rest, "--arch", name]))
    assert new_run(TrainOptions.given([f"@{ROOT / 'args' / name}.txt", *rest])) == plain
    assert new_run(TrainOptions.given(["--recipe", name, *rest])) == plain


def test_what_is_given_beside_a_recipe_wins_wherever_it_stands():
    for argv in (["--epochs", "3", "--recipe", "x-umx"], ["--recipe", "x-umx", "--epochs", "3"]):
        options = new_run(TrainOptions.given([*argv, "--output", "x"]))
        assert (options.epochs, options.hidden_size, options.output) == (3, 512, "x")


def test_a_recipe_is_defaults_which_may_do_nothing():
    """What is given oneself may not."""
    files = ["--root", "y", "--input-file", "a.wav", "--output-file", "b.wav", "c.wav"]
    for beside in (
        ["--dataset", "aligned", *files],
        ["--loss", "MSE"],
        ["--lr-schedule", "cosine"],
    ):
        given = TrainOptions.given(["--recipe", "x-umx", "--output", "x", *beside])
        plain = ["--output", "x", "--arch", "x-umx", *beside]
        assert new_run(given).sources == new_run(TrainOptions.given(plain)).sources
        assert new_run(given).loss == new_run(TrainOptions.given(plain)).loss
        assert new_run(given).mcoef == new_run(TrainOptions.given(plain)).mcoef
        again = TrainOptions.given(["--recipe", "x-umx", "--model", "x", *beside])
        assert resumed(again, fields(new_run(given))).loss == new_run(given).loss, "it may go on with them"
    with pytest.raises(UsageError, match="`mcoef` weighs"):
        new_run(TrainOptions.given(["--recipe", "x-umx", "--output", "x", "--loss", "MSE", "--mcoef", "10"]))


def test_every_recipe_is_found_and_its_options_are_right():
    names = {path.stem for path in (ROOT / "args").iterdir()}
    assert (
        names
        == {path.stem for path in recipe("umx").parent.iterdir()}
        == {"x-umx", "umx", "joint", "demo", "live"}
    )
    for name in names:
        new_run(TrainOptions.given(["--recipe", name, "--output", "x"]))


def test_help_names_every_option_with_its_default(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for part in (
        "(default: 140, 0 for x-umx)",
        "(default: 512, 1024 for joint)",
        "--samples-per-track",
        "(default: 64)",
        "(default: 0.001)",
    ):
        assert part in text
    assert "None" not in text


# What changes the course of training.
CHANGES = {
    "seed": ("--seed", 1),
    "seq-dur": ("--seq-dur", 0.3),
    "batch-size": ("--batch-size", 2),
    "samples-per-track": ("--samples-per-track", 8),
    "source-augmentations": ("--source-augmentations", "gain"),
    "no augmentation": ("--source-augmentations",),
    "lr": ("--lr", 0.01),
    "lr-scaling": ("--lr-scaling", "linear"),
    "warmup": ("--warmup", 1),
    "weight-decay": ("--weight-decay", 0.1),
    "mcoef": ("--mcoef", 1),
    "loss": ("--loss", "L1freq"),
    "sources": ("--sources", "drums", "bass", "vocals", "other"),
    "arch": ("--arch", "umx"),
    "joint": ("--arch", "joint"),
    "hidden-size": ("--hidden-size", 6),
    "unidirectional": ("--unidirectional",),
    "nhop": ("--nhop", 32),
    "bandwidth": ("--bandwidth", 5000),
    "nb-channels": ("--nb-channels", 1),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changes_training(wav_root, plain, tmp_path, change):
    found = train(wav_root, tmp_path / "run", *change).progress["position"]["history"][0]
    wanted = load(plain).progress["position"]["history"][0]
    assert found["validation_loss"] != wanted["validation_loss"]
    assert found["training_loss"] != wanted["training_loss"] or change[0] == "--sources"


def test_the_network_is_the_one_asked_for(wav_root, tmp_path):
    change = [
        "--nfft",
        "512",
        "--nhop",
        "128",
        "--hidden-size",
        "10",
        "--bandwidth",
        "9000",
        "--nb-channels",
        "1",
        "--unidirectional",
    ]
    output = tmp_path / "run"
    train(wav_root, output, *change, "--sources", "drums", "vocals")
    config = best(output).config
    assert (config.arch, config.sources) == ("x-umx", ("drums", "vocals"))
    assert (config.n_fft, config.n_hop, config.hidden_size, config.nb_channels) == (512, 128, 10, 1)
    assert config.unidirectional and config.max_bin == 9000 * 512 // 44100 + 1
    assert load(output).config == config


def test_umx_and_its_alias(wav_root, tmp_path):
    for number, change in enumerate(
        (["--arch", "umx", "--source", "drums"], ["--umx-train", "--source", "drums"])
    ):
        train(wav_root, tmp_path / str(number), *change)
    first, second = (load(tmp_path / str(number)) for number in (0, 1))
    assert first.config.arch == "umx" and first.config.sources == ("drums",)
    assert_same(content(first), content(second))
    train(wav_root, tmp_path / "other", "--umx-train", "--source", "bass")
    assert not np.array_equal(
        best(tmp_path / "0").parameters["drums"]["fc1/affine/W"],
        best(tmp_path / "other").parameters["bass"]["fc1/affine/W"],
    )


def test_what_must_not_change_training(wav_root, plain, tmp_path):
    """Workers, a decoded cache, frequent checkpoints, an explicit context; and the cache is used."""
    for number, change in enumerate([("--nb-workers", 3), ("--checkpoint-every", 0), ("--context", "cpu")]):
        assert_same(content(train(wav_root, tmp_path / str(number), *change)), content(load(plain)))
    cached = train(wav_root, tmp_path / "run", "--cache-dir", tmp_path / "cache")
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 5 * 5
    for name, values in load(plain).parameters.items():
        np.testing.assert_allclose(cached.parameters[name], values, atol=1e-4, err_msg=name)


def test_checkpoint_every(wav_root, tmp_path, monkeypatch):
    saves = []
    monkeypatch.setattr(Trainer, "save", lambda self: saves.append(self.position.samples))
    for minutes, wanted in ((0, [3, 6, 9, 0]), (100, [0])):
        saves.clear()
        assert main(arguments(wav_root, tmp_path / str(minutes), "--checkpoint-every", minutes)) == 0
        assert saves == wanted


def test_stock_ops(wav_root, tmp_path, monkeypatch):
    """NNabla's own functions: the same but for rounding, once dropout, which they lack, is left out."""
    monkeypatch.setattr("xumx.graph.model.LSTM_DROPOUT", 0.0)
    runs = []
    for change in ((), ("--stock-ops",)):
        fixed_validation(monkeypatch, [1])  # which would take NNabla minutes
        runs.append(train(wav_root, tmp_path / str(len(runs)), "--batch-size", 12, "--lr", 1e-5, *change))
    ours, stock = (run.progress["position"]["history"][0]["training_loss"] for run in runs)
    assert ours == pytest.approx(stock, rel=1e-5)
    assert any(not np.array_equal(runs[0].parameters[n], runs[1].parameters[n]) for n in runs[0].parameters)


def test_valid_dur_cuts_the_tracks(wav_root, plain, tmp_path, monkeypatch):
    seen = []
    feed = Objective.feed
    monkeypatch.setattr(Objective, "feed", lambda self, *x: (seen.append(x[0]), feed(self, *x))[1])
    found = train(wav_root, tmp_path / "run", "--valid-dur", 0.5)
    rest = round(1.7 * 44100) - 3 * 22050
    assert [len(x[0]) for x in seen if len(x) == 1] == [22050, 22050, 22050, rest] * 2
    assert_same(found.parameters, load(plain).parameters)
    losses = [s.progress["position"]["history"][0]["validation_loss"] for s in (found, load(plain))]
    assert losses[0] == pytest.approx(losses[1], rel=0.2) and losses[0] != losses[1]


def fixed_validation(monkeypatch, losses):
    left = iter(losses)
    monkeypatch.setattr(Validation, "run", lambda *_, **__: {"loss": next(left)})


@pytest.mark.parametrize("change, epochs", [((), 6), (("--patience", 2), 4), (("--patience", 0), 6)])
def test_patience(wav_root, tmp_path, monkeypatch, capsys, change, epochs):
    """x-umx goes on for ever unless told otherwise."""
    fixed_validation(monkeypatch, [3, 2, 2, 2, 2, 2])
    found = train(wav_root, tmp_path / "run", "--epochs", 6, "--batch-size", 12, *change)
    assert found.progress["position"]["epoch"] == epochs
    state = json.loads((tmp_path / "run" / "run.json").read_text())["state"]
    assert state == ("stopped early" if epochs == 4 else "done")
    if epochs == 4:
        assert main(["--model", str(tmp_path / "run")]) == 2
        assert "--patience" in capsys.readouterr().err


def test_learning_rate_decay(wav_root, tmp_path, monkeypatch):
    fixed_validation(monkeypatch, [1] * 5)
    change = (
        "--epochs",
        5,
        "--batch-size",
        12,
        "--lr",
        0.01,
        "--lr-decay-patience",
        1,
        "--lr-decay-gamma",
        0.5,
    )
    history = train(wav_root, tmp_path / "run", *change).progress["position"]["history"]
    assert [epoch["learning_rate"] for epoch in history] == [0.01, 0.01, 0.01, 0.005, 0.005]
    series = (tmp_path / "run" / "learning-rate.series.txt").read_text().split()
    assert series[1::2] == ["0.01", "0.01", "0.01", "0.005", "0.005"]


def test_scaling_and_warm_up_live_with_the_plateau_and_resume(wav_root, tmp_path, monkeypatch, capfd):
    """Of one process too, if asked for: 12 samples of 16 a step, and a warm-up of four epochs."""
    change = ("--epochs", 2, "--batch-size", 12, "--lr", 0.01, "--lr-scaling", "linear", "--warmup", 4)
    fall = ("--lr-decay-patience", 0, "--lr-decay-gamma", 0.5)
    fixed_validation(monkeypatch, [1, 2, 2, 2, 2, 2])
    options = [o for o in arguments(wav_root, tmp_path / "run", *change, *fall) if o != "--quiet"]
    assert main(options) == 0
    said = "learning rate 0.0075, linear in the 12 samples of a step over 16, after a warm-up of 4 epochs\n"
    assert said in capfd.readouterr().out
    assert main(["--model", str(tmp_path / "run"), "--epochs", "5", "--quiet"]) == 0
    again = [*map(str, ("--model", tmp_path / "run", "--epochs", 6, "--lr-scaling", "none", "--quiet"))]
    assert main(again) == 0
    history = load(tmp_path / "run").progress["position"]["history"]
    rate = [0.0075 / 4, 0.0075 / 2, 0.0075 / 2 * 3 / 4, 0.0075 / 2, 0.0075 / 2, 0.005]
    assert [epoch["learning_rate"] for epoch in history] == pytest.approx(rate)


def test_the_rate_reaches_the_solver(wav_root, tmp_path):
    """So small a rate moves nothing but the running statistics."""
    first, second = (train(wav_root, tmp_path / str(n), "--lr", 1e-30, "--epochs", n + 1) for n in (0, 1))
    for name, values in first.parameters.items():
        moved = np.abs(values - second.parameters[name]).max()
        assert moved > 1e-6 if name.endswith(("bn/mean", "bn/var")) else moved < 1e-20, name


def test_start_from_weights(wav_root, plain, tmp_path):
    """A new run, with the architecture of the weights and their values, from epoch 0."""
    output = tmp_path / "run"
    small = [*STEPS, "--epochs", "2", "--lr", "1e-30"]
    assert main(arguments(wav_root, output, "--model", plain / "best.h5", small=small)) == 0
    before, after = best(plain), best(output)
    assert after.config == before.config
    name = "fc3/affine/W"
    assert_same(after.parameters["drums"][name], before.parameters["drums"][name])
    assert load(output).progress["position"]["epoch"] == 2
    small[-1] = "1e-3"
    joint = tmp_path / "joint.h5"
    weights.save(joint, random_weights(small_config(arch="joint")))
    for number, model in enumerate([DATA / "umx" / "bass.h5", joint]):
        assert main(arguments(wav_root, tmp_path / str(number), "--model", model, small=small)) == 0
        assert best(tmp_path / str(number)).config == weights.load(model).config
    for change in (["--arch", "x-umx"], ["--umx-train"], ["--sources", "bass"], ["--mcoef", "1"]):
        output = tmp_path / "refused"
        assert main(arguments(wav_root, output, "--model", joint, *change, small=small)) == 2, change
        assert not output.exists()


def test_quiet(wav_root, tmp_path, capfd):
    train(wav_root, tmp_path / "quiet")
    assert capfd.readouterr() == ("", "")
    options = [o for o in arguments(wav_root, tmp_path / "loud", "--epochs", 2) if o != "--quiet"]
    assert main(options) == 0
    out, err = capfd.readouterr()
    first, memory, *lines = out.splitlines()
    assert memory.startswith("a step takes about ")
    assert first.startswith("computing on the CPU") and err == "", "no bars where there is no terminal"
    assert [line.split(":")[0] for line in lines] == ["epoch 1", "epoch 2", "best"]
    assert str(tmp_path / "loud" / "best.h5") in out


def test_bars_on_a_terminal(wav_root, tmp_path, terminal):
    assert main([o for o in arguments(wav_root, tmp_path / "run") if o != "--quiet"]) == 0
    shown = terminal.readouterr().err
    for word in ("epochs", "epoch 1", "validation", "samples"):
        assert word in shown, word


WRONG = {
    "no output": ([], "--output"),
    "abbreviated": (["--output", "x", "--epoch", "3"], "--epoch"),
    "arch": (["--output", "x", "--arch", "x", "--root", "y"], "--arch"),
    "source of an x-umx": (["--output", "x", "--source", "bass"], "--source"),
    "sources of a umx": (["--output", "x", "--arch", "umx", "--sources", "bass"], "--sources"),
    "mcoef of a umx": (["--output", "x", "--arch", "umx", "--mcoef", "1"], "--mcoef"),
    "source of a joint network": (["--output", "x", "--arch", "joint", "--source", "bass"], "for joint use"),
    "mcoef of a joint network": (["--output", "x", "--arch", "joint", "--mcoef", "1"], "--mcoef"),
    "joint, and an alias of umx": (["--output", "x", "--arch", "joint", "--umx-train"], "--umx-train"),
    "both architectures": (["--output", "x", "--arch", "x-umx", "--umx-train"], "--umx-train"),
    "no epochs": (["--output", "x", "--epochs", "0"], "--epochs"),
    "no batch": (["--output", "x", "--batch-size", "0"], "--batch-size"),
    "no length": (["--output", "x", "--seq-dur", "nan"], "--seq-dur"),
    "rate": (["--output", "x", "--lr", "0"], "--lr"),
    "scaling": (["--output", "x", "--lr-scaling", "cubic"], "--lr-scaling"),
    "warm-up": (["--output", "x", "--warmup", "-1"], "--warmup"),
    "gamma": (["--output", "x", "--lr-decay-gamma", "1"], "--lr-decay-gamma"),
    "decay": (["--output", "x", "--weight-decay", "-1"], "--weight-decay"),
    "seed": (["--output", "x", "--seed", "-1"], "--seed"),
    "augmentation": (["--output", "x", "--source-augmentations", "gian"], "gain"),
    "wav without root": (["--output", "x", "--is-wav"], "--is-wav"),
    "hidden size": (["--output", "x", "--hidden-size", "7"], "hidden_size"),
    "hop": (["--output", "x", "--nhop", "4096"], "n_hop"),
    "uneven hop": (["--output", "x", "--nhop", "1000"], "--nhop must divide --nfft"),
    "uneven hop on a cpu": (["--output", "x", "--nhop", "1000", "--context", "cpu"], "--nhop must divide"),
    "no hop": (["--output", "x", "--nhop", "0"], "n_hop"),
    "surround": (["--output", "x", "--nb-channels", "6"], "--nb-channels must be 1 or 2"),
    "no channels": (["--output", "x", "--nb-channels", "0"], "--nb-channels"),
    "source with a path": (["--output", "x", "--sources", "vocals", "../../bass"], "'../../bass'"),
    "no bandwidth": (["--output", "x", "--bandwidth", "nan"], "bandwidth"),
    "device of a cpu": (["--output", "x", "--context", "cpu", "--device-id", "1"], "--device-id"),
    "no such model": (["--output", "x", "--model", "/nowhere/checkpoint.h5"], "/nowhere"),
    "no file": (["@/nowhere/args.txt"], "/nowhere"),
    "no such recipe": (["--output", "x", "--recipe", "xumx"], "did you mean x-umx?"),
    "rate in words": (["--output", "x", "--lr", "study"], "'study' is neither a number nor 'loss'"),
}


@pytest.mark.parametrize("argv, named", WRONG.values(), ids=WRONG)
def test_wrong_usage(argv, named, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        code = main(argv)
    except SystemExit as ended:  # argparse's own
        code = ended.code
    assert code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert named in last and "error: " in last
    assert not list(tmp_path.iterdir())
