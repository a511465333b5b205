"""Runs with other losses than the default: their terms, their recipes, their discriminators."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.musdb_set import generate
from tests.networks import DATA
from tests.train.runs import arguments, assert_same, best, content, load, train
from tests.train.test_resume import interrupt
from xumx.graph import losses
from xumx.graph.losses.adversarial import SCOPE
from xumx.parallel.communicator import Communicator
from xumx.train import checkpoint
from xumx.train.__main__ import main
from xumx.train.options import TrainOptions, fields
from xumx.train.resolve import new_run, resumed

NAMES = [*losses.LOSSES, *losses.SUMS]


@pytest.fixture(scope="module")
def unpaired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some drums, in stereo and in mono, and a voice in a folder of its own."""
    folder = tmp_path_factory.mktemp("unpaired")
    rng = np.random.default_rng(0)
    for name, source, channels in (
        ("drums/1", "drums", 2),
        ("drums/b/2", "drums", 1),
        ("voice/3", "vocals", 2),
    ):
        path = folder / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, generate(30000, rng)[source][:channels].T, 44100)
    return folder


BESIDE = {
    "LSGAN": ["L2freq", "LSGAN=0.01"],
    "HingeGAN": ["L2freq", "HingeGAN=0.01"],
    "DeepFeatures": ["L2freq", "DeepFeatures", "--feature-model", "x.h5"],
}
"""Losses that need company."""


@pytest.mark.parametrize("name", NAMES)
def test_the_recipe_trains_each_loss_with_its_rate(name):
    """Nothing else changes; a rate that is given wins, and without the recipe it is the plain one."""
    recipe, loss = ["--recipe", "x-umx", "--output", "y"], ["--loss", *BESIDE.get(name, [name])]
    options = new_run(TrainOptions.given([*recipe, *loss]))
    assert name in losses.parse(options.loss)
    assert options.lr == {"L1time": 1e-5, "L2time": 1e-5, "L2mask": 1e-4}.get(name, 1e-3)
    own = {name: getattr(options, name) for name in ("loss", "lr", "mcoef", "feature_model")}
    assert dataclasses.replace(new_run(TrainOptions.given(recipe)), **own) == options
    assert new_run(TrainOptions.given([*recipe, *loss, "--lr", "0.5"])).lr == 0.5
    assert new_run(TrainOptions.given([*recipe[2:], *loss])).lr == 1e-3


def test_a_run_that_goes_on_may_be_given_its_recipe_again():
    options = new_run(TrainOptions.given(["--recipe", "x-umx", "--output", "y", "--loss", "L2mask"]))
    again = TrainOptions.given(["--recipe", "x-umx", "--loss", "L2mask", "--model", "y"])
    assert resumed(again, fields(options)) == dataclasses.replace(options, model="y")
    assert options.lr == 1e-4


