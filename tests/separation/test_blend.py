"""Several networks as one."""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.networks import identity_weights, music, random_weights, small_config
from xumx.base.errors import UsageError, XumxError
from xumx.network import weights as weights_file
from xumx.network.weights import Weights
from xumx.separation.blend import read_weights
from xumx.separation.separator import Separator
from xumx.signal.stft import stft

FIRST = random_weights(small_config(), 1)
OTHER = random_weights(small_config(), 2)
TURNED = ("other", "vocals", "drums", "bass")
AUDIO = music(0.3)
CHUNKS: dict[str, Any] = {"chunk_dur": 0.2, "overlap": 0.25}


def turned(network: Weights) -> Weights:
    """The same network with its sources in another order."""
    config = dataclasses.replace(network.config, sources=TURNED)
    return Weights(config, {source: network.parameters[source] for source in TURNED})


def assert_near(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], tolerance: float) -> None:
    peak = max(np.abs(stem).max() for stem in expected.values())
    assert list(found) == list(expected)
    for stem, audio in expected.items():
        assert np.abs(found[stem] - audio).max() <= tolerance * peak, stem


def test_magnitudes_are_averaged_with_a_weight_a_source() -> None:
    config = FIRST.config
    shares = {"bass": 0.25, "drums": 1.0, "vocals": 0.0, "other": 0.5}
    weights = {"network 1": shares, "network 2": {source: 1 - share for source, share in shares.items()}}
    both = Separator([FIRST, turned(OTHER)], weights=weights, niter=0)
    spectrogram = stft(AUDIO, config.n_fft, config.n_hop)
    one, two = (Separator(network).magnitudes(AUDIO)[0] for network in (FIRST, OTHER))
    share = np.array([shares[source] for source in config.sources])[:, None, None, None]
    expected = share * one + (1 - share) * two
    found = both._networks(AUDIO, spectrogram)
    assert np.abs(found - expected).max() <= 1e-6 * expected.max()
    assert both.stems == config.sources and both.networks == ("network 1", "network 2")


def test_a_network_with_itself_is_itself() -> None:
    for niter in (0, 1):
        alone = Separator(FIRST, niter=niter, **CHUNKS)(AUDIO)
        assert_near(Separator([FIRST], niter=niter, **CHUNKS)(AUDIO), alone, 0)
        assert_near(Separator([FIRST, FIRST], niter=niter, **CHUNKS)(AUDIO), alone, 1e-6)
        other = turned(OTHER)
        weights = {"network 1": 2, "network 2": 0}
        assert_near(Separator([FIRST, other], weights=weights, niter=niter, **CHUNKS)(AUDIO), alone, 1e-6)


@pytest.mark.parametrize(
    "sizes", [{"n_fft": 512, "n_hop": 128}, {"n_hop": 32}, {"n_fft": 128, "max_bin": 33}], ids=str
)
def test_networks_of_other_ffts(sizes: dict[str, Any]) -> None:
    """What an identity network estimates is the mixture's magnitude, in any STFT."""
    hidden = {"hidden_size": 6, "nb_layers": 1}
    other = identity_weights(
        small_config(arch="umx", **{"n_hop": 32 if "n_fft" in sizes else 64, **sizes, **hidden})
    )
    spectrogram = stft(AUDIO, 256, 64)
    estimate = Separator([FIRST, other], weights={"network 1": 0, "network 2": 1})._networks(
        AUDIO, spectrogram
    )
    for source in estimate:
        assert np.abs(source - np.abs(spectrogram)).max() < 1e-4 * np.abs(spectrogram).max()


def test_streams_and_pickles(tmp_path: Path) -> None:
    weights_file.save(tmp_path / "a.h5", FIRST)
    weights_file.save(tmp_path / "b.h5", OTHER)
    models = [str(tmp_path / "a.h5"), tmp_path / "b.h5"]
    separator = Separator(models, weights={str(tmp_path / "a.h5"): 1, str(tmp_path / "b.h5"): 3}, **CHUNKS)
    again = pickle.loads(pickle.dumps(separator))
    whole, same = separator(AUDIO), again(AUDIO)
    assert_near(same, whole, 0)
    pieces = list(separator.stream(np.array_split(AUDIO, 7)))
    assert_near({s: np.concatenate([p[s] for p in pieces]) for s in separator.stems}, whole, 0)
    assert f"[{models[0]!r}, {str(models[1])!r}]" in repr(separator)


@pytest.mark.parametrize(
    ("models", "weights", "named"),
    [
        ([], None, "names no network"),
        ([FIRST], {"network 1": 1}, "there is one"),
        ([FIRST, random_weights(small_config(sources=("speech", "noise")))], None, "2 has speech, noise"),
        ([FIRST, random_weights(small_config(sample_rate=48000))], None, "sample_rate .*44100, .*48000"),
        ([FIRST, random_weights(small_config(nb_channels=1))], None, "nb_channels"),
        ([FIRST, OTHER], {"network 1": 1}, "leave out the network network 2"),
        ([FIRST, OTHER], {"network 1": 1, "x-umx": 1}, "weights of x-umx"),
        ([FIRST, OTHER], {"network 1": 0, "network 2": 0}, "weights of bass sum to 0"),
        ([FIRST, OTHER], {"network 1": -1, "network 2": 2}, "a weight of network 1 is -1"),
        ([FIRST, OTHER], {"network 1": float("nan"), "network 2": 2}, "a weight of network 1 is nan"),
        ([FIRST, OTHER], {"network 1": True, "network 2": 2}, "a weight of network 1 is True"),
        ([FIRST, OTHER], {"network 1": {"bass": 1}, "network 2": 2}, "weights of network 1 are of bass"),
        (["demo", "demo"], None, "demo is given twice"),
    ],
)  # fmt: skip
def test_networks_and_weights_that_cannot_be(models: list[Any], weights: Any, named: str) -> None:
    with pytest.raises(UsageError, match=named) as raised:
        Separator(models, weights=weights)
    assert "\n" not in str(raised.value)


def test_weights_of_a_command_line(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    table = {"a": {"bass": 0.25}, "b=c": 2.0}
    path.write_text(json.dumps(table))
    assert read_weights([str(path)]) == table
    assert read_weights(["a=0.5", "runs/b=c=2"]) == {"a": 0.5, "runs/b=c": 2}
    for words in (["a"], ["a=b"], ["=1"], ["a=1", str(path)]):
        with pytest.raises(UsageError, match="weights: "):
            read_weights(words)
    for content in ("{", "[1]", '{"a": "b"}'):
        path.write_text(content)
        with pytest.raises(XumxError, match=r"w\.json"):
            read_weights([str(path)])
