"""Weights of several networks, fitted to songs whose stems are known."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from tests.networks import random_weights, small_config
from xumx.audio import Writer
from xumx.base.errors import UsageError, XumxError
from xumx.eval import fit
from xumx.eval.__main__ import main
from xumx.eval.estimators import Truth
from xumx.network import weights as weights_file
from xumx.separation.separator import Separator
from xumx.signal.stft import stft


def sums(estimates: np.ndarray, truth: np.ndarray) -> fit.Sums:
    return fit.Sums((estimates @ estimates.T)[None], (estimates @ truth)[None], np.ones(1, int))


@pytest.mark.parametrize("networks", [1, 2, 3, 5])
def test_the_best_mean_there_is(networks: int) -> None:
    """No other mean is nearer to the truth, be it a corner, an edge or inside."""
    rng = np.random.default_rng(networks)
    grid = [w for w in itertools.product(np.linspace(0, 1, 6), repeat=networks) if abs(sum(w) - 1) < 1e-9]
    for _ in range(20):
        estimates, truth = rng.uniform(0, 1, (networks, 30)), rng.uniform(0, 2, 30)
        (found,) = fit.fitted(sums(estimates, truth), ["drums"])
        assert found.min() >= 0 and found.sum() == pytest.approx(1)
        error = np.sum((found @ estimates - truth) ** 2)
        assert all(error <= np.sum((np.array(w) @ estimates - truth) ** 2) + 1e-5 for w in grid)


def test_networks_that_are_alike_and_sources_that_are_silent() -> None:
    estimates = np.ones((3, 10))
    (found,) = fit.fitted(sums(estimates, np.ones(10)), ["drums"])
    assert found.sum() == pytest.approx(1)
    with pytest.raises(XumxError, match="drums sounds in none of the songs"):
        fit.fitted(fit.Sums.none(1, 2), ["drums"])


CONFIG = small_config(sources=("drums", "vocals"))


def test_songs_count_alike_whatever_their_level() -> None:
    """Truth that one of the networks gives gets all of the weight; quiet songs say so as loudly."""
    separator = Separator([random_weights(CONFIG, seed) for seed in (0, 1)])
    rng = np.random.default_rng(0)
    mixture = 0.3 * rng.standard_normal((20_000, 2)).astype(np.float32)
    sources = dict.fromkeys(CONFIG.sources, 0.5 * mixture)
    loud = fit.sums_of(separator, Truth("song", 44100, mixture, sources))
    np.testing.assert_array_equal(loud.songs, [1, 1])
    magnitudes = separator.magnitudes(mixture)
    true = np.abs(stft(sources["drums"], CONFIG.n_fft, CONFIG.n_hop))
    expected = np.einsum("fcb,fcb", magnitudes[1, 0], true) / np.sum(true**2)
    assert loud.truths[0, 1] == pytest.approx(expected, rel=1e-3)

    silent = {**sources, "vocals": np.zeros_like(mixture)}
    both = loud + fit.sums_of(separator, Truth("song", 44100, mixture, silent))
    np.testing.assert_array_equal(both.songs, [2, 1])
    with pytest.raises(UsageError, match="song has no vocals"):
        fit.sums_of(separator, Truth("song", 44100, mixture, {"drums": mixture}))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One song to fit to, and two networks."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    for source in CONFIG.sources:
        path = tmp_path / "data" / "valid" / "song" / f"{source}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        with Writer(path, 44100, 2) as song:
            song.write(0.1 * rng.standard_normal((30_000, 2)).astype(np.float32))
    for seed in (0, 1):
        weights_file.save(tmp_path / f"{seed}.h5", random_weights(CONFIG, seed))
    return tmp_path


FIT = ["--root", "data", "--dataset", "trackfolder_fix", "--sources", "drums", "vocals", "--subset", "valid"]


def test_the_command(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FIT, "--model", "0.h5", "1.h5", "--fit-weights", "w.json"]) == 0
    table = json.loads(Path("w.json").read_text())
    assert list(table) == ["0.h5", "1.h5"]
    for source in CONFIG.sources:
        assert table["0.h5"][source] + table["1.h5"][source] == pytest.approx(1, abs=1e-3)
    assert "weights of 1 tracks in w.json" in capsys.readouterr().out
    separator = Separator(["0.h5", "1.h5"], weights=table)
    np.testing.assert_allclose(separator._networks.shares[0], list(table["0.h5"].values()), atol=1e-3)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--model", "0.h5", "--fit-weights", "w.json"], "--fit-weights needs two networks"),
        (["--model", "0.h5", "1.h5", "--fit-weights", "w.json", "--niter", "1"], "--niter does nothing"),
        (["--model", "0.h5", "1.h5", "--fit-weights", "w.json", "--weights", "0.h5=1"], "--weights does"),
        (["--model", "0.h5", "--weights", "0.h5=1"], "there is one"),
    ],
)  # fmt: skip
def test_options_that_do_nothing(
    data: Path, options: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FIT, *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert named in line and not Path("w.json").exists()
