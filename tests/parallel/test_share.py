"""Songs and tracks shared out under a real mpirun."""

from __future__ import annotations

import os
import signal
import time
import wave
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.eval.test_command import SOURCES
from tests.mpi import mpirun, ranks_of, start
from tests.musdb_set import RATE, write_wavs
from tests.networks import DATA, music

MODEL = ("--model", DATA / "x-umx.h5", "--chunk-dur", 0.5)

WAITING = """
import sys, time, xumx.separation.song
from pathlib import Path
from xumx.test import main

separate = xumx.separation.song.separate_song

def patient(separator, song, stems, *args, **options):
    seconds = separate(separator, song, stems, *args, **options)
    others = [Path(sys.argv[-1]) / name for name in ("mid", "short", "last")]
    deadline = time.monotonic() + 60
    while song.stem == "long" and not all(folder.exists() for folder in others):
        assert time.monotonic() < deadline, "who separates the longest song has others left"
        time.sleep(0.01)
    return seconds

xumx.separation.song.separate_song = patient
sys.exit(main(sys.argv[1:]))
"""
"""Separates songs; whoever has the longest one waits until the others have all else."""


def songs(folder: Path) -> Path:
    """Four, one of six channels, and what is none."""
    folder.mkdir()
    for name, seconds in (("long", 1.2), ("mid", 0.9), ("short", 0.6), ("last", 0.3)):
        with wave.open(str(folder / f"{name}.wav"), "wb") as file:
            file.setparams((6 if name == "mid" else 2, 2, 44100, 0, "NONE", ""))
            samples = np.resize(music(seconds), (int(44100 * seconds), file.getnchannels()))
            file.writeframes((samples * 10000).astype("<i2").tobytes())
    (folder / "broken.wav").write_bytes(b"no song")
    return folder


def test_a_pipe_is_for_one_process():
    code, _, err = mpirun(2, "-m", "xumx.test", "--inputs", "-", *MODEL)
    assert code == 2 and err.count("cannot share a pipe") == 1, err


def test_songs_go_to_whoever_is_free(tmp_path):
    out = tmp_path / "out"
    options = ("--inputs", songs(tmp_path / "in"), *MODEL, "--report", "--outdir", out)
    code, told, err = mpirun(2, "-c", WAITING, *options)
    assert code == 1, err
    separated = [line for line in told.splitlines() if "times real time" in line]
    assert sorted(Path(line.split(":")[0]).stem for line in separated) == ["last", "long", "mid", "short"]
    assert err.count("mid.wav: 6 channels mixed down to 2") == 1, err
    assert err.count("broken.wav: ") == 1 and err.count("error: 1 of 5 failed:") == 1, err
    page = (out / "index.html").read_text()
    assert [name in page for name in ("long", "mid", "short", "last", "broken")] == [True] * 4 + [False]
    assert sorted(path.name for path in out.iterdir()) == ["index.html", "last", "long", "mid", "short"]


def test_what_all_would_say_is_said_once(tmp_path):
    code, out, err = mpirun(2, "-m", "xumx.test", "--help")
    assert code == 0 and out.count("usage: ") == 1 and err == ""
    there, missing = songs(tmp_path / "in"), tmp_path / "nothing.wav"
    for inputs, wrong, ends, named in (
        (there, ("--nitre", 1), 2, "--nitre"),
        (there, ("--niter", "-1"), 2, "niter"),
        (there, ("--targets", "flute"), 2, "flute"),
        (missing, (), 1, "nothing.wav"),
    ):
        code, out, err = mpirun(2, "-m", "xumx.test", "--inputs", inputs, *MODEL, *wrong)
        assert code == ends and err.count("error: ") == 1 and named in err and out == "", err


def tracks(root: Path) -> Path:
    rng = np.random.default_rng(0)
    for index in range(3):
        noise = 0.1 * rng.standard_normal((4, 1, round((2.2 + 0.1 * index) * RATE)))
        audio = {"mixture": noise.sum(axis=0), **dict(zip(SOURCES, noise))}
        write_wavs(root / "test" / f"Track {index}", audio)
    (root / "train").mkdir()
    return root


def test_tracks_are_shared_out(tmp_path):
    scores = tmp_path / "scores"
    command = ("-m", "xumx.eval", "--root", tracks(tmp_path / "musdb"), "--is-wav", "--evaldir", scores)
    code, out, err = mpirun(2, *command, "--baseline", "mixture")
    assert code == 0, err
    assert out.count("Median over 3 tracks") == 1, err
    assert len(pd.read_csv(scores / "scores.csv")) == 3 * 4 * 2 * 4
    assert sorted(path.name for path in scores.iterdir()) == ["report", "scores.csv", "settings.json", "test"]
    code, out, err = mpirun(2, *command, "--oracle", "irm")
    assert code == 2 and err.count("holds other scores") == 1 and err.count("error: ") == 1, err


STALLED = {
    "test": """
import sys, time, xumx.separation.song
from pathlib import Path
from xumx.test import main

def stalled(separator, song, stems, *args, **options):
    (Path(sys.argv[1]) / song.name).touch()
    time.sleep(300)

xumx.separation.song.separate_song = stalled
sys.exit(main(sys.argv[2:]))
""",
    "eval": """
import sys, time, xumx.eval.work
from pathlib import Path
from xumx.eval.__main__ import main

def stalled(tasks, *args, **options):
    for task in tasks:
        (Path(sys.argv[1]) / task.track.name).touch()
        time.sleep(300)
        yield

xumx.eval.work.evaluate_all = stalled
sys.exit(main(sys.argv[2:]))
""",
}


@pytest.mark.parametrize("killed", [0, 1])
@pytest.mark.parametrize("command", STALLED)
def test_a_killed_rank_ends_the_job(command, killed, tmp_path):
    begun = tmp_path / "begun"
    begun.mkdir()
    if command == "test":
        options = ("--inputs", songs(tmp_path / "in"), *MODEL, "--outdir", tmp_path / "out")
    else:
        options = ("--root", tracks(tmp_path / "musdb"), "--is-wav", "--baseline", "mixture")
        options += ("--evaldir", tmp_path / "scores")
    with start(2, "-c", STALLED[command], begun, *options) as job:
        while len(list(begun.iterdir())) < 2:
            assert job.poll() is None, job.communicate()[1]
            time.sleep(0.01)
        process = ranks_of(job)[killed]
        os.kill(process, signal.SIGKILL)
        _, err = job.communicate(timeout=30)
        assert job.returncode != 0
    wanted = f"error: rank {killed} of 2 on {os.uname().nodename} (process {process}) was killed by SIGKILL"
    assert err.count(wanted) == 1 and err.count("error: ") == 1, err
