from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.musdb_set import bands, make_musdb
from xumx.train import record
from xumx.train.record import draw_curve


@pytest.fixture(autouse=True, scope="session")
def no_curve() -> Iterator[None]:
    """The picture of the losses takes a third of the time of a small run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record, "draw_curve", lambda *_: None)
        yield


@pytest.fixture
def curve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw the picture all the same."""
    monkeypatch.setattr(record, "draw_curve", draw_curve)


@pytest.fixture(scope="session")
def wav_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_musdb(tmp_path_factory.mktemp("wav"), 3, 1.7, stems=False, valid=2, test=1)


@pytest.fixture(scope="session")
def stems_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_musdb(tmp_path_factory.mktemp("stems"), 2, 3.1, valid=1, test=1, excerpt=True)


@pytest.fixture(scope="session")
def bands_wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_musdb(tmp_path_factory.mktemp("bands"), 2, 1.2, stems=False, test=1, compose=bands)


@pytest.fixture(scope="session")
def bands_stems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_musdb(tmp_path_factory.mktemp("bands"), 2, 1.2, test=1, compose=bands)


EVERYTHING = (
    *("--accumulate", 2, "--clip-norm", 0.5, "--ema", 0.9, "--lr-schedule", "cosine", "--warmup", 0.5),
    *("--validate-sdr", "--select", "sdr", "--tensorboard", "--examples", 2, "--mixture-level", 6),
    *("--source-augmentations", "gain", "signflip", "repitch", "equaliser", "codec", "--redraw-silence"),
    *("--samples-per-track", 8, "--epochs", 2),
)
"""4 steps an epoch, of two batches each."""


@pytest.fixture(scope="session")
def everything(wav_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all that may be added to the published recipe."""
    from tests.train.runs import train  # NNabla, which not all environments have

    output = tmp_path_factory.mktemp("everything") / "run"
    train(wav_root, output, *EVERYTHING)
    return output
