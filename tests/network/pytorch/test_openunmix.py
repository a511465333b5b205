"""Open-Unmix's checkpoints, against the package openunmix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from openunmix.utils import load_separator

from tests.network.pytorch.nets import SMALL, difference, estimate, magnitude, open_unmix
from tests.networks import random_weights, small_config
from xumx.base.errors import WeightsError, WriteError
from xumx.convert import main
from xumx.network import pytorch as conversion
from xumx.network import weights
from xumx.network.config import SOURCES, ModelConfig

TARGETS = ("drums", "piano", "vocals")  # in xumx's order: published sources first
PUBLISHED = {"nb_bins": 2049, "nb_channels": 2, "hidden_size": 512, "max_bin": 1487}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"nb_channels": 1},
        {"unidirectional": True},
        {"nb_layers": 1},
        {"nb_layers": 2, "unidirectional": True, "max_bin": None},
        {"hidden_size": 6, "max_bin": 129},
        PUBLISHED,
    ],
    ids=str,
)
def test_gives_what_openunmix_gives(tmp_path: Path, changes: dict[str, Any]) -> None:
    net = open_unmix(**changes)
    torch.save(net.state_dict(), tmp_path / "piano.pth")
    converted = conversion.load(tmp_path / "piano.pth")
    sizes = {**SMALL, **changes}
    assert converted.config == ModelConfig(
        arch="umx",
        sources=("piano",),
        n_fft=2 * (sizes["nb_bins"] - 1),
        n_hop=(sizes["nb_bins"] - 1) // 2,
        hidden_size=sizes["hidden_size"],
        nb_layers=sizes.get("nb_layers", 3),
        nb_channels=sizes["nb_channels"],
        max_bin=sizes["max_bin"] or sizes["nb_bins"],
        unidirectional=sizes.get("unidirectional", False),
    )
    x = magnitude(sizes["nb_bins"], sizes["nb_channels"])
    found = difference(converted, x, estimate(net, x)[None])
    assert found < 1e-4, found


def folder_of_checkpoints(folder: Path, **common: Any) -> dict[str, Any]:
    """What a training with Open-Unmix leaves, as far as it concerns us."""
    nets = {target: open_unmix(seed) for seed, target in enumerate(TARGETS)}
    folder.mkdir()
    for target, net in nets.items():
        torch.save(net.state_dict(), folder / f"{target}.pth")
        torch.save({"epoch": 3, "state_dict": net.state_dict()}, folder / f"{target}.chkpnt")
        args = {"nfft": 256, "nhop": 64, "nb_channels": 2, "hidden_size": 8, "lr": 0.001}
        (folder / f"{target}.json").write_text(json.dumps({"args": args, "best_loss": 0.5}))
    shared = {"nfft": 256, "nhop": 32, "nb_channels": 2, "sample_rate": 48000.0, **common}
    (folder / "separator.json").write_text(json.dumps(shared))
    return nets


def test_a_folder_becomes_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nets = folder_of_checkpoints(tmp_path / "run")
    assert main([str(tmp_path / "run"), str(tmp_path / "umx")]) == 0
    assert "umx of drums, vocals, piano" in capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / "umx").iterdir()) == ["drums.h5", "piano.h5", "vocals.h5"]
    converted = weights.load(tmp_path / "umx")
    config = converted.config
    assert (config.sources, config.n_hop, config.sample_rate) == (("drums", "vocals", "piano"), 32, 48000)
    x = magnitude(129, 2)
    expected = torch.stack([estimate(nets[source], x) for source in config.sources])
    assert difference(converted, x, expected) < 1e-4


def test_one_file_of_a_folder(tmp_path: Path) -> None:
    net = folder_of_checkpoints(tmp_path / "run")["piano"]
    for name, output in (("piano.pth", "a.h5"), ("piano.chkpnt", "b")):
        assert main([str(tmp_path / "run" / name), str(tmp_path / output)]) == 0
    one, same = weights.load(tmp_path / "a.h5"), weights.load(tmp_path / "b" / "piano.h5")
    assert one.config == same.config and one.config.sources == ("piano",)
    assert (one.config.n_hop, one.config.sample_rate) == (32, 48000), "the JSON files beside it count"
    x = magnitude(129, 2)
    assert difference(one, x, estimate(net, x)[None]) < 1e-4
    np.testing.assert_array_equal(
        one.parameters["piano"]["fc3/affine/W"], same.parameters["piano"]["fc3/affine/W"]
    )


def test_the_published_layout(tmp_path: Path) -> None:
    """A hash in the name, the buffers and the file format of the first releases, no JSON."""
    nets = {target: open_unmix(seed) for seed, target in enumerate(SOURCES)}
    for target, net in nets.items():
        state = net.state_dict() | {
            "stft.window": torch.hann_window(256),
            "transform.0.window": torch.hann_window(256),
            "sample_rate": torch.tensor(44100.0),
        }
        torch.save(state, tmp_path / f"{target}-0123abcd.pth", _use_new_zipfile_serialization=False)
    converted = conversion.load(tmp_path)
    assert converted.config.sources == SOURCES and converted.config.sample_rate == 44100
    x = magnitude(129, 2)
    assert difference(converted, x, torch.stack([estimate(net, x) for net in nets.values()])) < 1e-4
    state["sample_rate"] = torch.tensor(16000)
    torch.save(state, tmp_path / "lead_vocals.pth")
    config = conversion.load(tmp_path / "lead_vocals.pth").config
    assert config.sources == ("lead_vocals",) and config.sample_rate == 16000


def test_there_and_back(tmp_path: Path) -> None:
    network = random_weights(small_config(arch="umx", n_hop=32, sample_rate=48000))
    weights.save(tmp_path / "umx", network)
    assert main([str(tmp_path / "umx"), str(tmp_path / "torch"), "--to", "openunmix"]) == 0
    assert main([str(tmp_path / "torch"), str(tmp_path / "back")]) == 0
    back = weights.load(tmp_path / "back")
    assert back.config == network.config
    for source, parameters in network.parameters.items():
        for name, array in parameters.items():
            np.testing.assert_array_equal(back.parameters[source][name], array, err_msg=f"{source} {name}")


@pytest.mark.parametrize("arch", ["umx", "joint"])
def test_openunmix_loads_what_is_written(tmp_path: Path, arch: str) -> None:
    network = random_weights(small_config(arch=arch, n_hop=32, sample_rate=48000))
    conversion.openunmix.save(tmp_path / "torch", network)
    separator = load_separator(str(tmp_path / "torch"), targets=list(SOURCES), device="cpu")
    separator.freeze()
    assert separator.sample_rate == 48000 and separator.stft.n_hop == 32 and separator.stft.n_fft == 256
    for source in SOURCES:  # openunmix itself passes over what is missing
        state = torch.load(tmp_path / "torch" / f"{source}.pth", weights_only=True)
        assert separator.target_models[source].load_state_dict(state, strict=True)
    x = magnitude(129, 2)
    expected = torch.stack([estimate(separator.target_models[source], x) for source in SOURCES])
    found = difference(network, x, expected)
    assert found < 1e-4, found


def test_the_network_of_one_source(tmp_path: Path) -> None:
    network = random_weights(small_config(arch="umx", sources=("piano",)))
    weights.save(tmp_path / "piano.h5", network)
    assert main([str(tmp_path / "piano.h5"), str(tmp_path / "out"), "--to", "openunmix"]) == 0
    written = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert written == ["piano.json", "piano.pth", "separator.json"]


@pytest.mark.parametrize(
    "config, named",
    [
        (small_config(), "x-umx network"),
        (small_config(arch="umx", unidirectional=True), "bidirectional"),
        (small_config(arch="umx", nb_layers=2), "3 LSTM layers"),
        (small_config(arch="umx", sources=("vocals", "vocals2")), "vocals*.pth"),
    ],
    ids=["x-umx", "unidirectional", "layers", "names"],
)
def test_what_openunmix_cannot_have(
    tmp_path: Path, config: ModelConfig, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / ("net.h5" if config.crossing else "net")
    weights.save(place, random_weights(config))
    assert main([str(place), str(tmp_path / "out"), "--to", "openunmix"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --to openunmix") and named in line, line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "change, named",
    [
        (lambda s: s.pop("input_mean"), "lacks input_mean"),
        (lambda s: s.pop("fc2.weight"), "lacks fc2.weight"),
        (lambda s: s.pop("bn3.running_var"), "lacks bn3.running_var"),
        (lambda s: s.pop("lstm.bias_hh_l1_reverse"), "lacks lstm.bias_hh_l1_reverse"),
        (lambda s: s.update({"fc1.weight": torch.zeros(8)}), "fc1.weight has 1 axes, not 2"),
        (
            lambda s: s.update({"fc2.weight": torch.zeros(8, 3)}),
            r"fc2.weight has shape \(8, 3\), not \(8, 16\)",
        ),
        (lambda s: s.update({"bn1.bias": torch.full((8,), torch.nan)}), "bn1.bias holds .* not finite"),
        (lambda s: s.update({"bn1.running_var": torch.full((8,), -1.0)}), "bn1.running_var .* negative"),
        (lambda s: s.update({"fc4.weight": torch.zeros(2)}), "fc4.weight belongs to no Open-Unmix"),
        (lambda s: s.update({"lstm.weight_ih_l3": torch.zeros(2)}), "lstm.weight_ih_l3"),
        (lambda s: s.update({"input_mean": 3}), "input_mean is no tensor"),
        (lambda s: s.update({"bn1.bias": torch.zeros(8).to_sparse()}), "bn1.bias is no tensor"),
        (lambda s: s.update({"bn1.bias": torch.zeros(8, dtype=torch.complex64)}), "bn1.bias is no tensor"),
        (lambda s: s.update({"bn1.bias": torch.zeros(8, device="meta")}), "bn1.bias .*meta tensor"),
        (lambda s: s.update({"bn1.bias": torch.zeros(1).expand(8)}), "bn1.bias .*expanded tensor"),
        (lambda s: s.update({"fc1.weight": torch.zeros(1).expand(10**9, 10**9)}), "fc1.weight .*expanded"),
        (lambda s: s.update({"bn1\n.bias": torch.zeros(8)}), "is not how a parameter is called"),
        (lambda s: s.update({"module.bn1.bias": torch.zeros(8)}), "holds bn1.bias twice"),
        (lambda s: (s.clear(), s.update({"model": [1]})), "its model is no dictionary"),
        (lambda s: s.update({"sample_rate": torch.tensor(2**31 - 1)}), "sample_rate"),
        (lambda s: s.update({"sample_rate": torch.tensor(torch.inf)}), "sample_rate is inf"),
        (lambda s: s.update({"sample_rate": torch.zeros(3)}), "sample_rate has shape"),
        (lambda s: s.update({"sample_rate": torch.tensor(-1)}), "sample_rate is -1"),
        (lambda s: (s.clear(), s.update({"conv.weight": torch.zeros(3, 3)})), "lacks input_mean"),
        (lambda s: (s.clear(), s.update({"state_dict": 3})), "its state_dict is no dictionary"),
        (lambda s: (s.clear(), s.update({3: torch.zeros(3)})), "holds a dict"),
    ],
)
def test_broken_checkpoints_are_named(tmp_path: Path, change: Any, named: str) -> None:
    state = dict(open_unmix().state_dict())
    change(state)
    torch.save(state, tmp_path / "vocals.pth")
    with pytest.raises(WeightsError, match=named) as raised:
        conversion.load(tmp_path / "vocals.pth")
    assert str(tmp_path / "vocals.pth") in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "name, content, named",
    [
        ("separator.json", {"nfft": 512}, "tensors have nfft 256, separator.json says 512"),
        ("separator.json", {"nb_channels": 1}, "nb_channels 2, separator.json says 1"),
        ("drums.json", {"args": {"hidden_size": 512}}, "hidden_size 8, drums.json says 512"),
        ("drums.json", {"args": {"nfft": 4096}}, "nfft 256, drums.json says 4096"),
        ("separator.json", {"nhop": 0}, "nhop is 0"),
        ("separator.json", {"nhop": 200}, "n_hop"),
        ("separator.json", {"nhop": 1}, "n_hop"),
        ("separator.json", {"sample_rate": 10**400}, "sample_rate is a value of type int"),
        ("separator.json", {"sample_rate": float("inf")}, "sample_rate is inf"),
        ("separator.json", {"sample_rate": 2**62}, "sample_rate must be"),
        ("separator.json", {"sample_rate": "fast"}, "sample_rate is 'fast'"),
        ("separator.json", {"sample_rate": 44100.5}, "sample_rate is 44100.5"),
        ("separator.json", [1], "does not hold what it should"),
        ("drums.json", {"args": 3}, "args is no object"),
    ],
)
def test_json_that_disagrees(tmp_path: Path, name: str, content: Any, named: str) -> None:
    folder_of_checkpoints(tmp_path / "run")
    (tmp_path / "run" / name).write_text(json.dumps(content))
    with pytest.raises(WeightsError, match=named) as raised:
        conversion.load(tmp_path / "run")
    assert str(tmp_path / "run") in str(raised.value) and "\n" not in str(raised.value)


def test_json_that_is_none(tmp_path: Path) -> None:
    folder_of_checkpoints(tmp_path / "run")
    (tmp_path / "run" / "separator.json").write_text("{")
    with pytest.raises(WeightsError, match=r"separator\.json: is no JSON"):
        conversion.load(tmp_path / "run")


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: {"model": state, "optimizer": {}, "epoch": 3},
        lambda state: {"model_state_dict": state},
        lambda state: {"model": {"state_dict": state}},
        lambda state: {f"module.{key}": tensor for key, tensor in state.items()},
        lambda state: {"state_dict": {f"_orig_mod.module.{key}": t for key, t in state.items()}},
    ],
)
def test_what_a_training_puts_around_a_network_is_taken_off(tmp_path: Path, wrapped: Any) -> None:
    state = open_unmix().state_dict()
    torch.save(state, tmp_path / "vocals.pth")
    torch.save(wrapped(dict(state)), tmp_path / "wrapped.pth")
    plain = conversion.load(tmp_path / "vocals.pth").parameters["vocals"]
    found = conversion.load(tmp_path / "wrapped.pth").parameters["wrapped"]
    for name, array in plain.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize("name", ["../../escaped", "/etc/escaped"])
@pytest.mark.parametrize("arch", ["umx", "joint"])
def test_a_source_that_is_a_path_is_not_written(
    tmp_path: Path, arch: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "a" / "b"
    weights.save(folder / "net.h5", random_weights(small_config(arch=arch, sources=("x",))))
    with h5py.File(folder / "net.h5", "r+") as file:
        file.attrs["sources"] = [name]
    before = set(tmp_path.rglob("*"))
    assert main([str(folder / "net.h5"), str(folder / "out"), "--to", "openunmix"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "net.h5" in line
    assert set(tmp_path.rglob("*")) == before


def test_a_target_that_would_take_the_place_of_the_json_of_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights.save(tmp_path / "net.h5", random_weights(small_config(arch="umx", sources=("separator",))))
    assert main([str(tmp_path / "net.h5"), str(tmp_path / "out"), "--to", "openunmix"]) == 2
    assert "separator.json" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_folders_that_do_not_belong_together(tmp_path: Path) -> None:
    torch.save(open_unmix().state_dict(), tmp_path / "a.pth")
    torch.save(open_unmix(hidden_size=6).state_dict(), tmp_path / "b.pth")
    with pytest.raises(WeightsError, match=r"b\.pth: its sizes differ from those of a\.pth"):
        conversion.load(tmp_path)
    torch.save(open_unmix().state_dict(), tmp_path / "b-01234567.pth")
    with pytest.raises(WeightsError, match=r"both b-01234567\.pth and b\.pth are of b"):
        conversion.load(tmp_path)


def test_half_precision_is_read(tmp_path: Path) -> None:
    net = open_unmix()
    torch.save(open_unmix().half().state_dict(), tmp_path / "a.pth")
    converted = conversion.load(tmp_path / "a.pth")
    assert converted.parameters["a"]["fc1/affine/W"].dtype == np.float32
    x = magnitude(129, 2)
    assert difference(converted, x, estimate(net, x)[None]) < 1e-2


def test_a_failed_write_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    network = random_weights(small_config(arch="umx"))
    with pytest.raises(WriteError, match="cannot be written"):
        conversion.openunmix.save(tmp_path / "file" / "out", network)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
