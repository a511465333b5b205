from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.musdb_set import make_musdb
from xumx.data.recording import Recording
from xumx.data.track import Track

SOURCES = ("bass", "drums", "vocals", "other")

CodedTracks = Callable[..., list[Track]]


@pytest.fixture(scope="session")
def stems_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_musdb(tmp_path_factory.mktemp("stems"), 2, 3.1, valid=1, test=1, excerpt=True)


@pytest.fixture(scope="session")
def wav_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_musdb(tmp_path_factory.mktemp("wav"), 2, 3.1, stems=False, valid=1, test=1)


@pytest.fixture
def coded_tracks(tmp_path: Path) -> CodedTracks:
    """Makes tracks whose samples tell where they are from; see `where`."""

    def make(lengths: list[int], sources: tuple[str, ...] = SOURCES, name: str = "track") -> list[Track]:
        tracks = []
        for number, length in enumerate(lengths):
            recordings = {}
            for place, source in enumerate(sources):
                first = (place * 10 + number) * 10_000
                left = np.arange(first, first + length, dtype=np.float32) + 1
                path = tmp_path / f"{name}{number}-{source}.npy"
                np.save(path, np.stack([left, -left], axis=1))
                recordings[source] = Recording(path, 0, length, 2, 44100)
            tracks.append(Track(f"{name}{number}", recordings))
        return tracks

    return make


def where(audio: np.ndarray) -> tuple[int, int, int]:
    """The source, the track and the position in it from which audio (samples, channels) was taken."""
    value = abs(int(audio[0, 0])) - 1
    return value // 100_000, value // 10_000 % 10, value % 10_000
