"""``python -m xumx.eval`` as a user meets it, on tracks of mono noise, which are scored fast."""

import json
import os
import shutil
import signal
import subprocess
import sys

import museval
import numpy as np
import pandas as pd
import pytest
import soundfile

from tests.musdb_set import RATE, write_wavs
from tests.networks import DATA, random_weights, small_config
from xumx.data.musdb import musdb_tracks
from xumx.eval import work as session
from xumx.eval.__main__ import main
from xumx.eval.scores import read_scores
from xumx.eval.work import evaluate_all
from xumx.network.weights import save

MODEL = ["--model", str(DATA / "x-umx.h5")]
SOURCES = ("vocals", "drums", "bass", "other")
NAMES = ["A - One", "B - Two", "C - Three"]
ENV = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("musdb")
    rng = np.random.default_rng(0)
    for index, name in enumerate(NAMES):
        samples = round((2.2 + 0.1 * index) * RATE)
        noise = 0.1 * rng.standard_normal((4, 1, samples))
        audio = dict(zip(SOURCES, noise))
        audio["bass"][:, : RATE + 10] *= index != 1  # silent in the first second of the second track
        write_wavs(folder / "test" / name, {"mixture": noise.sum(axis=0), **audio})
    (folder / "train").mkdir()
    return folder


def data(root):
    return ["--root", str(root), "--is-wav"]


def wav(root, track, source):
    return soundfile.read(root / "test" / track / f"{source}.wav", always_2d=True)[0]


@pytest.fixture(scope="module")
def floor(root, tmp_path_factory):
    """A finished run of the mixture, by two processes."""
    folder = tmp_path_factory.mktemp("floor") / "mixture"
    assert main([*data(root), "--baseline", "mixture", "--evaldir", str(folder), "--cores", "2"]) == 0
    return folder


def test_scores_of_two_processes(root, floor):
    table = pd.read_csv(floor / "scores.csv")
    assert len(table) == 3 * 4 * 2 * 4 and set(table["track"]) == set(NAMES)
    for track in NAMES:
        truth = np.stack([wav(root, track, source) for source in SOURCES])
        wanted = museval.evaluate(truth, np.stack([wav(root, track, "mixture")] * 4))
        ours = read_scores(floor / "test" / f"{track}.json")
        for metric, values in enumerate(wanted):
            for source, row in zip(SOURCES, values):
                np.testing.assert_allclose(
                    ours[source][metric], row, atol=1e-4, err_msg=f"{track} {source} {metric}"
                )
    silent = table[table["score"].isna()]
    assert set(silent["track"]) == {"B - Two"} and set(silent["time"]) == {0} and len(silent) == 16
    page = (floor / "report" / "report.md").read_text()
    assert "1 of 6 frames have no score" in page
    assert "published" not in page  # that is of other tracks
    assert sorted(p.name for p in floor.iterdir()) == ["report", "scores.csv", "settings.json", "test"]


@pytest.mark.usefixtures("alone")
def test_resume(root, floor, capfd):
    command = [*data(root), "--baseline", "mixture", "--evaldir", str(floor)]
    files = {name: floor / "test" / f"{name}.json" for name in NAMES}
    before = {name: (path.stat().st_mtime_ns, path.read_text()) for name, path in files.items()}
    files[NAMES[0]].write_text('{"targets": [')
    assert main(command) == 0
    assert "A - One.json: is no score file" in capfd.readouterr().err
    after = {name: (path.stat().st_mtime_ns, path.read_text()) for name, path in files.items()}
    assert after[NAMES[0]][1] == before[NAMES[0]][1]
    assert {name: after[name] for name in NAMES[1:]} == {name: before[name] for name in NAMES[1:]}

    other = [*data(root), "--oracle", "irm", "--evaldir", str(floor)]
    assert main(other) == 2
    assert "holds other scores (estimates 'mixture', now 'irm')" in capfd.readouterr().err


