"""Which files below a folder are recordings of a source, and which folders will not do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from xumx.base.errors import AudioError, UsageError
from xumx.data.folders import unpaired_tracks


def write(path: Path, samples: int = 100, channels: int = 2, rate: int = 44100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full((samples, channels), 0.5), rate)


def test_recordings_of_each_source(tmp_path):
    for name in ("drums/b.wav", "drums/deep/er/a.flac", "drums/C.WAV", "vocals/d.aiff", "strings/e.wav"):
        write(tmp_path / name, channels=1 if name == "drums/b.wav" else 2)
    (tmp_path / "drums" / "notes.txt").write_text("not audio")
    tracks = unpaired_tracks(tmp_path, ("bass", "drums", "vocals"))
    found = [(*track.sources, Path(track.name).relative_to(tmp_path).as_posix()) for track in tracks]
    assert found == [
        ("drums", "drums/C.WAV"),
        ("drums", "drums/b.wav"),
        ("drums", "drums/deep/er/a.flac"),
        ("vocals", "vocals/d.aiff"),
    ]
    np.testing.assert_allclose(tracks[1].read("drums", 10, 20, 2), np.full((20, 2), 0.5), atol=1e-4)


def test_folders_that_will_not_do(tmp_path):
    with pytest.raises(UsageError, match=r"`unpaired` .*nowhere.* bass or drums"):
        unpaired_tracks(tmp_path / "nowhere", ("bass", "drums"))
    (tmp_path / "drums").mkdir()
    (tmp_path / "drums" / "broken.wav").write_bytes(b"RIFF")
    with pytest.raises(AudioError, match=r"broken\.wav"):
        unpaired_tracks(tmp_path, ("drums",))


def test_another_rate_is_resampled(tmp_path):
    write(tmp_path / "drums" / "slow.wav", samples=22050, rate=22050)
    (track,) = unpaired_tracks(tmp_path, ("drums",))
    assert (track.samples, track.sample_rate) == (44100, 44100)
    np.testing.assert_allclose(track.read("drums", 20000, 200, 2), np.full((200, 2), 0.5), atol=1e-3)
