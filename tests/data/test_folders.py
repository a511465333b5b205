from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.folder_sets import noise, write, write_track
from xumx.base.errors import AudioError, UsageError, XumxError
from xumx.data.folders import aligned, sourcefolder, trackfolder_fix, trackfolder_var, tracks_of
from xumx.data.source import SampleStream
from xumx.data.track import MIXTURE, Track

WAV = [".wav"]
open_tracks = partial(tracks_of, keep=(), progress=False)


def wav(*sources: str) -> dict[str, list[str]]:
    return {source: [f"{source}.wav"] for source in sources}


def files(found: dict[str, Path] | AudioError) -> dict[str, str]:
    assert not isinstance(found, AudioError), found
    return {source: path.name for source, path in found.items()}


def assert_holds(track: Track, source: str, audio: np.ndarray, most: float = 2**-15) -> None:
    found = track.read(source, 0, track.samples, len(audio))
    assert np.abs(found.T - audio[:, : track.samples]).max() <= most, source


def test_aligned(tmp_path: Path) -> None:
    names = ["noisy.wav", "clean.wav", "other.wav"]
    audio = {name: write_track(tmp_path / name, names, seed=seed) for seed, name in enumerate("ab")}
    found = aligned(tmp_path, "noisy.wav", ["clean.wav"])
    assert set(found) == {"a", "b"}
    for one in found.values():
        assert files(one) == {MIXTURE: "noisy.wav", "clean": "clean.wav"}
    for track in open_tracks(found, tmp_path):
        assert track.sources == ("clean",)
        assert_holds(track, MIXTURE, audio[track.name]["noisy.wav"])
        assert_holds(track, "clean", audio[track.name]["clean.wav"])
    assert list(files(aligned(tmp_path, "noisy.wav", ["other.wav", "clean.wav"])["a"])) == [
        MIXTURE, "other", "clean",
    ]  # fmt: skip


def test_trackfolder_fix(tmp_path: Path) -> None:
    names = ["vocals.wav", "drums.wav", "bass.wav"]
    audio = write_track(tmp_path / "song", names)
    found = trackfolder_fix(tmp_path, wav("drums", "vocals"), WAV)
    assert files(found["song"]) == {"drums": "drums.wav", "vocals": "vocals.wav"}
    (track,) = open_tracks(found, tmp_path)
    assert_holds(track, MIXTURE, audio["drums.wav"] + audio["vocals.wav"], 2**-14)


def test_a_recorded_mixture_counts_if_it_is_the_mix_of_what_is_named(tmp_path: Path) -> None:
    write_track(tmp_path / "song", ["vocals.wav", "drums.wav", "bass.wav", "mixture.wav"])
    (tmp_path / "song" / "cover.jpg").touch()
    all_of_it = trackfolder_fix(tmp_path, wav("vocals", "drums", "bass"), WAV)
    assert files(all_of_it["song"])[MIXTURE] == "mixture.wav"
    part = trackfolder_fix(tmp_path, wav("vocals", "drums"), WAV)
    assert MIXTURE not in files(part["song"])
    var = trackfolder_var(tmp_path, wav("vocals"), WAV)
    assert files(var["song"]) == {name: f"{name}.wav" for name in ("vocals", "bass", "drums", MIXTURE)}


def test_trackfolder_var(tmp_path: Path) -> None:
    """Any number of files, whatever they are called; a target may be of another format."""
    first = write_track(tmp_path / "1", ["vocals.wav", "sax.wav", "Zither 2.wav"])
    write_track(tmp_path / "2", ["vocals.wav", "gong.wav"], seed=1)
    write_track(tmp_path / "3", ["gong.wav"], seed=2)
    found = trackfolder_var(tmp_path, wav("vocals"), WAV)
    assert list(files(found["1"])) == ["vocals", "Zither 2", "sax"]
    assert list(files(found["2"])) == ["vocals", "gong"]
    assert str(found["3"]) == f"{tmp_path / '3'}: misses vocals.wav"
    one, two = open_tracks({name: found[name] for name in "12"}, tmp_path)
    assert_holds(one, MIXTURE, sum(first.values(), start=np.zeros((2, 44100), np.float32)), 2**-13)
    assert two.sources == ("vocals", "gong")
    silent = trackfolder_var(tmp_path, wav("vocals"), WAV, silence_missing=True)
    assert list(files(silent["3"])) == ["gong"]
    other = trackfolder_var(tmp_path, {"lead": ["gong.flac", "gong.wav"]}, [".mp3"], silence_missing=True)
    assert files(other["2"]) == {"lead": "gong.wav"} and isinstance(other["1"], AudioError)


def test_sourcefolder(tmp_path: Path) -> None:
    """Files of any depth, each by itself; hidden ones and those of other formats are none."""
    audio = {}
    for number, name in enumerate(("b.wav", "a.wav", "deep/er/ü.wav")):
        audio[f"bells/{name}"] = noise(0.3, number)
        write(tmp_path / "bells" / name, audio[f"bells/{name}"])
    for name in ("._a.wav", ".git/c.wav", "deep/note.txt", "d.flac"):
        (tmp_path / "bells" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "bells" / name).touch()
    found = sourcefolder(tmp_path, "bells", WAV)
    assert list(found) == ["bells/a.wav", "bells/b.wav", "bells/deep/er/ü.wav"]
    for track in open_tracks(found, tmp_path):
        assert track.sources == ("bells",)
        assert_holds(track, "bells", audio[track.name])
    with pytest.raises(UsageError, match="has no folder 'bell'"):
        sourcefolder(tmp_path, "bell", WAV)
    with pytest.raises(UsageError, match=r"bells holds no file \*\.ogg or \*\.mp3"):
        sourcefolder(tmp_path, "bells", [".ogg", ".mp3"])