@pytest.mark.usefixtures("alone")
def test_a_joint_network_is_scored(root, tmp_path, capfd):
    model = tmp_path / "joint.h5"
    save(model, random_weights(small_config(arch="joint")))
    (tmp_path / "musdb" / "test").mkdir(parents=True)
    (tmp_path / "musdb" / "test" / NAMES[0]).symlink_to(root / "test" / NAMES[0])
    command = [*data(tmp_path / "musdb"), "--model", str(model), "--evaldir", str(tmp_path / "run"), "--fast"]
    assert main([*command, "--umx-infer"]) == 2
    assert "joint.h5 is no UMX but joint" in capfd.readouterr().err
    assert main(command) == 0
    table = pd.read_csv(tmp_path / "run" / "scores.csv")
    assert len(table) == 4 * 2 * 4 and table["score"].notna().all()


@pytest.mark.usefixtures("alone")
def test_a_network_and_its_folder(root, tmp_path, capfd):
    """What is scored while separating is scored alike from the kept files, and forced anew."""
    small = tmp_path / "musdb"
    (small / "test").mkdir(parents=True)
    (small / "test" / NAMES[0]).symlink_to(root / "test" / NAMES[0])
    estimates, one, two = (tmp_path / name for name in ("estimates", "one", "two"))
    network = [*data(small), *MODEL, "--evaldir", str(one), "--residual-model", "--outdir", str(estimates)]
    assert main(network) == 0
    assert "no truth for it: residual" in capfd.readouterr().err
    kept = sorted(path.name for path in (estimates / "test" / NAMES[0]).iterdir())
    assert kept == ["bass.wav", "drums.wav", "other.wav", "residual.wav", "vocals.wav"]
    assert main([*data(small), "--estimates", str(estimates), "--evaldir", str(two), "--quiet"]) == 0
    assert capfd.readouterr() == ("", "")
    assert (one / "scores.csv").read_text() == (two / "scores.csv").read_text()
    score_file = two / "test" / f"{NAMES[0]}.json"
    written = score_file.stat().st_mtime_ns
    again = [*data(small), "--estimates", str(estimates), "--evaldir", str(two), "--quiet", "--fast"]
    assert main(again) == 2
    assert "(fast False, now True)" in capfd.readouterr().err
    assert main([*again, "--force"]) == 0
    assert score_file.stat().st_mtime_ns > written
    fast, exact = (pd.read_csv(folder / "scores.csv")["score"] for folder in (two, one))
    np.testing.assert_allclose(fast, exact, rtol=0, atol=0.05)

    capfd.readouterr()
    model = tmp_path / "x-umx.h5"
    save(model, random_weights(small_config()))
    assert main([*network, "--model", str(model)]) == 2
    told = capfd.readouterr().err
    assert "holds other scores (model '" in told and "weights '" in told

    assert main(["--compare", str(one), str(two)]) == 0
    assert "| vocals SDR |" in capfd.readouterr().out


def test_forced_scores_leave_none_of_other_settings(root, floor, tmp_path, monkeypatch):
    """An interrupted run with --force is gone on with without it, and finds no score of before."""
    scores = shutil.copytree(floor, tmp_path / "scores")
    assert len(list(scores.glob("test/*.json"))) == 3

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "evaluate_all", interrupted)
    assert main([*data(root), "--oracle", "irm", "--evaldir", str(scores), "--force"]) == 130
    assert not list(scores.glob("test/*.json"))


