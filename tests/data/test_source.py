from __future__ import annotations

import logging
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.data.conftest import SOURCES, CodedTracks, where
from xumx.base.errors import AudioError, UsageError
from xumx.data.augment import augmentations
from xumx.data.musdb import musdb_tracks
from xumx.data.recording import Recording
from xumx.data.source import Sample, SampleStream, batches
from xumx.data.track import Track

NAMES = [*SOURCES]


def same(first: Sample, second: Sample) -> bool:
    return np.array_equal(first.mixture, second.mixture) and np.array_equal(first.targets, second.targets)


def broken(track: Track, source: str) -> Track:
    missing = Recording(Path(f"/nowhere/{track.name}.npy"), 0, track.samples, 2, 44100)
    return Track(track.name, {**track.recordings, source: missing})


@pytest.mark.parametrize("seed", range(3))
def test_a_sample_is_made_of_true_excerpts(coded_tracks: CodedTracks, seed: int) -> None:
    tracks = coded_tracks([500, 300, 9000])
    stream = SampleStream(tracks, SOURCES, 200, samples_per_track=5, seed=seed)
    for position in range(stream.size):
        sample = stream.sample(0, position)
        assert sample.mixture.shape == (200, 2) and sample.targets.shape == (4, 200, 2)
        assert sample.mixture.dtype == sample.targets.dtype == np.float32
        assert np.array_equal(sample.mixture, sample.targets[0] + sample.targets[1:].sum(axis=0))
        for index, target in enumerate(sample.targets):
            source, track, start = where(target)
            assert source == index
            expected = tracks[track].read(SOURCES[source], start, 200, 2)
            assert np.array_equal(target, expected), (position, source, track, start)


def test_each_epoch_gives_each_source_each_track_equally_often(coded_tracks: CodedTracks) -> None:
    stream = SampleStream(coded_tracks([400] * 5), SOURCES, 10, samples_per_track=7)
    orders = []
    for epoch in range(2):
        drawn = np.array([[where(t)[1] for t in stream.sample(epoch, i).targets] for i in range(stream.size)])
        for column in drawn.T:
            assert np.bincount(column).tolist() == [7] * 5
            orders.append(tuple(column))
    assert len(set(orders)) == 8, "sources or epochs share an order of tracks"


