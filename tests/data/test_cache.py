from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.data.conftest import SOURCES
from xumx.base.errors import AudioError, XumxError
from xumx.base.files import ASIDE, LOCK
from xumx.data.cache import cached
from xumx.data.musdb import musdb_tracks
from xumx.data.recording import Recording, recordings
from xumx.data.source import SampleStream, batches
from xumx.data.track import Track, track_at


@pytest.fixture
def tracks(tmp_path: Path) -> list[Track]:
    """Three tracks of wav files, with their own folder each, that a test may spoil."""
    rng = np.random.default_rng(0)
    made = []
    for name in ("one", "two", "three: a/b"):
        folder = tmp_path / "data" / name[:5].strip(":")
        folder.mkdir(parents=True)
        for source in SOURCES:
            audio = rng.uniform(-1, 0.99, (500, 2))
            soundfile.write(folder / f"{source}.wav", audio, 44100, subtype="PCM_16")
        made.append(Track(name, {source: recordings(folder / f"{source}.wav")[0] for source in SOURCES}))
    return made


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def assert_same(copies: list[Track], tracks: list[Track], most: float = 0) -> None:
    assert [copy.name for copy in copies] == [track.name for track in tracks]
    for copy, track in zip(copies, tracks, strict=True):
        assert (copy.samples, copy.sample_rate) == (track.samples, track.sample_rate)
        for source in track.recordings:
            ours, theirs = (one.read(source, 3, copy.samples - 5, 2) for one in (copy, track))
            assert ours.dtype == np.float32 and np.abs(ours - theirs).max() <= most, (track.name, source)


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[Recording]:
    read: list[Recording] = []
    original = Recording.read

    def counting(self: Recording, start: int, length: int) -> np.ndarray:
        if self.path.suffix != ".npy":
            read.append(self)
        return original(self, start, length)

    monkeypatch.setattr(Recording, "read", counting)
    return read


@pytest.mark.parametrize("is_wav", [False, True])
def test_the_stream_is_that_of_the_files(
    stems_root: Path, wav_root: Path, tmp_path: Path, is_wav: bool
) -> None:
    tracks = musdb_tracks(wav_root if is_wav else stems_root, is_wav=is_wav)
    copies = cached(tracks, tmp_path / "cache", progress=False)
    assert_same(copies, tracks, most=0 if is_wav else 2**-16)
    plain, fast = (next(batches(SampleStream(these, SOURCES, 44100), 4)) for these in (tracks, copies))
    assert np.abs(plain.mixture - fast.mixture).max() <= (0 if is_wav else 2**-13)
    assert {np.load(path, mmap_mode="r").dtype for path in files(tmp_path / "cache")} <= {
        np.dtype(np.int16),
        np.dtype(np.float32),
    }


def test_nothing_clips(tmp_path: Path) -> None:
    loud = np.array([[0.5, 1.0, -1.7], [0.1, -0.2, 0.3]])
    full = np.array([[0.5, 1 - 2**-15, -1.0], [0.1, -0.2, 0.3]])
    found = {}
    for name, audio in (("loud", loud), ("full", full)):
        soundfile.write(tmp_path / f"{name}.wav", audio.T, 44100, subtype="FLOAT")
        found[name] = recordings(tmp_path / f"{name}.wav")[0]
    (copy,) = cached([Track("track", found)], tmp_path / "cache", progress=False)
    assert np.array_equal(copy.read("loud", 0, 3, 2).T, loud.astype(np.float32))
    assert np.abs(copy.read("full", 0, 3, 2).T - full).max() <= 2**-16
    kinds = {np.load(copy.recordings[name].path).dtype.name for name in found}
    assert kinds == {"float32", "int16"}


def test_the_file_is_that_of_this_format(tmp_path: Path) -> None:
    """Caches outlive versions: name, shape (samples, channels), and values of 16 bits."""
    audio = np.array([[0.5, -0.25], [0.125, 0.0], [-1.0, 0.75]])
    soundfile.write(tmp_path / "song.wav", audio, 44100, subtype="PCM_16")
    os.utime(tmp_path / "song.wav", ns=(0, 0))
    (song,) = recordings(tmp_path / "song.wav")
    (path,) = (
        recording.path
        for track in cached([Track("track", {"vocals": song})], tmp_path / "cache", progress=False)
        for recording in track.recordings.values()
    )
    assert path.name.endswith("-cc084f1b2c.npy"), path.name
    kept = np.load(path)
    assert kept.dtype == np.int16 and np.array_equal(kept, 2**15 * audio)


def test_resampled_audio_is_kept_resampled(tmp_path: Path) -> None:
    audio = np.random.default_rng(1).uniform(-0.5, 0.5, (3000, 2))
    soundfile.write(tmp_path / "a.wav", audio, 32000, subtype="PCM_16")
    track = track_at("long name " * 30, {"source " * 30: recordings(tmp_path / "a.wav")[0]}, 44100)
    (copy,) = cached([track], tmp_path / "cache", progress=False)
    (recording,) = copy.recordings.values()
    assert (recording.samples, recording.sample_rate, recording.native) == (4134, 44100, None)
    assert_same([copy], [track], most=2**-16)
    assert cached([track], tmp_path / "cache", progress=False) == [copy]


