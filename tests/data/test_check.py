from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.folder_sets import noise, write, write_track
from tests.musdb_set import make_musdb
from xumx.data.check import Problem, Report, check
from xumx.data.folders import aligned, trackfolder_fix, tracks_of
from xumx.data.headers import NAME
from xumx.data.recording import recordings
from xumx.data.track import MIXTURE, Track, track_at
from xumx.train.__main__ import main

FILES = ["vocals.wav", "drums.wav", "mixture.wav"]
NAMES = {source: [f"{source}.wav"] for source in ("vocals", "drums")}


def examine(folder: Path, *, workers: int = 0) -> Report:
    tracks = tracks_of(trackfolder_fix(folder, NAMES, [".wav"]), folder, (), progress=False)
    return check(tracks, [], workers=workers, progress=False)


def found(report: Report) -> list[tuple[str, str]]:
    return [(problem.kind, problem.track) for problem in report.problems]


def single(path: Path, name: str | None = None) -> Track:
    return track_at(name or path.stem, {"sound": recordings(path)[0]}, 44100)


def test_good_data_is_good(tmp_path: Path) -> None:
    """Loud, of two rates, mono and stereo, of lengths that differ by a little."""
    write_track(tmp_path / "one", FILES, 2.0)
    loud = noise(2.0, 7, 22050)
    write_track(tmp_path / "two", FILES, 2.0, rate=22050)
    write(tmp_path / "two" / "vocals.wav", 0.998 * loud[:1, :-99] / np.abs(loud).max(), 22050)
    (tmp_path / "two" / "mixture.wav").unlink()
    for workers in (0, 2):
        report = examine(tmp_path, workers=workers)
        assert not report.problems
    train = report.parts["train"]
    assert (train.tracks, train.recordings, train.rates) == (2, 5, {22050: 2, 44100: 3})
    assert train.hours == pytest.approx((4 - 99 / 22050) / 3600, rel=1e-4)
    assert report.parts["valid"] == (0, 0, 0, {})


