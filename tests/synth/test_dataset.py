"""``python -m xumx.demo dataset`` as a user meets it, where nothing but xumx is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from xumx.audio import probe, read
from xumx.demo.__main__ import main
from xumx.synth import RATE, dataset, song
from xumx.synth.dataset import STREAMS

ENV = {**os.environ, "OMP_NUM_THREADS": "1"}
FEW = ["--tracks", "2", "--valid", "0", "--test", "1", "--duration", "1.5", "--seed", "3"]


def command(out: Path, *options: str) -> list[str]:
    return ["dataset", "--out", str(out), *FEW, *options]


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def wavs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth") / "wavs"
    assert main(command(out, "--format", "wav", "--quiet")) == 0
    return out


def test_wav_files(wavs: Path) -> None:
    songs = sorted(str(path.relative_to(wavs)) for path in wavs.glob("*/*"))
    assert songs == ["test/xumx - Test 001", "train/xumx - Song 001", "train/xumx - Song 002"]
    assert not list(wavs.glob(".*"))
    lengths = set()
    for name in songs:
        assert sorted(p.name for p in (wavs / name).iterdir()) == sorted(f"{s}.wav" for s in STREAMS), name
        audio = {stream: read(wavs / name / f"{stream}.wav") for stream in STREAMS}
        assert all(rate == RATE and a.shape[1] == 2 for a, rate in audio.values()), name
        total = np.sum([a for stream, (a, _) in audio.items() if stream != "mixture"], axis=0)
        assert np.array_equal(audio["mixture"][0], total), f"{name}: not the sum"
        assert np.abs(total).max() > 0.5, name
        lengths.add(len(total))
    assert len(lengths) == 3 and min(lengths) >= 1.2 * RATE and max(lengths) <= 1.8 * RATE


def test_files_hold_the_song_of_their_seed(wavs: Path) -> None:
    """The second song to train on, of seed 3."""
    rng = np.random.default_rng((3, 0, 1))
    wanted = song(1.5 * rng.uniform(0.8, 1.2), rng)
    for stream in STREAMS:
        found, _ = read(wavs / "train" / "xumx - Song 002" / f"{stream}.wav")
        assert np.abs(found.T - wanted[stream]).max() < 4 * 2**-16, stream  # four roundings in the mixture


def test_stem_files_by_two_workers(wavs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The same songs, whoever makes them; lossy, in MUSDB18's order."""
    assert main(command(tmp_path / "stems", "--workers", "2")) == 0
    told = capfd.readouterr()
    assert told.err == "" and told.out.endswith(f"--root {tmp_path / 'stems'} ...\n"), told
    for track in ("train/xumx - Song 001", "train/xumx - Song 002", "test/xumx - Test 001"):
        path = tmp_path / "stems" / f"{track}.stem.mp4"
        streams = dataset_streams(path)
        assert len(streams) == len(STREAMS)
        for stream, found in zip(STREAMS, streams):
            wanted, _ = read(wavs / track / f"{stream}.wav")
            assert found.shape == wanted.shape, (track, stream)
            error = np.mean((found - wanted) ** 2) / np.mean(wanted**2)
            assert error < 0.01, (track, stream, error)


def dataset_streams(path: Path) -> list[np.ndarray]:
    """All audio streams of a file, (samples, channels), trimmed to the length it states."""
    import av

    streams = []
    for number in range(len(STREAMS)):
        with av.open(str(path)) as container:
            frames = [frame.to_ndarray() for frame in container.decode(audio=number) if frame.pts >= 0]
        streams.append(np.concatenate(frames, axis=1).T[: round(probe(path).duration * RATE)])
    return streams


