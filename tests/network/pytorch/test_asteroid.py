"""asteroid's X-UMX, against a PyTorch network of the same keys and layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.network.pytorch.nets import asteroid_checkpoint, difference, magnitude
from xumx.base.errors import WeightsError
from xumx.convert import main
from xumx.network import pytorch as conversion
from xumx.network import weights
from xumx.network.config import ModelConfig


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("sources", [("bass", "drums", "vocals", "other"), ("voice", "drums")], ids=len)
def test_gives_the_same(tmp_path: Path, sources: tuple[str, ...], zipped: bool) -> None:
    content = asteroid_checkpoint(sources=sources)
    net = content.pop("net")
    torch.save(content, tmp_path / "best_model.pth", _use_new_zipfile_serialization=zipped)
    assert main([str(tmp_path / "best_model.pth"), str(tmp_path / "x-umx.h5")]) == 0
    converted = weights.load(tmp_path / "x-umx.h5")
    assert converted.config == ModelConfig(
        sources=sources, n_fft=256, n_hop=32, hidden_size=8, max_bin=60, sample_rate=48000
    )
    x = magnitude(129, 2)
    found = difference(converted, x, net(torch.from_numpy(x)))
    assert found < 1e-4, found


@pytest.mark.parametrize(
    "change, named",
    [
        (lambda c: c.update(model_name="ConvTasNet"), "a checkpoint of 'ConvTasNet'"),
        (lambda c: c.update(model_args=[]), "model_args"),
        (lambda c: c.pop("state_dict"), "state_dict"),
        (lambda c: c["model_args"].pop("sources"), "names no sources, but None"),
        (lambda c: c["model_args"].update(sources=["drums"]), "voice.* belongs to no X-UMX network"),
        (lambda c: c["model_args"].update(sources=["drums", "piano"]), "lacks mean_scale.input_mean_piano"),
        (lambda c: c["model_args"].update(sources=["drums", "drums"]), "different names"),
        (lambda c: c["model_args"].update(spec_power=2), "power of 2"),
        (lambda c: c["model_args"].update(spec_power=torch.ones(3)), "power of a value of type Tensor"),
        (lambda c: c["model_args"].update(sample_rate=torch.ones(9, 9)), "is a value of type Tensor"),
        (lambda c: c["model_args"].update(n_hop=1), "n_hop"),
        (lambda c: c["model_args"].update(sample_rate=10**100), "sample_rate is"),
        (lambda c: c.update(model_name=torch.ones(9, 9)), "a checkpoint of a value of type Tensor"),
        (lambda c: c["model_args"].update(window_length=128), "window_length 256, model_args says 128"),
        (lambda c: c["model_args"].update(hidden_size=16), "hidden_size 8, model_args says 16"),
        (lambda c: c["model_args"].update(max_bin=61), "max_bin 60, model_args says 61"),
        (lambda c: c["model_args"].update(n_hop="a"), "n_hop is 'a'"),
        (lambda c: c["state_dict"].pop("layer_dec.voice.dec.4.bias"), "lacks layer_dec.voice.dec.4.bias"),
        (
            lambda c: c["state_dict"].update({"layer_enc.voice.enc.0.weight": torch.zeros(8, 3)}),
            r"layer_enc.voice.enc.0.weight has shape \(8, 3\)",
        ),
    ],
)
def test_broken_checkpoints_are_named(tmp_path: Path, change: Any, named: str) -> None:
    content = asteroid_checkpoint()
    del content["net"]
    change(content)
    torch.save(content, tmp_path / "model.bin")
    with pytest.raises(WeightsError, match=named) as raised:
        conversion.load(tmp_path / "model.bin")
    assert str(tmp_path / "model.bin") in str(raised.value) and "\n" not in str(raised.value)


def test_x_umx_in_a_folder_asks_for_the_file(tmp_path: Path) -> None:
    content = asteroid_checkpoint()
    del content["net"]
    torch.save(content, tmp_path / "best_model.pth")
    with pytest.raises(WeightsError, match=r"best_model\.pth: x-umx is one file"):
        conversion.load(tmp_path)


def test_a_source_that_is_a_path_is_refused(tmp_path: Path) -> None:
    content = asteroid_checkpoint(sources=("/drums", "voice"))
    del content["net"]
    torch.save(content, tmp_path / "model.bin")
    with pytest.raises(WeightsError, match="'/drums' cannot be the name of a source"):
        conversion.load(tmp_path / "model.bin")