def test_any_format_and_rate_in_one_track(tmp_path: Path) -> None:
    """Read at one rate and in step: a pulse is at the same place in all."""
    rates = {"a.wav": 48000, "b.flac": 22050, "c.mp3": 44100, "d.opus": 48000, "e.m4a": 32000, "f.WAV": 44100}
    for name, rate in rates.items():
        pulse = np.zeros((2 if name[0] in "abd" else 1, 2 * rate), np.float32)
        pulse[:, rate : rate + rate // 100] = 0.5 * np.hanning(rate // 100)
        write(tmp_path / "song" / name, pulse, rate)
    extensions = [".wav", ".flac", ".mp3", ".opus", ".m4a"]
    names = {source: [source + ext for ext in extensions] for source in "abcdef"}
    (track,) = open_tracks(trackfolder_fix(tmp_path, names, extensions), tmp_path)
    assert track.sample_rate == 44100 and abs(track.samples - 88200) < 50
    for source in track.sources:
        for start in (0, 20_000, 44_000):
            peak = start + int(track.read(source, start, 88_000 - start, 2).sum(axis=1).argmax())
            assert abs(peak - 44100 - 220) <= 4, (source, start, peak)
    sample = SampleStream([track], "abcdef", 44100).sample(0, 3)
    assert np.isfinite(sample.mixture).all()


def test_names_are_compared_as_they_read(tmp_path: Path) -> None:
    """However a file system spells accents and suffixes."""
    folder = tmp_path / "song"
    folder.mkdir()
    for name in ("A\u0308rger.WAV", "drums.Wav"):
        (folder / name).touch()
    found = trackfolder_fix(tmp_path, wav("Ärger", "drums"), WAV)
    assert files(found["song"]) == {"Ärger": "A\u0308rger.WAV", "drums": "drums.Wav"}
    assert list(files(trackfolder_var(tmp_path, {}, WAV)["song"])) == ["Ärger", "drums"]
    folder.rename(tmp_path / "a\u0308")
    (tmp_path / "a\u0308" / "x.wav").touch()
    assert len(sourcefolder(tmp_path, "ä", WAV)) == 3


def test_folders_that_are_no_tracks_are_told_in_a_line_each(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_track(tmp_path / "good", ["vocals.wav", "drums.wav"])
    write_track(tmp_path / "lacks", ["vocals.wav"])
    write_track(tmp_path / "twice", ["vocals.wav", "vocals.flac", "drums.wav"])
    write_track(tmp_path / "nested" / "inner", ["vocals.wav", "drums.wav"])
    write_track(tmp_path / "wide", ["vocals.wav", "drums.wav"])
    write(tmp_path / "wide" / "drums.wav", noise(0.1, channels=6))
    write_track(tmp_path / "none", ["vocals.wav"])
    write(tmp_path / "none" / "drums.wav", np.zeros((2, 0), np.float32))
    write_track(tmp_path / "text", ["vocals.wav"])
    (tmp_path / "text" / "drums.wav").write_text("no audio")
    (tmp_path / "empty").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "readme.txt").touch()
    names = {source: [f"{source}.wav", f"{source}.flac"] for source in ("vocals", "drums")}
    found = trackfolder_fix(tmp_path, names, [".wav", ".flac"])
    (track,) = open_tracks(found, tmp_path, channels=2)
    assert track.name == "good"
    expected = {
        "empty": "misses vocals.wav or vocals.flac",
        "lacks": "misses drums.wav or drums.flac",
        "nested": "misses vocals.wav or vocals.flac; folders in it are not looked into",
        "none": "holds no audio samples",
        "text": "drums.wav: is no audio file",
        "twice": "holds vocals.wav and vocals.flac; keep one of them",
        "wide": "drums.wav: has 6 channels, not 2",
    }
    assert len(caplog.messages) == len(expected)
    for message, (name, part) in zip(caplog.messages, expected.items(), strict=True):
        assert str(tmp_path / name) in message and part in message and "\n" not in message, message
        assert message.endswith("; the track is left out")
    assert len(open_tracks(found, tmp_path, channels=1)) == 2, "any number of channels has a mean"
    shutil.rmtree(tmp_path / "good")
    with pytest.raises(XumxError, match=r"none of the 7 tracks in .* can be used: empty, lacks"):
        open_tracks(trackfolder_fix(tmp_path, names, WAV), tmp_path, channels=2)


def test_folders_of_any_files_that_are_no_tracks(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_track(tmp_path / "twice", ["gong.wav", "gong.flac"])
    write_track(tmp_path / "mixture only", ["vocals.wav", "mixture.wav"])
    (tmp_path / "mixture only" / "vocals.wav").unlink()
    found = trackfolder_var(tmp_path, {}, [".wav", ".flac"])
    assert {name: str(one).rpartition(": ")[2] for name, one in found.items()} == {
        "empty": "holds no file *.wav or *.flac",
        "mixture only": "holds no file *.wav or *.flac",
        "twice": "holds two files of the name 'gong'; keep one of them",
    }
    with pytest.raises(UsageError, match="no tracks in"):
        trackfolder_var(tmp_path / "empty", {}, WAV)