def test_an_interrupted_run_goes_on(wavs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    made = []

    def one_only(folder: Path, audio: object) -> None:
        if made:
            raise KeyboardInterrupt
        made.append(folder)
        write(folder, audio)  # type: ignore[arg-type]

    write = dataset.write_wavs
    monkeypatch.setattr(dataset, "write_wavs", one_only)
    assert main(command(out, "--format", "wav", "--quiet")) == 130
    before = contents(out)
    assert len(before) == 1 + len(STREAMS) and not list(out.glob(".*"))
    monkeypatch.undo()
    track = out / "train" / "xumx - Song 001" / "bass.wav"
    stamp = track.stat().st_mtime_ns
    assert main(command(out, "--format", "wav", "--quiet")) == 0
    assert track.stat().st_mtime_ns == stamp, "a song was made again"
    assert contents(out) == contents(wavs)


def test_a_killed_run_leaves_whole_tracks_and_no_workers(tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--tracks", "400", "--valid", "0", "--test", "0", "--duration", "2", "--format", "wav"]
    process = subprocess.Popen(
        [sys.executable, "-m", "xumx.demo", "dataset", "--out", str(out), *options, "--workers", "2"],
        env=ENV,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not list(out.glob("train/*")) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate(timeout=60)  # the workers hold the pipe as long as they live
    songs = list(out.glob("train/*"))
    assert songs and all(len(list(path.glob("*.wav"))) == len(STREAMS) for path in songs)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["datasets"], 2, "did you mean dataset?"),
        (["dataset"], 2, "arguments are required: --out"),
        (["dataset", "--out", "{tmp}/new", "--tracks", "-1"], 2, "--tracks must be 0 or more, not -1"),
        (["dataset", "--out", "{tmp}/new", "--seed", "-1"], 2, "--seed must be 0 or more, not -1"),
        (["dataset", "--out", "{tmp}/new", "--workers", "0"], 2, "--workers must be 1 or more, not 0"),
        (["dataset", "--out", "{tmp}/new", "--duration", "0.5"], 2, "--duration must be 1 to 600 seconds"),
        (["dataset", "--out", "{tmp}/new", "--duration", "nan"], 2, "--duration must be 1 to 600 seconds"),
        (["dataset", "--out", "{tmp}/new", "--tracks", "0", "--test", "0"], 2, "leaves nothing to do"),
        (["dataset", "--out", "{tmp}/new", "--format", "flac"], 2, "invalid choice: 'flac'"),
        (["dataset", "--out", "{tmp}/full"], 2, "full holds something else"),
        (["dataset", "--out", "{tmp}/full/file"], 2, "file holds something else"),
        (["dataset", "--out", "{tmp}/full/file/below"], 1, "below: cannot be written (Not a directory)"),
        (["dataset", "--out", "{wavs}", "--tracks", "3"], 2, "holds songs of other settings"),
    ],
)
def test_wrong_usage(
    options: list[str],
    code: int,
    message: str,
    wavs: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    words = [option.format(tmp=tmp_path, wavs=wavs) for option in options]
    if "--valid" not in words and len(words) > 1:
        words += ["--valid", "0"]
    try:
        found = main(words)
    except SystemExit as exit:  # of argparse
        found = exit.code
    assert found == code, options
    told = capfd.readouterr()
    assert message in told.err and told.err.count("\n") == 1 and not told.out, told
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "full" / "file").read_text() == "mine"


def test_a_full_disk_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(folder: Path, audio: object) -> None:
        folder.mkdir()
        Path("/dev/full").write_text("no room")

    monkeypatch.setattr(dataset, "write_wavs", write)
    assert main(command(tmp_path / "out", "--format", "wav", "--quiet")) == 1
    told = capfd.readouterr().err
    assert "cannot be written (No space left on device)" in told and told.count("\n") == 1, told
    assert not list((tmp_path / "out").glob("train/*")) and not list((tmp_path / "out").glob(".*"))


def test_settings_are_kept(wavs: Path) -> None:
    settings = json.loads((wavs / dataset.SETTINGS).read_text())
    assert settings == {
        "tracks": 2, "valid": 0, "test": 1, "seed": 3, "duration": 1.5, "format": "wav",
    }  # fmt: skip
