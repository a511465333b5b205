from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import musdb
import numpy as np
import pytest
import soundfile
import stempeg
import yaml

from xumx.base.errors import UsageError, XumxError
from xumx.data import musdb as ours
from xumx.data.musdb import configuration, musdb_tracks, preview_root
from xumx.data.track import MIXTURE

CHOICES = [("train", None), ("train", "train"), ("train", "valid"), ("test", None)]


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Path], Path]:
    def copy(root: Path) -> Path:
        return Path(shutil.copytree(root, tmp_path / "copy", copy_function=os.link))

    return copy


@pytest.mark.parametrize("is_wav", [False, True])
@pytest.mark.parametrize("subset, split", CHOICES)
def test_tracks_and_audio_are_those_of_the_musdb_package(
    stems_root: Path, wav_root: Path, is_wav: bool, subset: str, split: str | None
) -> None:
    root = wav_root if is_wav else stems_root
    tracks = musdb_tracks(root, subset, split, is_wav=is_wav)
    reference = musdb.DB(root=str(root), is_wav=is_wav, subsets=subset, split=split).tracks
    assert [track.name for track in tracks] == [track.name for track in reference] != []
    for track, theirs in zip(tracks, reference, strict=True):
        assert (track.samples, track.sample_rate) == (theirs.samples, theirs.rate)
    for track, theirs in zip(tracks[:2] if split else [], reference, strict=False):
        theirs.chunk_start, theirs.chunk_duration = 1.25, 1.5
        for source in (MIXTURE, *track.sources):
            expected = theirs.audio if source == MIXTURE else theirs.sources[source].audio
            excerpt = track.read(source, 55_125, 66_150, 2)  # those seconds in samples
            # musdb reads stems through 16 bits, which clip.
            error = np.abs(excerpt.clip(-1, 1) - expected).max()
            assert error <= (0 if is_wav else 2**-15), (track.name, source, error)


def test_the_validation_split_is_the_fixed_one() -> None:
    assert configuration()["validation_tracks"] == musdb_configuration()["validation_tracks"]
    assert len(configuration()["validation_tracks"]) == 14


def musdb_configuration() -> dict[str, list[str]]:
    return dict(yaml.safe_load(Path(musdb.__path__[0], "configs", "mus.yaml").read_text()))


def test_sources_are_in_the_right_streams() -> None:
    """By their sound: stempeg's excerpt, named as its metadata names them."""
    path = stempeg.example_stem_path()
    track = ours._track("excerpt", Path(path), False, 44100)
    assert track.sources == ("drums", "bass", "other", "vocals")
    order = ["mixture", "drums", "bass", "other", "vocals"]
    audio = stempeg.read_stems(path, dtype=np.float32)[0]
    for source, expected in zip(order, audio, strict=True):
        assert np.abs(track.read(source, 0, track.samples, 2) - expected).max() < 1e-6, source


def test_a_broken_track_is_named_and_left_out(
    stems_root: Path, copy_of: Callable[[Path], Path], caplog: pytest.LogCaptureFixture
) -> None:
    root = copy_of(stems_root)
    broken = root / "train" / "Track 0 - Take 0.stem.mp4"
    broken.unlink()
    broken.write_bytes(b"not audio at all")
    few = root / "train" / "Few.stem.mp4"
    soundfile.write(root / "few.wav", np.zeros((100, 2)), 44100)
    shutil.move(root / "few.wav", few)
    (root / "train" / "._Track 1 - Take 1.stem.mp4").write_bytes(b"what macOS leaves behind")
    names = [track.name for track in musdb_tracks(root)]
    assert names == ["ANiMAL - Rockshow", "Track 1 - Take 1"]
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2, messages
    assert str(few) in messages[0] and "1 audio streams, not the 5" in messages[0]
    assert str(broken) in messages[1] and "left out" in messages[1]


def test_wav_tracks_that_are_incomplete_are_left_out(
    wav_root: Path, copy_of: Callable[[Path], Path], caplog: pytest.LogCaptureFixture
) -> None:
    root = copy_of(wav_root)
    (root / "train" / "Track 0 - Take 0" / "bass.wav").unlink()
    (root / "train" / "Track 1 - Take 1" / "drums.wav").unlink()
    vocals = root / "train" / "ANiMAL - Rockshow" / "vocals.wav"
    vocals.unlink()
    soundfile.write(vocals, np.zeros((0, 2)), 44100)
    with pytest.raises(XumxError, match=r"none of the tracks in .* can be used: ANiMAL - Rockshow, Track 0"):
        musdb_tracks(root, is_wav=True)
    messages = [record.getMessage() for record in caplog.records]
    expected = ["vocals.wav: holds no audio samples", "bass.wav: cannot be read", "drums.wav: cannot be read"]
    assert len(messages) == 3, messages
    assert all(part in message for part, message in zip(expected, messages, strict=True)), messages