def test_a_whole_cache_is_not_built_again(
    tracks: list[Track], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = count_reads(monkeypatch)
    first = cached(tracks, tmp_path / "cache", progress=False)
    assert len(read) == 12 and len(files(tmp_path / "cache")) == 12
    assert cached(tracks, tmp_path / "cache", progress=False) == first
    assert len(read) == 12


def test_an_interrupted_build_goes_on_where_it_was(
    tracks: list[Track], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[Path] = []
    original = np.save

    def interrupt(path: Path, array: np.ndarray) -> None:
        if len(saved) == 5:
            path.write_bytes(b"half of it")
            raise KeyboardInterrupt
        saved.append(path)
        original(path, array)

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", interrupt)
        with pytest.raises(KeyboardInterrupt):
            cached(tracks, tmp_path / "cache", workers=1, progress=False)
    assert len(files(tmp_path / "cache")) == 5
    read = count_reads(monkeypatch)
    assert_same(cached(tracks, tmp_path / "cache", progress=False), tracks)
    assert len(read) == 12 + 7


@pytest.mark.parametrize("damage", ["truncated", "empty", "garbage", "another shape", "header", "archive"])
def test_a_broken_file_is_built_again(
    tracks: list[Track], tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    cached(tracks, tmp_path / "cache", progress=False)
    victim = files(tmp_path / "cache")[4]
    content = victim.read_bytes()
    if damage == "another shape":
        np.save(victim, np.zeros((499, 2), np.int16))
    else:
        damaged = {
            "truncated": content[:-1],
            "empty": b"",
            "garbage": b"garbage" * 99,
            "header": content.replace(b"(500, 2)", b"(500, 2\t"),  # which NumPy takes to a Python parser
            "archive": b"PK\x03\x04" + content[4:],
        }
        victim.write_bytes(damaged[damage])
    assert_same(cached(tracks, tmp_path / "cache", progress=False), tracks)
    assert victim.read_bytes() == content and len(files(tmp_path / "cache")) == 12
    (message,) = caplog.messages
    assert "1 of 12 files are damaged" in message and victim.name in message


def test_a_stale_file_is_built_again_and_removed(tracks: list[Track], tmp_path: Path) -> None:
    cached(tracks, tmp_path / "cache", progress=False)
    before = files(tmp_path / "cache")
    changed = tracks[1].recordings["drums"].path
    soundfile.write(changed, np.full((500, 2), 0.25), 44100, subtype="PCM_16")
    os.utime(changed, ns=(0, 12345))
    assert_same(cached(tracks, tmp_path / "cache", progress=False), tracks)
    after = files(tmp_path / "cache")
    assert len(after) == 12 and len(set(before) - set(after)) == 1


def test_a_track_that_cannot_be_decoded_is_left_out(
    tracks: list[Track], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tracks[1].recordings["vocals"].path
    path.write_bytes(path.read_bytes()[:200])
    assert_same(cached(tracks, tmp_path / "cache", progress=False), [tracks[0], tracks[2]])
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 1 and str(path) in messages[0] and "two is left out" in messages[0]
    with pytest.raises(XumxError, match="none of the 1 tracks"):
        cached([tracks[1]], tmp_path / "cache", progress=False)
    path.unlink()
    with pytest.raises(AudioError, match=r"vocals\.wav"):
        cached(tracks, tmp_path / "cache", progress=False)


def test_a_full_or_closed_disk_is_a_clear_line(
    tracks: list[Track], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(XumxError, match=r"`cache_dir` .*file: cannot be written"):
        cached(tracks, tmp_path / "file", progress=False)
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10_000))
        with pytest.raises(XumxError, match=r"needs 24.0 kB, 14.0 kB more than are free"):
            cached(tracks, tmp_path / "cache", progress=False)

    def full(path: Path, array: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        with pytest.raises(XumxError, match=r"cannot be written \(No space left on device\)"):
            cached(tracks, tmp_path / "cache", progress=False)
    assert not files(tmp_path / "cache")


def test_what_a_killed_run_left_is_removed(tracks: list[Track], tmp_path: Path) -> None:
    """`tests/base/test_files.py` has what runs leave, and that those that are alive keep it."""
    left = tmp_path / "cache" / "one" / f"{ASIDE}left"
    left.mkdir(parents=True)
    for name in (LOCK, "bass.npy"):
        (left / name).write_bytes(b"half")
    cached(tracks[:1], tmp_path / "cache", progress=False)
    assert len(files(tmp_path / "cache")) == len(list(left.parent.iterdir())) == len(SOURCES)


def test_a_bar_shows_how_far_it_is(
    tracks: list[Track], tmp_path: Path, terminal: pytest.CaptureFixture[str]
) -> None:
    cached(tracks, tmp_path / "cache", progress=True)
    assert "12/12" in terminal.readouterr().err
    cached(tracks, tmp_path / "cache", progress=True)
    assert not terminal.readouterr().err