def test_each_fault_is_found(tmp_path: Path) -> None:
    for seed, name in enumerate(("clipped", "cut", "float", "mix", "nan", "short", "silent")):
        write_track(tmp_path / name, FILES[:2], 2.0, seed)
    audio = noise(2.0, 1)
    write(tmp_path / "clipped" / "drums.wav", np.clip(9 * audio, -1, 1))
    soundfile.write(tmp_path / "float" / "drums.wav", 9 * audio.T, 44100, subtype="FLOAT")
    content = (tmp_path / "cut" / "drums.wav").read_bytes()
    (tmp_path / "cut" / "drums.wav").write_bytes(content[: len(content) // 2])
    write(tmp_path / "mix" / "mixture.wav", audio)
    audio[0, 70_000] = np.nan
    soundfile.write(tmp_path / "nan" / "drums.wav", audio.T, 44100, subtype="FLOAT")
    write(tmp_path / "short" / "drums.wav", noise(1.8))
    write(tmp_path / "silent" / "drums.wav", np.full((2, 88200), 2**-14, np.float32))
    report = examine(tmp_path, workers=2)
    expected = {
        "clipped": ("clipping", "drums is cut off at full scale in "),
        "cut": ("length", "vocals 2.00 s, drums 1.00 s"),
        "mix": ("mixture", "differs from the sum of vocals, drums by "),
        "nan": ("unreadable", f"{tmp_path}/nan/drums.wav: holds NaN or infinite samples"),
        "short": ("length", "vocals 2.00 s, drums 1.80 s"),
        "silent": ("silence", "drums is silent throughout"),
    }
    assert [problem.track for problem in report.problems] == list(expected), report.problems
    for kind, track, what in report.problems:
        assert expected[track][0] == kind and what.startswith(expected[track][1]), (track, what)


@pytest.mark.parametrize("left, wrong", [(1.0, False), (0.9, False), (0.5, True)])
def test_a_mixture_is_the_sum_within_what_mastering_does(tmp_path: Path, left: float, wrong: bool) -> None:
    audio = write_track(tmp_path / "song", FILES, 2.0)
    write(tmp_path / "song" / "mixture.wav", left * audio["vocals.wav"] + audio["drums.wav"])
    assert found(examine(tmp_path)) == [("mixture", "song")] * wrong


def test_a_mixture_of_more_than_the_targets_is_as_it_should_be(tmp_path: Path) -> None:
    audio = write_track(tmp_path / "song", FILES)
    write(tmp_path / "song" / "vocals.wav", 0.5 * audio["vocals.wav"])
    tracks = tracks_of(aligned(tmp_path, "mixture.wav", ["vocals.wav"]), tmp_path, (), progress=False)
    assert not check(tracks, [], summed=False, progress=False).problems
    assert found(check(tracks, [], progress=False)) == [("mixture", "song")]


def test_a_coded_file_that_was_cut_is_unreadable(tmp_path: Path) -> None:
    for suffix in ("flac", "m4a", "mp3"):
        path = write(tmp_path / f"a.{suffix}", noise(4.0))
        content = path.read_bytes()
        whole = single(path)
        path.write_bytes(content[: len(content) // 2])
        problems = check([whole], [], progress=False).problems
        assert [problem.kind for problem in problems] == ["unreadable"], (suffix, problems)


@pytest.mark.parametrize("change", ["same", "mp3", "opus", "quieter", "rate", "mono", "padded"])
def test_what_is_on_both_sides_is_found(tmp_path: Path, change: str) -> None:
    audio = noise(4.0, 3)
    train = [single(write(tmp_path / f"{seed}.wav", noise(4.0, seed))) for seed in range(6)]
    valid = [single(write(tmp_path / "new.wav", noise(4.0, 9)))]
    suffix = change if change in ("mp3", "opus") else "wav"
    rate = 22050 if change == "rate" else 44100
    changed = {
        "quieter": 0.3 * audio,
        "rate": noise(4.0, 3)[:, ::2],
        "mono": audio.mean(axis=0, keepdims=True),
        "padded": np.pad(audio, ((0, 0), (500, 900))),
    }.get(change, audio)
    valid.append(single(write(tmp_path / f"copy.{suffix}", changed, rate)))
    (problem,) = check(train, valid, workers=2, progress=False).problems
    assert problem == Problem("duplicate", "copy", "the same audio as 3 to train on")


def test_what_is_only_alike_is_no_duplicate(tmp_path: Path) -> None:
    """The same beat at the same tempo, and steady tones."""
    time = np.arange(4 * 44100) / 44100
    tracks = []
    for number in range(4):
        hiss = np.random.default_rng(number).standard_normal((2, len(time)))
        beat = 0.1 * hiss * np.exp(-20 * (time % 0.5)) if number < 2 else 0.1 * hiss
        tracks.append(single(write(tmp_path / f"{number}.wav", beat)))
    for train, valid in ((tracks[:1], tracks[1:]), (tracks[2:3], tracks[3:])):
        assert not check(train, valid, progress=False).problems
    tone = [write(tmp_path / f"{name}.wav", np.tile(0.3 * np.sin(500 * time), (2, 1))) for name in "ab"]
    assert found(check([single(tone[0])], [single(tone[1])], progress=False)) == [("duplicate", "b")]


def test_the_sum_of_a_track_is_compared(tmp_path: Path) -> None:
    """Where no mixture was recorded; and silence is like nothing."""
    audio = write_track(tmp_path / "a", FILES[:2], 3.0)
    write(tmp_path / "b.wav", audio["vocals.wav"] + audio["drums.wav"])
    write(tmp_path / "c.wav", np.zeros((2, 3 * 44100), np.float32))
    one = tracks_of({"a": trackfolder_fix(tmp_path, NAMES, [".wav"])["a"]}, tmp_path, (), progress=False)
    silent = single(tmp_path / "c.wav")
    report = check([*one, silent], [single(tmp_path / "b.wav"), silent], progress=False)
    assert sorted(found(report)) == [("duplicate", "b"), ("silence", "c"), ("silence", "c")]


def test_stem_files_are_read_too(stems_root: Path) -> None:
    from xumx.data.musdb import musdb_tracks

    tracks = musdb_tracks(stems_root)
    assert all(MIXTURE in track.recordings for track in tracks)
    report = check(tracks, tracks[:1], workers=2, progress=False)
    kinds = {problem.kind for problem in report.problems}
    assert kinds == {"duplicate"}, report.problems


def arguments(root: Path, *more: str) -> list[str]:
    return [
        "--root",
        str(root),
        "--quiet",
        "--dataset",
        "trackfolder_fix",
        "--sources",
        "vocals",
        "drums",
        *more,
    ]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "data"
    for part, count in (("train", 2), ("valid", 1)):
        for number in range(count):
            write_track(root / part / f"{part} {number}", FILES, 2.0, 10 * count + number)
    assert main(arguments(root, "--check-data")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["tracks", "hours", "files", "rates"]
    assert lines[1].split() == ["train", "2", "0.00", "6", "44100", "Hz", "(6)"]
    assert lines[-1] == "no problems"
    (root / "train" / "train 1" / "drums.wav").unlink()
    write(root / "train" / "train 0" / "drums.wav", noise(1.0))
    table = tmp_path / "report.csv"
    assert main(arguments(root, "--check-data", str(table))) == 1
    out = capsys.readouterr()
    assert "problem   track    " in out.out and "3 found" in out.out and not out.err
    with open(table, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["kind", "track", "what"]
    assert [row[0] for row in rows[1:]] == ["left out", "length", "mixture"], rows
    assert "train 1: misses drums.wav" in rows[1][2]
    assert main(arguments(root, "--check-data", str(tmp_path))) == 1
    assert "cannot be written" in capsys.readouterr().err
    assert not (tmp_path / "vocals.wav").exists()


def test_what_is_left_out_is_told_from_headers_that_are_read_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for track, seconds in (("train/short", 1.0), ("train/song", 2.0), ("valid/song", 3.0)):
        write_track(tmp_path / track, FILES, seconds, round(seconds))
    assert main(arguments(tmp_path, "--check-data")) == 0
    (tmp_path / NAME).write_text("damaged")
    assert main(arguments(tmp_path, "--check-data")) == 0
    assert main(arguments(tmp_path, "--check-data", "--min-chunk-duration", "1.5")) == 1
    told = capsys.readouterr().out
    assert "left out         shorter than --min-chunk-duration 1.5, left out: short" in told, told


@pytest.mark.parametrize(
    "more, code, named",
    [
        (["--model", "x.h5"], 2, "--model"),
        (["--ext", ".mp3"], 1, "misses vocals.mp3"),
        (["--is-wav"], 2, "--is-wav"),
        (["--source", "x"], 2, "--source"),
    ],
)
def test_the_command_refuses_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], code: int, named: str
) -> None:
    for part in ("train", "valid"):
        write_track(tmp_path / part / "song", FILES, 0.1)
    assert main(arguments(tmp_path, "--check-data", *more)) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and named in line


def test_a_bar_shows_how_far_it_is(tmp_path: Path, terminal: pytest.CaptureFixture[str]) -> None:
    root = make_musdb(tmp_path, 2, 2.0, stems=False)
    main(["--root", str(root), "--is-wav", "--check-data"])
    assert "3/3" in terminal.readouterr().err
