from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.data.conftest import SOURCES, CodedTracks
from tests.data.test_source import broken
from xumx.base.errors import UsageError
from xumx.data.musdb import musdb_tracks
from xumx.data.pieces import Mixes, Pieces, cut
from xumx.data.source import SampleStream


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("samples", [1, 7, 100, 1000, None])
def test_pieces_make_up_whole_tracks(coded_tracks: CodedTracks, samples: int | None, workers: int) -> None:
    tracks = coded_tracks([100, 23, 201])
    pieces = Pieces(tracks, ["vocals", "bass"], samples, workers=workers)
    assert len(pieces) == sum(-(-track.samples // (samples or track.samples)) for track in tracks)
    for _ in range(2):
        mixtures: dict[str, list[np.ndarray]] = {}
        targets: dict[str, list[np.ndarray]] = {}
        for piece, sample in pieces:
            assert sample.mixture.shape == (piece.length, 2) and sample.targets.shape == (2, piece.length, 2)
            assert sample.mixture.dtype == sample.targets.dtype == np.float32
            mixtures.setdefault(piece.track.name, []).append(sample.mixture)
            targets.setdefault(piece.track.name, []).append(sample.targets)
        assert list(mixtures) == [track.name for track in tracks]
        for track in tracks:
            whole = {source: track.read(source, 0, track.samples, 2) for source in SOURCES}
            mixture = np.concatenate(mixtures[track.name])
            assert np.array_equal(mixture, sum(whole.values())), "no mixture was recorded: the sum"
            expected = np.stack([whole["vocals"], whole["bass"]])
            assert np.array_equal(np.concatenate(targets[track.name], axis=1), expected)


@pytest.mark.parametrize("is_wav", [False, True])
def test_the_mixture_is_the_recorded_one(stems_root: Path, wav_root: Path, is_wav: bool) -> None:
    tracks = musdb_tracks(wav_root if is_wav else stems_root, is_wav=is_wav)
    for piece, sample in Pieces(tracks, [], 50_000, channels=1):
        recorded = piece.track.recordings["mixture"].read(piece.start, piece.length)
        np.testing.assert_allclose(sample.mixture[:, 0], recorded.mean(axis=1), atol=1e-7)
        assert sample.targets.shape == (0, piece.length, 1)


def test_short_tails_are_joined(coded_tracks: CodedTracks) -> None:
    (track,) = coded_tracks([105])
    assert [piece[1:] for piece in cut(track, 50)] == [(0, 50), (50, 50), (100, 5)]
    assert [piece[1:] for piece in cut(track, 50, shortest=5)] == [(0, 50), (50, 50), (100, 5)]
    assert [piece[1:] for piece in cut(track, 50, shortest=6)] == [(0, 50), (50, 55)]
    assert [piece[1:] for piece in cut(track, 200, shortest=150)] == [(0, 105)]
    rng = np.random.default_rng(0)
    for samples, shortest in rng.integers(1, 120, (50, 2)):
        pieces = cut(track, samples, min(shortest, samples))
        assert [p.start for p in pieces] == list(np.cumsum([0, *(p.length for p in pieces[:-1])]))
        assert sum(p.length for p in pieces) == 105, (samples, shortest)
        assert all(p.length == samples for p in pieces[:-1])


@pytest.mark.parametrize("world", [2, 3, 7])
def test_ranks_share_all_pieces(coded_tracks: CodedTracks, world: int) -> None:
    tracks = coded_tracks([100, 250])
    everything = [piece[1:] for piece, _ in Pieces(tracks, SOURCES, 40)]
    ranks = [Pieces(tracks, SOURCES, 40, rank=rank, world=world) for rank in range(world)]
    shared = [[piece[1:] for piece, _ in pieces] for pieces in ranks]
    assert sorted(piece for share in shared for piece in share) == sorted(everything)
    assert max(map(len, shared)) - min(map(len, shared)) <= 1


@pytest.mark.parametrize("workers", [0, 2])
def test_broken_audio_is_left_out_and_named(
    coded_tracks: CodedTracks, caplog: pytest.LogCaptureFixture, workers: int
) -> None:
    good = coded_tracks([100, 100])
    pieces = Pieces([good[0], broken(good[1], "other")], SOURCES, 30, workers=workers)
    for _ in range(2):
        assert [piece.track.name for piece, _ in pieces] == ["track0"] * 4
    assert {record.subject for record in caplog.records} == {"track1"}
    (message,) = set(caplog.messages)
    assert "/nowhere/track1.npy" in message and "left out" in message


def test_a_missing_target_may_be_silent(coded_tracks: CodedTracks) -> None:
    (track,) = coded_tracks([90], ("drums", "other"))
    for piece, sample in Pieces([track], ["vocals", "drums"], 40, silence_missing=True):
        assert not sample.targets[0].any()
        assert np.array_equal(sample.targets[1], track.read("drums", piece.start, piece.length, 2))
        assert np.array_equal(sample.mixture, track.read("mixture", piece.start, piece.length, 2))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("world", [1, 3, 20])
def test_mixes_are_the_first_epoch_shared_by_ranks(
    coded_tracks: CodedTracks, workers: int, world: int
) -> None:
    tracks = coded_tracks([500, 600])
    alone = SampleStream(tracks, SOURCES, 30, size=11)
    found = {}
    for rank in range(world):
        mixes = Mixes(SampleStream(tracks, SOURCES, 30, size=11, rank=rank, world=world), workers=workers)
        for _ in range(2):
            drawn = list(mixes)
            assert len(drawn) == len(mixes)
        found.update({rank + world * place: one for place, one in enumerate(drawn)})
    assert sorted(found) == list(range(11))
    for index, (piece, sample) in found.items():
        assert piece[1:] == (0, 30) and np.array_equal(sample.mixture, alone.sample(0, index).mixture)


def test_what_cannot_be_cut_is_refused(coded_tracks: CodedTracks) -> None:
    with pytest.raises(UsageError, match="track0 has no source 'drum', only bass, drums"):
        Pieces(coded_tracks([10]), ["drum"])
    with pytest.raises(UsageError, match="must be positive, not 0"):
        Pieces(coded_tracks([10]), SOURCES, 0)