@pytest.mark.parametrize(
    "change, terms",
    [
        (["--loss", "L1freq=0.5", "SISDRtime", "L1mask=2"], {"L1freq": 0.5, "SISDRtime": 1, "L1mask": 2}),
        (["--loss", "MultiDomain=2", "PSA", "--mcoef", "3"], {"time": 6, "frequency": 2, "PSA": 1}),
        (["--arch", "umx", "--loss", "L1time=3"], {"L1time": 3}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_record_has_each_term(wav_root, tmp_path, change, terms):
    (epoch,) = train(wav_root, tmp_path / "run", *change).progress["position"]["history"]
    for kind in ("training", "validation"):
        found = {name: epoch[f"{kind}_{name}_loss"] for name in terms}
        total = sum(weight * found[name] for name, weight in terms.items())
        assert total == pytest.approx(epoch[f"{kind}_loss"], rel=1e-5), kind
        assert len([key for key in epoch if key.startswith(kind)]) == 1 + len(terms)


def test_a_single_loss_is_its_own_term(wav_root, tmp_path):
    (epoch,) = train(wav_root, tmp_path / "run", "--loss", "L1freq").progress["position"]["history"]
    assert [key for key in epoch if key.endswith("_loss")] == ["training_loss", "validation_loss"]


NEW = ("loss", "feature_model", "unpaired")


def test_runs_from_before_there_was_a_choice_go_on(wav_root, tmp_path):
    whole, output = tmp_path / "whole", tmp_path / "run"
    train(wav_root, whole, "--epochs", 2)
    train(wav_root, output)
    saved = load(output)
    for option in NEW:
        del saved.progress["options"][option]
    checkpoint.save(output / checkpoint.NAME, saved)
    assert main(["--model", str(output), "--epochs", "2", "--quiet"]) == 0
    assert_same(content(load(output)), content(load(whole)))


@pytest.mark.parametrize("arch", ["x-umx", "umx"])
def test_what_runs_from_before_there_was_a_choice_did(arch):
    new = new_run(TrainOptions.given(["--output", "x", "--arch", arch]))
    stored = {name: value for name, value in fields(new).items() if name not in NEW}
    assert resumed(TrainOptions.given(["--model", "x"]), stored) == dataclasses.replace(new, model="x")


def test_a_run_keeps_its_loss(wav_root, tmp_path, capsys):
    output = tmp_path / "run"
    train(wav_root, output, "--loss", "L1freq", "PSA=0.5")
    go_on = ["--model", str(output), "--epochs", "2", "--quiet", "--loss"]
    assert main([*go_on, "L1freq", "PSA=0.4"]) == 2
    assert "--loss L1freq PSA=0.4" in capsys.readouterr().err
    assert main([*go_on, "L1freq=1.0", "PSA=.5"]) == 0
    assert load(output).progress["position"]["epoch"] == 2


def test_deep_features(wav_root, tmp_path, capsys):
    train(wav_root, tmp_path / "frozen")
    network = tmp_path / "network.h5"
    shutil.copy(tmp_path / "frozen" / "best.h5", network)
    before = network.read_bytes()
    saved = train(wav_root, tmp_path / "run", "--loss", "L2freq", "DeepFeatures", "--feature-model", network)
    assert saved.progress["position"]["history"][0]["training_DeepFeatures_loss"] > 0
    assert network.read_bytes() == before
    network.rename(tmp_path / "elsewhere.h5")
    go_on = ["--model", str(tmp_path / "run"), "--epochs", "2", "--quiet"]
    assert main(go_on) == 1
    assert str(network) in capsys.readouterr().err
    assert main([*go_on, "--feature-model", str(tmp_path / "elsewhere.h5")]) == 0


ADVERSARIAL = ["--loss", "L2freq", "LSGAN=0.5"]


def test_discriminators_learn_beside_the_network(wav_root, tmp_path, monkeypatch):
    averaged = []
    backward = Communicator.backward

    def watched(self, loss, parameters, *scale):
        averaged.append(sum(p.need_grad for p in parameters.values()))
        backward(self, loss, parameters, *scale)

    monkeypatch.setattr(Communicator, "backward", watched)
    saved = train(wav_root, tmp_path / "run", *ADVERSARIAL, "--epochs", 3, "--lr", 0.01)
    mine = {name for name in saved.parameters if name.startswith(SCOPE)}
    assert len(mine) == 4 * 8 and mine < set(saved.solver)
    # Both sides go through the communicator, in turn.
    assert averaged == [len(saved.solver) - len(mine), len(mine)] * 12
    history = saved.progress["position"]["history"]
    assert history[-1]["training_discriminator_loss"] < history[0]["training_discriminator_loss"]
    assert "validation_LSGAN_loss" not in history[0] and "training_LSGAN_loss" in history[0]
    assert best(tmp_path / "run").config == saved.config, "the weights hold something else"


def test_the_network_heeds_the_discriminators(wav_root, tmp_path):
    found = [
        train(wav_root, tmp_path / name, "--batch-size", 12, "--loss", "L2freq", f"{name}=0.5")
        for name in losses.CRITICS
    ]
    first, second = (saved.parameters["fc3_bass/affine/W"] for saved in found)
    assert not np.array_equal(first, second)


def test_adversarial_runs_resume(wav_root, unpaired, tmp_path, monkeypatch):
    """With recordings for one source and the targets of the others."""
    change = [*ADVERSARIAL, "--epochs", 2, "--unpaired", unpaired]
    whole = train(wav_root, tmp_path / "whole", *change)
    output = tmp_path / "run"
    with monkeypatch.context() as patch:
        interrupt(patch, 6)
        assert main(arguments(wav_root, output, *change, "--checkpoint-every", 0)) == 130
    assert load(output).solver_steps == 6
    assert main(["--model", str(output), "--nb-workers", "2", "--quiet"]) == 0
    assert_same(content(load(output)), content(whole))


def test_unpaired_recordings_take_the_place_of_their_source(wav_root, unpaired, tmp_path):
    """The discriminator of drums alone sees something else: only drums are there."""
    found = [
        train(wav_root, tmp_path / str(n), *ADVERSARIAL, "--batch-size", 12, *more)
        for n, more in enumerate(([], ["--unpaired", unpaired]))
    ]
    assert [saved.solver_steps for saved in found] == [1, 1]
    first, second = (saved.parameters for saved in found)
    changed = {name for name, values in first.items() if not np.array_equal(values, second[name])}
    assert f"{SCOPE}drums/conv1/W" in changed
    assert all(name.startswith(f"{SCOPE}drums/") for name in changed), changed


def test_unpaired_folders_that_will_not_do(wav_root, unpaired, tmp_path, capsys):
    def fails(code: int, folder: Path) -> str:
        assert main(arguments(wav_root, tmp_path / "run", *ADVERSARIAL, "--unpaired", folder)) == code
        (line,) = capsys.readouterr().err.splitlines()
        assert not (tmp_path / "run").exists()
        return line

    assert "--unpaired" in fails(2, tmp_path / "nowhere")
    (tmp_path / "bass").mkdir()
    assert "bass or drums or vocals or other" in fails(2, tmp_path)
    (tmp_path / "bass" / "x.wav").write_bytes(b"RIFF")
    assert "x.wav" in fails(1, tmp_path)


WRONG = {
    "unknown": (["--loss", "L1freg"], "did you mean L1freq?"),
    "weight": (["--loss", "L1freq=0"], "positive"),
    "adversarial alone": (["--loss", "LSGAN"], "LSGAN alone"),
    "one source": (["--arch", "umx", "--loss", "CrossEntropy"], "--arch x-umx"),
    "mcoef of another loss": (["--loss", "L1freq", "--mcoef", "3"], "--mcoef"),
    "no feature model": (["--loss", "DeepFeatures"], "--feature-model"),
    "no deep features": (["--feature-model", "x.h5"], "--feature-model"),
    "no such feature model": (["--loss", "DeepFeatures", "--feature-model", "/nowhere.h5"], "/nowhere.h5"),
    "other windows": (["--loss", "DeepFeatures", "--feature-model", str(DATA / "x-umx.h5")], "n_fft 1024"),
    "no discriminator": (["--unpaired", "x"], "--unpaired"),
    "no loss": (["--loss"], "--loss"),
}


@pytest.mark.parametrize("change, named", WRONG.values(), ids=WRONG)
def test_wrong_usage(change, named, capsys, tmp_path):
    output = tmp_path / "run"
    try:
        code = main(["--output", str(output), "--root", str(tmp_path), *change])
    except SystemExit as ended:
        code = ended.code
    assert code == (1 if "nowhere" in named else 2)
    last = capsys.readouterr().err.splitlines()[-1]
    assert named in last and "error: " in last and not output.exists()
