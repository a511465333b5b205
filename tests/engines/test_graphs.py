"""Folded graphs that are kept: made once, found again, made anew when what they depend on changes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.networks import music, random_weights, small_config
from xumx import Separator
from xumx.engines import Stored, graphs
from xumx.engines.onnx import OnnxEngine
from xumx.network import weights as weights_file


@pytest.fixture
def network(tmp_path: Path) -> Path:
    weights_file.save(tmp_path / "net.h5", random_weights(small_config()))
    return tmp_path / "net.h5"


def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on nobody reads weights."""
    monkeypatch.setattr(weights_file, "load", lambda path: pytest.fail("the weights are read again"))


def estimates(engine: OnnxEngine) -> np.ndarray:
    shape = (9, 1, engine.config.nb_channels, engine.config.bins)
    return engine(np.random.default_rng(0).exponential(3, shape).astype(np.float32))


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_later_starts_read_no_weights(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    options: dict[str, Any] = {"model_dir": tmp_path / "cache", "context": "cpu", "precision": precision}
    audio = music(0.3)
    first = Separator(network, **options)(audio)
    unread(monkeypatch)
    again = Separator(network, **options)
    assert again.config == small_config()
    for name, stem in again(audio).items():
        np.testing.assert_array_equal(stem, first[name])
    network.touch()  # the same bytes at another time: read for their digest, and no more
    Separator(network, **options)
    (kept,) = (tmp_path / "cache" / "graphs").glob("*-*-*")
    assert f"-{precision}-" in kept.name


def test_other_weights_and_other_makers_have_other_graphs(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = estimates(OnnxEngine(Stored(network, tmp_path)))
    other = random_weights(small_config(), seed=1)
    weights_file.save(network, other)
    found = estimates(OnnxEngine(Stored(network, tmp_path)))
    np.testing.assert_array_equal(found, estimates(OnnxEngine(other)))
    assert not np.array_equal(found, before)
    monkeypatch.setattr(graphs, "_version", lambda: "99")
    OnnxEngine(Stored(network, tmp_path))
    assert len(list((tmp_path / "graphs").glob("*-*-*"))) == 3


def test_a_folder_of_files_is_one_network(tmp_path: Path) -> None:
    weights = random_weights(small_config(arch="umx", sources=("a", "b")))
    weights_file.save(tmp_path / "umx", weights)
    first, again = Stored(tmp_path / "umx", tmp_path), Stored(tmp_path / "umx", tmp_path)
    np.testing.assert_array_equal(estimates(OnnxEngine(first)), estimates(OnnxEngine(weights)))
    assert again.digest == first.digest and again.config == weights.config
    (tmp_path / "umx" / "a.h5").write_bytes((tmp_path / "umx" / "b.h5").read_bytes())
    assert Stored(tmp_path / "umx", tmp_path).digest != first.digest


def test_a_damaged_graph_is_made_anew(network: Path, tmp_path: Path) -> None:
    expected = estimates(OnnxEngine(Stored(network, tmp_path)))
    for name, content in (("network.onnx", b"no graph"), ("network.onnx.data", b""), ("config.json", b"{")):
        (folder,) = (tmp_path / "graphs").glob("*-*-*")
        (folder / name).write_bytes(content)
        np.testing.assert_array_equal(estimates(OnnxEngine(Stored(network, tmp_path))), expected)


def test_where_nothing_can_be_kept_it_works(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    expected = estimates(OnnxEngine(Stored(network, tmp_path)))
    np.testing.assert_array_equal(estimates(OnnxEngine(Stored(network, tmp_path / "file"))), expected)
    monkeypatch.setattr(graphs, "ROOM", 1 << 62)
    np.testing.assert_array_equal(estimates(OnnxEngine(Stored(network, tmp_path / "full"))), expected)
    assert not list((tmp_path / "full" / "graphs").glob("*-*-*"))


def test_what_was_not_used_for_long_goes(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(3):
        weights_file.save(network, random_weights(small_config(), seed))
        OnnxEngine(Stored(network, tmp_path))
        (newest,) = (f for f in (tmp_path / "graphs").glob("*-*-*") if f.stat().st_mtime > 1e9)
        os.utime(newest, (seed, seed))
    size = sum(file.stat().st_size for file in newest.iterdir())
    monkeypatch.setattr(graphs, "LARGEST", 2 * size + 1000)
    weights_file.save(network, random_weights(small_config(), 3))
    OnnxEngine(Stored(network, tmp_path))
    kept = list((tmp_path / "graphs").glob("*-*-*"))
    assert len(kept) == 2 and newest in kept