def test_positions_reach_both_ends_of_a_track(coded_tracks: CodedTracks) -> None:
    stream = SampleStream(coded_tracks([14]), SOURCES, 10, samples_per_track=100)
    starts = {where(t)[2] for i in range(100) for t in stream.sample(0, i).targets}
    assert starts == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_an_epoch(coded_tracks: CodedTracks, world: int) -> None:
    tracks = coded_tracks([5000] * 3)
    alone = SampleStream(tracks, SOURCES, 50, samples_per_track=8)
    ranks = [
        SampleStream(tracks, SOURCES, 50, samples_per_track=8, rank=r, world=world) for r in range(world)
    ]
    drawn = [rank.sample(3, position) for position in range(24 // world) for rank in ranks]
    assert all(same(one, alone.sample(3, index)) for index, one in enumerate(drawn))
    assert len({one.targets.tobytes() for one in drawn}) == 24
    # A step of all ranks is the step of one process with the batch of all.
    together = next(batches(alone, 4 * world))
    apart = [next(batches(rank, 4)).mixture for rank in ranks]
    assert np.array_equal(np.stack(apart, axis=1).reshape(together.mixture.shape), together.mixture)


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("place", [(0, 0), (1, 2)])
def test_the_stream_does_not_depend_on_workers_and_resumes_anywhere(
    coded_tracks: CodedTracks, workers: int, place: tuple[int, int]
) -> None:
    tracks = coded_tracks([700, 800, 900])
    chosen = augmentations(["gain", "channelswap"])
    stream = SampleStream(tracks, SOURCES, 90, samples_per_track=5, augmentations=chosen)
    assert stream.steps(4) == 3
    reference = SampleStream(tracks, SOURCES, 90, samples_per_track=5, augmentations=chosen)
    epoch, step = place
    drawn = batches(stream, 4, workers=workers, epoch=epoch, step=step)
    for _ in range(5):
        batch = next(drawn)
        assert batch.mixture.shape == (4, 90, 2) and batch.targets.shape == (4, 4, 90, 2)
        for row in range(4):
            one = reference.sample(epoch, step * 4 + row)
            assert same(Sample(batch.mixture[row], batch.targets[row]), one), (epoch, step, row)
        epoch, step = (epoch, step + 1) if step < 2 else (epoch + 1, 0)
    drawn.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("xumx-ahead")]


def test_seeds_and_epochs_and_positions_give_different_samples(coded_tracks: CodedTracks) -> None:
    tracks = coded_tracks([9000] * 4)
    streams = [SampleStream(tracks, SOURCES, 9, seed=seed) for seed in (0, 1, 42)]
    drawn = {s.sample(e, p).targets.tobytes() for s in streams for e in (0, 1) for p in (0, 1, 2)}
    assert len(drawn) == 18


def test_augmentations_act_on_each_source_before_the_mix(coded_tracks: CodedTracks) -> None:
    tracks = coded_tracks([2000] * 2)
    stream = SampleStream(tracks, SOURCES, 20, augmentations=augmentations(["gain", "channelswap"]))
    factors, swaps = [], []
    for position in range(40):
        sample = stream.sample(0, position)
        np.testing.assert_allclose(sample.mixture, sample.targets.sum(axis=0), rtol=1e-5)
        for target in sample.targets:
            swaps.append(target[0, 0] < 0)
            factors.append((abs(target[19, 0]) - abs(target[0, 0])) / 19)  # coded samples rise by one
    assert 0.2 < min(factors) < 0.4 and 1.1 < max(factors) < 1.3
    assert 50 < sum(swaps) < 110


def test_one_target_of_a_mixture_of_all(coded_tracks: CodedTracks) -> None:
    tracks = coded_tracks([2000] * 2)
    full = SampleStream(tracks, SOURCES, 20).sample(0, 5)
    one = SampleStream(tracks, SOURCES, 20, targets=["vocals"]).sample(0, 5)
    assert np.array_equal(one.mixture, full.mixture)
    assert np.array_equal(one.targets, full.targets[2:3])


def test_mono(coded_tracks: CodedTracks, wav_root: Path) -> None:
    assert not SampleStream(coded_tracks([2000]), SOURCES, 20, channels=1).sample(0, 5).mixture.any()
    tracks = musdb_tracks(wav_root, is_wav=True)
    stereo, mono = (SampleStream(tracks, SOURCES, 20, channels=n).sample(0, 5) for n in (2, 1))
    assert mono.mixture.shape == (20, 1) and mono.targets.shape == (4, 20, 1)
    np.testing.assert_allclose(mono.targets, stereo.targets.mean(axis=2, keepdims=True), atol=1e-7)


def test_given_arrays_are_filled(coded_tracks: CodedTracks) -> None:
    stream = SampleStream(coded_tracks([2000]), SOURCES, 20)
    out = Sample(np.full((20, 2), np.nan, np.float32), np.full((4, 20, 2), np.nan, np.float32))
    assert stream.sample(0, 3, out=out) is out
    assert same(out, stream.sample(0, 3))


def test_short_tracks_are_padded_and_named_once(
    coded_tracks: CodedTracks, caplog: pytest.LogCaptureFixture
) -> None:
    tracks = coded_tracks([30, 500, 60])
    stream = SampleStream(tracks, SOURCES, 100, samples_per_track=6)
    for position in range(stream.size):
        for index, target in enumerate(stream.sample(0, position).targets):
            _, track, start = where(target)
            length = min(100, tracks[track].samples)
            assert np.array_equal(target[:length], tracks[track].read(SOURCES[index], start, length, 2))
            assert not target[length:].any()
    assert [record.getMessage() for record in caplog.records] == [
        "shorter than a sample of 0.00226757 s, padded with silence: track0, track2"
    ]


def test_broken_audio_is_replaced_and_named(
    coded_tracks: CodedTracks, caplog: pytest.LogCaptureFixture
) -> None:
    good = coded_tracks([500, 500, 500])
    tracks = [good[0], broken(good[1], "vocals"), good[2]]
    stream, other = (SampleStream(tracks, SOURCES, 100, samples_per_track=6) for _ in range(2))
    assert stream.size == 18
    first = [stream.sample(0, position) for position in range(18)]
    drawn = [where(sample.targets[2])[1] for sample in first]
    assert 1 not in drawn and 0 in drawn and 2 in drawn
    assert [where(sample.targets[0])[1] for sample in first].count(1) == 6, "the other sources still use it"
    assert {record.subject for record in caplog.records} == {"track1"}
    assert all("/nowhere/track1.npy" in message for message in caplog.messages)
    backwards = [other.sample(0, position) for position in reversed(range(18))]
    assert all(map(same, first, reversed(backwards))), "depends on what was drawn before"


@pytest.mark.parametrize("workers", [0, 2])
def test_if_nothing_can_be_read_the_reader_is_told(coded_tracks: CodedTracks, workers: int) -> None:
    tracks = [broken(track, "drums") for track in coded_tracks([500, 500])]
    drawn = batches(SampleStream(tracks, SOURCES, 100), 2, workers=workers)
    with pytest.raises(AudioError, match=r"20 draws in a row .*/nowhere/track\d.npy"):
        next(drawn)


def test_silent_stems_are_fine(tmp_path: Path) -> None:
    np.save(tmp_path / "silence.npy", np.zeros((300, 2), np.int16))
    recording = Recording(tmp_path / "silence.npy", 0, 300, 2, 44100)
    sample = SampleStream([Track("quiet", dict.fromkeys(NAMES, recording))], SOURCES, 100).sample(0, 0)
    assert not sample.mixture.any() and not sample.targets.any()


def test_what_cannot_be_drawn_is_refused(coded_tracks: CodedTracks) -> None:
    tracks = coded_tracks([500, 500])
    with pytest.raises(UsageError, match="no track has the source 'vocal'; did you mean 'vocals'"):
        SampleStream(tracks, ["bass", "vocal"], 100)
    with pytest.raises(UsageError, match="no track has the source 'xyz'; they have bass, drums"):
        SampleStream(tracks, ["xyz"], 100)
    with pytest.raises(UsageError, match="target 'bass' is none of the sources drums"):
        SampleStream(tracks, ["drums"], 100, targets=["bass"])
    with pytest.raises(UsageError, match="sample length must be positive"):
        SampleStream(tracks, SOURCES, 0)
    with pytest.raises(UsageError, match="samples per track must be positive"):
        SampleStream(tracks, SOURCES, 10, samples_per_track=0)
    with pytest.raises(UsageError, match="seed"):
        SampleStream(tracks, SOURCES, 10, seed=-1)
    with pytest.raises(UsageError, match="no tracks"):
        SampleStream([], SOURCES, 10)
    with pytest.raises(IndexError):
        SampleStream(tracks, SOURCES, 10, samples_per_track=3).sample(0, 6)


def test_a_batch_larger_than_an_epoch_is_refused(coded_tracks: CodedTracks) -> None:
    tracks = coded_tracks([500, 500])
    with pytest.raises(UsageError, match="batch of 7 is more than the 6 samples"):
        batches(SampleStream(tracks, SOURCES, 100, samples_per_track=3), 7)
    with pytest.raises(UsageError, match="batch of 4 of 2 processes is more than the 6 samples"):
        batches(SampleStream(tracks, SOURCES, 100, samples_per_track=3, world=2), 4)
    with pytest.raises(UsageError, match="batch size must be positive"):
        batches(SampleStream(tracks, SOURCES, 100), 0)


def test_tracks_need_not_have_all_sources(coded_tracks: CodedTracks) -> None:
    singles = [coded_tracks([500, 600], (source,), name=source) for source in ("one", "two")]
    stream = SampleStream([*singles[0], *singles[1][:1]], ["one", "two"], 50, samples_per_track=4)
    drawn = [[where(target)[1] for target in stream.sample(0, i).targets] for i in range(12)]
    assert np.bincount([one for one, _ in drawn]).tolist() == [6, 6]
    assert {two for _, two in drawn} == {0}


def test_sources_that_belong_together_come_from_one_place(coded_tracks: CodedTracks) -> None:
    tracks = coded_tracks([500, 700, 900])
    stream = SampleStream(tracks, SOURCES, 50, together=[SOURCES], samples_per_track=7)
    places = []
    for position in range(stream.size):
        sample = stream.sample(0, position)
        found = [where(target) for target in sample.targets]
        assert [source for source, _, _ in found] == [0, 1, 2, 3]
        assert len({place[1:] for place in found}) == 1, found
        assert np.array_equal(sample.mixture, sum(sample.targets))
        places.append(found[0][1:])
    assert np.bincount([track for track, _ in places]).tolist() == [7] * 3 and len(set(places)) > 18


def test_groups_come_from_places_of_their_own(coded_tracks: CodedTracks) -> None:
    tracks = coded_tracks([5000] * 4)
    groups = [("vocals", "bass"), ("drums", "other")]
    stream = SampleStream(tracks, SOURCES, 50, together=groups, samples_per_track=5)
    apart = 0
    for position in range(stream.size):
        bass, drums, vocals, other = (where(target)[1:] for target in stream.sample(1, position).targets)
        assert bass == vocals and drums == other
        apart += bass != drums
    assert apart >= 18


def test_what_a_track_lacks_of_its_group_is_silent(coded_tracks: CodedTracks) -> None:
    both, alone = coded_tracks([400, 400])
    tracks = [both, Track("alone", {"drums": alone.recordings["drums"]})]
    stream = SampleStream(tracks, NAMES, 50, targets=["vocals", "drums"], together=[NAMES])
    for position in range(stream.size):
        out = Sample(np.full((50, 2), np.nan, np.float32), np.full((2, 50, 2), np.nan, np.float32))
        vocals, drums = stream.sample(0, position, out=out).targets
        if where(drums)[1] == 1:
            assert not vocals.any() and np.array_equal(out.mixture, drums)
        else:
            assert where(vocals)[1:] == where(drums)[1:]


def test_a_recorded_mixture_is_given_as_it_is(coded_tracks: CodedTracks) -> None:
    """Whatever the sum of the targets may be."""
    tracks = coded_tracks([400, 30, 900], ("mixture", "vocals", "noise"))
    stream = SampleStream(tracks, ["vocals"], 50, recorded=True, samples_per_track=9)
    assert stream.sources == stream.targets == ("vocals",)
    for position in range(stream.size):
        mixture, (vocals,) = stream.sample(0, position)
        assert where(mixture)[0] == 0 and where(vocals)[0] == 1 and where(mixture)[1:] == where(vocals)[1:]
        assert np.array_equal(mixture[30:], np.zeros((20, 2))) == (where(mixture)[1] == 1)
    with pytest.raises(UsageError, match="or drawn again, where the mixture is a recording"):
        SampleStream(tracks, ["vocals"], 50, recorded=True, augmentations=augmentations(["gain"]))


def test_broken_audio_of_a_group_is_replaced_whole(
    coded_tracks: CodedTracks, caplog: pytest.LogCaptureFixture
) -> None:
    good = coded_tracks([500, 500, 500])
    tracks = [good[0], broken(good[1], "vocals"), good[2]]
    stream = SampleStream(tracks, SOURCES, 100, samples_per_track=6, together=[SOURCES])
    for position in range(18):
        found = [where(target)[1:] for target in stream.sample(0, position).targets]
        assert len(set(found)) == 1 and found[0][0] != 1, found
    assert {record.subject for record in caplog.records} == {"track1"}


def test_plain_mixtures_are_of_the_same_tracks(
    coded_tracks: CodedTracks, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = augmentations(["gain"])
    stream = SampleStream(
        coded_tracks([500, 40, 700], ["one"]), ["one"], 50, augmentations=chosen, rank=1, world=2, size=8
    )
    plain = stream.plain()
    assert len(caplog.records) == 1, "short tracks are named once"
    drawn = [where(plain.sample(0, position).mixture) for position in range(8)]
    assert all(track in (0, 1, 2) for _, track, _ in drawn) and plain.sample(0, 7).targets.shape == (0, 50, 2)
    with_gain = [stream.sample(0, position) for position in range(4)]
    assert stream.targets == ("one",) and all(sample.targets.shape == (1, 50, 2) for sample in with_gain)
    for index, (_, track, start) in enumerate(drawn):
        length = 40 if track == 1 else 50
        raised = np.diff(np.abs(plain.sample(0, index).mixture[:length, 0]))
        assert np.array_equal(raised, np.ones(length - 1)), (track, start)


def test_the_size_of_an_epoch_may_be_given(coded_tracks: CodedTracks) -> None:
    stream = SampleStream(coded_tracks([500] * 3), SOURCES, 10, size=7)
    drawn = [where(stream.sample(0, i).targets[0])[1] for i in range(7)]
    assert stream.size == 7 and sorted(np.bincount(drawn)) == [2, 2, 3]
    with pytest.raises(IndexError):
        stream.sample(0, 7)
    with pytest.raises(UsageError, match="size must be positive, not 0"):
        SampleStream(coded_tracks([500]), SOURCES, 10, size=0)


@pytest.mark.parametrize("is_wav", [False, True])
def test_real_files(stems_root: Path, wav_root: Path, is_wav: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    tracks = musdb_tracks(wav_root if is_wav else stems_root, is_wav=is_wav)
    stream = SampleStream(tracks, SOURCES, 44100, samples_per_track=4)
    with_threads = next(batches(stream, 6, workers=2))
    without = next(batches(stream, 6))
    assert same(with_threads, without)
    assert all(np.abs(target).max() > 1e-3 for target in without.targets[:, 2])
    assert not caplog.records


def test_what_is_played_faster_is_read_longer(coded_tracks: CodedTracks, tmp_path: Path) -> None:
    """So that a sample is full, whatever the speed; the same for any number of workers."""
    chosen = augmentations(["repitch:p=1,max=12", "signflip", "equaliser"])
    stream = SampleStream(
        coded_tracks([9000, 8000]), SOURCES, 2000, samples_per_track=4, augmentations=chosen, level=6.0
    )
    first = next(batches(stream, 4, workers=2, epoch=1, step=1))
    for row in range(4):
        assert same(Sample(first.mixture[row], first.targets[row]), stream.sample(1, 4 + row))
    assert np.abs(first.targets[:, :, -20:]).max(axis=(2, 3)).min() > 0, "none ends early"


def test_the_level_of_a_mixture_is_that_of_its_sources(coded_tracks: CodedTracks) -> None:
    tracks = coded_tracks([2000] * 2)
    plain, changed = (SampleStream(tracks, SOURCES, 50, samples_per_track=20, level=db) for db in (0.0, 12.0))
    factors = []
    for position in range(40):
        before, after = plain.sample(0, position), changed.sample(0, position)
        factors.append(after.mixture[0, 0] / before.mixture[0, 0])
        np.testing.assert_allclose(after.targets, before.targets * factors[-1], rtol=1e-5)
        np.testing.assert_allclose(after.mixture, before.mixture * factors[-1], rtol=1e-5)
    decibels = 20 * np.log10(factors)
    assert -12 <= decibels.min() < -6 and 6 < decibels.max() <= 12
    assert same(changed.plain().sample(0, 3), plain.plain().sample(0, 3))


def test_silence_is_drawn_again(coded_tracks: CodedTracks, tmp_path: Path) -> None:
    """One track of two is nearly silent; without a track that sounds, silence is taken in the end."""
    tracks = coded_tracks([600, 600], ("drums",))
    path = tmp_path / "track1-drums.npy"
    np.save(path, np.full((600, 2), 1e-4, np.float32))
    kept, drawn = (SampleStream(tracks, ["drums"], 50, samples_per_track=8, redraw=r) for r in (False, True))
    peaks = [[np.abs(s.sample(0, p).mixture).max() for p in range(16)] for s in (kept, drawn)]
    assert sum(peak < 1e-3 for peak in peaks[0]) == 8 and min(peaks[1]) > 1e-3
    assert same(drawn.sample(0, 5), drawn.sample(0, 5))
    alone = SampleStream(tracks[1:], ["drums"], 50, redraw=True)
    assert np.abs(alone.sample(0, 0).mixture).max() < 1e-3