def test_recordings_at_another_rate_are_resampled(
    wav_root: Path, copy_of: Callable[[Path], Path], caplog: pytest.LogCaptureFixture
) -> None:
    root = copy_of(wav_root)
    drums = root / "train" / "Track 1 - Take 1" / "drums.wav"
    drums.unlink()
    time = np.arange(96000) / 32000
    soundfile.write(drums, np.stack([np.sin(2 * np.pi * 440 * time)] * 2, axis=1) / 2, 32000)
    track = next(track for track in musdb_tracks(root, is_wav=True) if track.name.startswith("Track 1"))
    assert track.sample_rate == 44100 and track.samples == 3 * 44100 and not caplog.records
    expected = np.sin(2 * np.pi * 440 * np.arange(50_000, 60_000) / 44100) / 2
    assert np.abs(track.read("drums", 50_000, 10_000, 2) - expected[:, None]).max() < 1e-4


def test_folders_without_tracks_are_refused(stems_root: Path, wav_root: Path, tmp_path: Path) -> None:
    def refusal(*args: object, **options: object) -> str:
        with pytest.raises(UsageError) as caught:
            musdb_tracks(*args, **options)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "has no folder 'train'" in refusal(tmp_path / "missing")
    assert "has no folder 'train'" in refusal(stems_root / "train")
    (tmp_path / "train").mkdir()
    assert "must hold .stem.mp4 files" in refusal(tmp_path)
    assert "must hold folders of wav files" in refusal(tmp_path, is_wav=True)
    assert "read without `is_wav`" in refusal(stems_root, is_wav=True)
    assert "with `is_wav`" in refusal(wav_root)
    assert "unknown subset 'valid'" in refusal(stems_root, "valid")
    assert "unknown split 'test'" in refusal(stems_root, "train", "test")
    assert "unknown split 'valid' of 'test'" in refusal(stems_root, "test", "valid")
    shutil.copy(next((stems_root / "test").iterdir()), tmp_path / "train")
    assert "none of MUSDB18's validation tracks" in refusal(tmp_path, "train", "valid")
    for path in (tmp_path / "train").iterdir():
        path.rename(path.with_name("ANiMAL - Rockshow.stem.mp4"))
    assert "only MUSDB18's validation tracks" in refusal(tmp_path, "train", "train")


def test_without_the_musdb_package_the_message_says_so(
    stems_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration.cache_clear()
    monkeypatch.setitem(sys.modules, "musdb", None)
    with pytest.raises(XumxError, match=r"package musdb.* pip install"):
        musdb_tracks(stems_root)
    with pytest.raises(XumxError, match=r"package musdb.* pip install"):
        configuration()


def test_without_the_ffmpeg_program_the_message_says_so(stems_root: Path, tmp_path: Path) -> None:
    code = "import sys; from xumx.data.musdb import musdb_tracks; musdb_tracks(sys.argv[1])"
    environment = {**os.environ, "PATH": str(tmp_path)}
    command = [sys.executable, "-c", code, str(stems_root)]
    told = subprocess.run(command, env=environment, capture_output=True, text=True).stderr
    assert "XumxError: this needs the package musdb, which needs the programs ffmpeg" in told.splitlines()[-1]


def test_tracks_are_listed_without_a_program_for_each(
    stems_root: Path, wav_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("has started a program"))
    assert len(musdb_tracks(stems_root)) == len(musdb_tracks(wav_root, is_wav=True)) == 3
    assert stempeg.Info.__module__ == "stempeg.read"


def test_what_lies_deeper_or_is_hidden_is_no_track(stems_root: Path, wav_root: Path, tmp_path: Path) -> None:
    for root, is_wav in ((stems_root, False), (wav_root, True)):
        copy = Path(shutil.copytree(root, tmp_path / root.name, copy_function=os.link))
        names = [track.name for track in musdb_tracks(copy, is_wav=is_wav)]
        for place in (".hidden", f"{names[0]}/{names[1]}", f"{names[0]}/inner") if is_wav else ("inner",):
            (copy / "train" / place).mkdir(parents=True)
            (copy / "train" / place / "Track 8 - Take 8.stem.mp4").touch()
        assert [track.name for track in musdb_tracks(copy, is_wav=is_wav)] == names


def test_preview_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(ours, "PREVIEW", tmp_path / "preview")
    monkeypatch.setattr(musdb, "urlopen", refuse)
    with pytest.raises(XumxError, match=r"that failed \(Name or service not known\); .*`root`"):
        preview_root()


def test_preview_is_downloaded_once(
    stems_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    archive = shutil.make_archive(str(tmp_path / "archive"), "zip", stems_root)
    asked = []

    def answer(request: object) -> object:
        asked.append(request)
        return urllib.request.urlopen(f"file://{archive}")

    monkeypatch.setattr(ours, "PREVIEW", tmp_path / "preview")
    monkeypatch.setattr(musdb, "urlopen", answer)
    for _ in range(2):
        assert len(musdb_tracks(preview_root())) == 3
    assert len(asked) == 1