@pytest.mark.usefixtures("alone")
def test_tracks_that_fail_are_named_and_the_others_scored(root, tmp_path, capfd):
    estimates = tmp_path / "estimates"
    for track in NAMES:
        audio = {
            source: wav(root, track, source).T + 0.01 * wav(root, track, "mixture").T for source in SOURCES
        }
        write_wavs(estimates / "test" / track, audio)
    (estimates / "test" / NAMES[0] / "bass.wav").unlink()
    soundfile.write(estimates / "test" / NAMES[1] / "drums.wav", np.ones((RATE, 1)), RATE // 2)
    short = wav(estimates, NAMES[2], "drums")[:-100]
    soundfile.write(estimates / "test" / NAMES[2] / "drums.wav", short, RATE)
    soundfile.write(estimates / "test" / NAMES[2] / "mixture.wav", short, RATE)
    with_broken, scores = tmp_path / "musdb", tmp_path / "scores"
    (with_broken / "test" / "D - Broken").mkdir(parents=True)
    for track in NAMES:
        (with_broken / "test" / track).symlink_to(root / "test" / track)
    assert main([*data(with_broken), "--estimates", str(estimates), "--evaldir", str(scores)]) == 1
    told = capfd.readouterr().err
    assert "C - Three: the estimate of drums is 100 samples shorter" in told
    errors = [line for line in told.splitlines() if line.startswith("error: ")]
    assert len(errors) == 4 and errors[-1].startswith("error: 3 of 4 tracks failed"), "each of them once"
    for words in ("A - One: no estimate of bass", f"drums.wav: is of {RATE // 2} Hz", "D - Broken/mixture"):
        assert sum(words in line for line in errors) == 1, words
    assert set(pd.read_csv(scores / "scores.csv")["track"]) == {NAMES[2]}
    assert "Traceback" not in told


KILLED = """
import os, signal, sys
from xumx.eval import work
from xumx.eval.__main__ import main

evaluate_all = work.evaluate_all

def killed(*args, **options):
    outcomes = evaluate_all(*args, **options)
    yield next(outcomes)
    os.kill(os.getpid(), signal.SIGKILL)

work.evaluate_all = killed
main(sys.argv[1:])
"""
"""Scores tracks, and is killed when it has the first one."""


@pytest.mark.usefixtures("alone")
def test_resume_after_a_kill(root, tmp_path):
    scores = tmp_path / "scores"
    options = [*data(root), "--baseline", "mixture", "--evaldir", str(scores), "--cores", "1", "--fast"]
    ended = subprocess.run([sys.executable, "-c", KILLED, *options], capture_output=True, env=ENV)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    (done,) = scores.glob("test/*.json")
    assert done.stem == NAMES[2], "the longest first"
    assert not (scores / "scores.csv").exists()
    written = done.stat().st_mtime_ns
    assert main([*options, "--quiet"]) == 0
    assert len(list(scores.glob("test/*.json"))) == 3 and done.stat().st_mtime_ns == written
    assert len(pd.read_csv(scores / "scores.csv")) == 96


def deadly(threads):
    """An estimator whose process is killed by the second track."""

    def estimate(truth):
        if truth.name == NAMES[1]:
            os.kill(os.getpid(), signal.SIGKILL)
        return dict.fromkeys(SOURCES, truth.mixture)

    return estimate


@pytest.mark.parametrize("processes", [3])
def test_a_killed_process_costs_no_other_track(root, tmp_path, processes):
    tracks = musdb_tracks(str(root), "test", is_wav=True)
    tasks = session.tasks_of(tracks, tmp_path, "test", None, True)
    members = {source: (source,) for source in SOURCES}
    outcomes = list(evaluate_all(iter(tasks), deadly, members, processes=processes, threads=1))
    assert sorted(o.task.track.name for o in outcomes) == NAMES
    (failed,) = (outcome.error for outcome in outcomes if outcome.error)
    assert failed.startswith(f"{NAMES[1]}: its process was killed; is memory short?")
    assert sorted(session.scores_of(tasks)) == [NAMES[0], NAMES[2]]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 2, "--root: give the folder of MUSDB18"),
        (["--root", "{tmp}", "--oracle", "irm"], 2, "has no folder 'test'"),
        (["--root", "{root}", "--oracle", "irm"], 2, "with --is-wav they are read"),
        (["--root", "{root}", "--is-wav", "--subset", "train", "--oracle", "irm"], 2, "no tracks in"),
        (["--root", "{root}", "--is-wav", "--estimates", "{tmp}/none"], 2, "none/test is no folder"),
        (["--root", "{root}", "--is-wav", "--estimates", "{tmp}"], 2, "holds no estimates of the tracks"),
        (["--root", "{root}", "--oracle", "irm", "--niter", "2"], 2, "--niter does nothing with --oracle"),
        (["--root", "{root}", "--oracle", "irm", "--niter", "1"], 2, "--niter does nothing with --oracle"),
        (
            ["--root", "{root}", "--baseline", "mixture", "--model", "x-umx"],
            2,
            "--model does nothing with --baseline",
        ),
        (["--root", "{root}", "--estimates", "{tmp}", "--chunk-dur", "0"], 2, "--chunk-dur does nothing"),
        (
            ["--root", "{root}", *MODEL, "--dataset", "musdb", "--ext", "wav"],
            2,
            "--ext is for --dataset trackfolder_fix, not for musdb",
        ),
        (["--compare", "{tmp}", "{tmp}/x", "--cores", "1"], 2, "--cores does nothing with --compare"),
        (["--compare", "{tmp}", "{tmp}/x", "--evaldir", "scores"], 2, "--evaldir does nothing"),
        (
            ["--root", "{root}", "--estimates", "{tmp}", "--outdir", "x"],
            2,
            "--outdir does nothing with --estimates",
        ),
        (["--root", "{root}", "--oracle", "irm", "--cores", "0"], 2, "--cores must be 1 or more"),
        (["--root", "{root}", "--is-wav", *MODEL, "--targets", "vocals"], 2, "two stems or more"),
        (["--root", "{root}", "--is-wav", *MODEL, "--umx-infer"], 2, "is no UMX but x-umx"),
        (["--compare", "{tmp}"], 2, "two runs or more"),
        (["--compare", "{tmp}", "{tmp}", "--cores", "2"], 2, "--cores does nothing with --compare"),
        (["--compare", "{tmp}", "{tmp}"], 2, "given twice"),
        (["--compare", "{tmp}", "{tmp}/x"], 1, "holds neither scores.csv"),
    ],
)
def test_wrong_usage(options, code, message, root, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test").mkdir(exist_ok="{tmp}" in options and "irm" not in options)
    if message.startswith("has no"):
        (tmp_path / "test").rmdir()
    assert main([option.format(root=root, tmp=tmp_path) for option in options]) == code, options
    told = capfd.readouterr()
    assert message in told.err and told.err.count("\n") == 1 and not told.out, told


def test_settings_hold_what_changes_scores(root, floor):
    settings = json.loads((floor / "settings.json").read_text())
    assert settings == {
        "estimates": "mixture",
        "subset": "test",
        "split": None,
        "is_wav": True,
        "fast": False,
    }


def test_a_full_disk_is_one_line_before_any_work(root, tmp_path, capfd, monkeypatch):
    from xumx.base import files as room

    free = [0]
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda folder: usage._replace(free=free[0]))
    monkeypatch.setattr("xumx.eval.work.evaluate_all", lambda *_, **__: pytest.fail("has begun"))
    command = [*data(root), *MODEL, "--evaldir", str(tmp_path / "scores")]
    kept = ["--outdir", str(tmp_path / "kept")]
    # 3 + 3 + 3 seconds of 4 stems, and the report; three times 4 mono estimates in float32.
    for options, room_left, words in (
        ([], 500_000, f"--evaldir {tmp_path / 'scores'} needs 521.6 kB, 21.6 kB more than are free"),
        (kept, 4_000_000, f"--outdir {tmp_path / 'kept'} needs 4.9 MB, "),
    ):
        free[0] = room_left
        assert main([*command, *options]) == 1
        told = capfd.readouterr()
        assert words in told.err and told.err.count("\n") == 1 and not told.out, told.err


