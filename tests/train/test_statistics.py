from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.networks import small_config
from xumx.base.errors import XumxError
from xumx.data.pieces import Mixes
from xumx.data.recording import Recording
from xumx.data.source import SampleStream
from xumx.data.track import Track
from xumx.signal.stft import stft
from xumx.train import statistics
from xumx.train.statistics import compute, load_or_compute

CONFIG = small_config()


def tracks_of(folder: Path, lengths: list[int], channels: int = 2, scale: float = 1.0) -> list[Track]:
    rng = np.random.default_rng(0)
    tracks = []
    for number, length in enumerate(lengths):
        path = folder / f"{number}.npy"
        np.save(path, (scale * rng.normal(size=(length, channels)) * (1 + number)).astype(np.float32))
        tracks.append(Track(str(number), {"mixture": Recording(path, 0, length, channels, 44100)}))
    return tracks


@pytest.mark.parametrize("channels", [1, 2])
def test_equals_numpy_on_all_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int) -> None:
    monkeypatch.setattr(statistics, "_BLOCK", 7)
    config = small_config(nb_channels=channels)
    tracks = tracks_of(tmp_path, [5000, 777, 129, 7 * 64, 8 * 64 - 1], channels)
    frames = [stft(np.load(t.recordings["mixture"].path), 256, 64) for t in tracks]
    magnitude = np.abs(np.concatenate(frames)).mean(axis=1, dtype=np.float64)
    found = compute(tracks, config, workers=2, progress=False)
    np.testing.assert_allclose(found.mean, magnitude.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found.scale, magnitude.std(axis=0), rtol=1e-5)


def test_hours_are_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracks = tracks_of(tmp_path, [64 * 400, 700])
    whole = compute(tracks, CONFIG, progress=False)
    read: list[int] = []
    monkeypatch.setattr(Track, "read", spy(Track.read, read))
    monkeypatch.setattr(statistics, "_LONGEST", 64 * 100 / 44100)
    parts = compute(tracks, CONFIG, progress=False)
    assert read == [6400] * 4 + [700]
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=0.02)
    np.testing.assert_allclose(parts.scale, whole.scale, rtol=0.05)


def spy(read: Callable[..., np.ndarray], lengths: list[int]) -> Callable[..., np.ndarray]:
    def reading(self: Track, source: str, start: int, length: int, channels: int) -> np.ndarray:
        lengths.append(length)
        return read(self, source, start, length, channels)

    return reading


def test_mixes_take_the_place_of_tracks(tmp_path: Path) -> None:
    tracks = [
        Track(t.name, {t.name: r}) for t in tracks_of(tmp_path, [5000, 7000]) for r in t.recordings.values()
    ]
    mixes = Mixes(SampleStream(tracks, ["0", "1"], 3000, targets=(), size=5), workers=2)
    frames = [stft(sample.mixture, 256, 64) for _, sample in mixes]
    magnitude = np.abs(np.concatenate(frames)).mean(axis=1, dtype=np.float64)
    found = load_or_compute(tracks, CONFIG, [tmp_path], mixes=mixes, progress=False)
    np.testing.assert_allclose(found.mean, magnitude.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found.scale, magnitude.std(axis=0), rtol=1e-5)
    other = Mixes(SampleStream(tracks, ["0", "1"], 3000, targets=(), size=6))
    for changed in (None, other):
        again = load_or_compute(tracks, CONFIG, [tmp_path], mixes=changed, progress=False)
        assert not np.array_equal(again.mean, found.mean)


def test_empty_bins_have_a_floor(tmp_path: Path) -> None:
    path = tmp_path / "low.npy"
    tone = np.sin(np.arange(20000) * 2 * np.pi * 8 / 256) * np.hanning(20000) ** 2
    np.save(path, np.stack([tone, tone], axis=1).astype(np.float32))
    found = compute([Track("low", {"mixture": Recording(path, 0, 20000, 2, 44100)})], CONFIG, progress=False)
    assert found.scale.min() == pytest.approx(1e-4 * found.scale.max())
    assert found.scale.argmax() == 8


def test_silence_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(XumxError, match="silent"):
        compute(tracks_of(tmp_path, [3000], scale=0), CONFIG, progress=False)


def test_the_file_is_shared_by_those_who_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, output = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    tracks = tracks_of(tmp_path, [3000, 4000])
    first = load_or_compute(tracks, CONFIG, [data, output], progress=False)
    assert [p.suffix for p in data.iterdir()] == [".npy"] and not output.exists()

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("computed again")

    with monkeypatch.context() as patch:
        patch.setattr(statistics, "compute", fail)
        again = load_or_compute(tracks, small_config(hidden_size=16), [data, output], progress=False)
        for a, b in zip(first, again, strict=True):
            np.testing.assert_array_equal(a, b)
        for changed, others in [
            (small_config(n_hop=32), tracks),
            (small_config(nb_channels=1), tracks),
            (CONFIG, tracks[:1]),
        ]:
            with pytest.raises(AssertionError, match="again"):
                load_or_compute(others, changed, [data], progress=False)


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    """A file in place of a folder refuses everyone, root too."""
    blocked, output = tmp_path / "blocked", tmp_path / "out"
    blocked.touch()
    tracks = tracks_of(tmp_path, [3000])
    load_or_compute(tracks, CONFIG, [blocked, output], progress=False)
    assert len(list(output.iterdir())) == 1
    load_or_compute(tracks, CONFIG, [blocked], progress=False)


def test_a_broken_file_is_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracks = tracks_of(tmp_path, [3000])
    data = tmp_path / "data"
    first = load_or_compute(tracks, CONFIG, [data], progress=False)
    (path,) = data.iterdir()
    for content in (b"", b"no archive", path.read_bytes()[:100], path.read_bytes()[:-8] + 8 * b"\0"):
        path.write_bytes(content)
        with caplog.at_level(logging.WARNING):
            caplog.clear()
            again = load_or_compute(tracks, CONFIG, [data], progress=False)
        assert len(caplog.messages) == 1 and path.name in caplog.messages[0], content
        np.testing.assert_array_equal(first.mean, again.mean)
    caplog.clear()
    load_or_compute(tracks, CONFIG, [data], progress=False)
    assert not caplog.messages
