"""Songs that are too quiet for a network."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

from tests.networks import random_weights, small_config
from xumx import Separator
from xumx.base.errors import UsageError
from xumx.network.weights import Weights
from xumx.separation.level import Meter, gain_for
from xumx.separation.separator import Separator as Whole
from xumx.signal.stft import stft

CHUNKS = {"chunk_dur": 0.2, "overlap": 0.25}
AUDIO = np.random.default_rng(0).normal(0, 0.1, (30_000, 2)).astype(np.float32)


@functools.cache
def trained() -> Weights:
    """A network that says that it has learnt from sounds of the level of AUDIO."""
    network = random_weights(small_config())
    config = network.config
    mean = np.abs(stft(AUDIO, config.n_fft, config.n_hop))[:, :, : config.max_bin].mean(axis=(0, 1))
    for parameters in network.parameters.values():
        parameters["input_mean"][:] = -mean
    return network


def separated(audio: np.ndarray, level: str = "auto") -> dict[str, np.ndarray]:
    return Separator(trained(), level=level, **CHUNKS)(audio)


def distance(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
    peak = max(np.abs(stem).max() for stem in expected.values())
    return max(float(np.abs(found[name] - stem).max()) for name, stem in expected.items()) / float(peak)


def test_songs_of_the_trained_level_are_left_alone() -> None:
    for gain in (0.7, 1.0, 2.0, 30.0):
        audio = AUDIO * np.float32(gain)
        assert distance(separated(audio), separated(audio, "as-is")) == 0, gain


def test_quiet_songs_are_separated_as_if_they_were_not() -> None:
    """Where it acts fully, a song has the same level for the network, and the stems have the song's."""
    loud = separated(AUDIO * np.float32(10 ** (-20 / 20)))
    for drop in (-30, -36):
        quiet = separated(AUDIO * np.float32(10 ** (drop / 20)))
        back = {name: stem * np.float32(10 ** ((-20 - drop) / 20)) for name, stem in quiet.items()}
        assert distance(back, loud) < 5e-3, drop  # the filter has thresholds of its own
    assert distance(separated(AUDIO * np.float32(0.03), "as-is"), separated(AUDIO * np.float32(0.03))) > 0.01


def test_a_stream_gives_the_same_whatever_its_blocks() -> None:
    audio = AUDIO * np.linspace(0.002, 0.1, len(AUDIO), dtype=np.float32)[:, None]
    separator = Whole(trained(), **CHUNKS)
    whole = separator(audio)
    for parts in (2, 23):
        pieces = list(separator.stream(np.array_split(audio, parts)))
        found = {name: np.concatenate([piece[name] for piece in pieces]) for name in separator.stems}
        assert distance(found, whole) == 0, parts


def test_the_meter() -> None:
    meter = Meter(trained().config, trained().level)
    assert meter.gain(np.zeros((20_000, 2), np.float32)) == 1 and meter.level == np.inf
    quiet = np.float32(0.01) * AUDIO
    once = Meter(trained().config, trained().level)
    expected = once.gain(quiet)
    assert expected == pytest.approx(10 ** (gain_for(once.level) / 20)) and once.level == pytest.approx(
        -40, abs=3
    )
    assert meter.gain(quiet) == pytest.approx(expected), "silence does not count"
    once.gain(AUDIO)
    assert -10 < once.level < 3, "what is loud does, with all that was before it"
    assert Meter(trained().config, 0.0).gain(quiet) == 1, "a network that does not tell"
    assert once.gain(np.full((20_000, 2), 1e30, np.float32)) == 1


def test_the_gain_has_no_step() -> None:
    levels = np.linspace(-60, 20, 4001)
    gains = [gain_for(level) for level in levels]
    assert np.abs(np.diff(gains)).max() < 0.07 and min(gains) == 0 and max(gains) == 40


def test_levels_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="level must be one of auto, as-is, not 'loud'"):
        Separator("demo", level="loud")