def test_a_disk_that_fills_up_ends_the_run_in_one_line(root, tmp_path, capfd, monkeypatch):
    """Nine lines for three tracks, each of which had to be scored to say so."""
    from xumx.base import files as room
    from xumx.eval.work import Outcome

    usage = shutil.disk_usage(tmp_path)
    free = iter([10**9, 10**9])  # as it begins, of scores and of estimates
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: usage._replace(free=next(free, 0)))
    tried = []

    def fail(tasks, *_, **__):
        for task in tasks:
            tried.append(task)
            yield Outcome(task, error=f"{task.scores}: cannot be written (No space left on device)")

    monkeypatch.setattr("xumx.eval.work.evaluate_all", fail)
    command = [*data(root), *MODEL, "--evaldir", str(tmp_path / "scores"), "--outdir", str(tmp_path / "kept")]
    assert main([*command, "--quiet"]) == 1
    told = capfd.readouterr().err
    assert len(tried) == 1 and told.startswith("error: --evaldir") and told.count("\n") == 1, told


def test_a_folder_that_cannot_be_written_is_one_line(root, tmp_path, capfd):
    (tmp_path / "file").touch()
    for option in ("--evaldir", "--outdir"):
        folders = {"--evaldir": "scores", option: "file/below"}
        where = [text for name, folder in folders.items() for text in (name, str(tmp_path / folder))]
        assert main([*data(root), *MODEL, *where]) == 1
        told = capfd.readouterr()
        assert told.err.startswith("error: ") and told.err.count("\n") == 1 and not told.out, told
        assert "file/below" in told.err
