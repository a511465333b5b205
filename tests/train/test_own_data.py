"""Every kind of data set: a run from files to weights, and what is refused."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.folder_sets import noise, write, write_track, write_tracks
from tests.train.runs import NETWORK, STEPS, assert_same, best, content, load
from xumx import Separator
from xumx.base.errors import XumxError
from xumx.base.options import declared
from xumx.data.headers import NAME
from xumx.data.pieces import Mixes
from xumx.data.source import SampleStream
from xumx.data.split import SHARE
from xumx.train.__main__ import main
from xumx.train.datasets import open_dataset
from xumx.train.options import FOLDERS, TrainOptions, fields
from xumx.train.resolve import new_run, resumed
from xumx.train.statistics import compute

FIX = ["--dataset", "trackfolder_fix", "--sources", "vocals", "drums"]
FILES = ["vocals.wav", "drums.wav", "bass.wav"]


def run(root: Path, output: Path, *options: object) -> int:
    quiet = ["--quiet", "--root", str(root), "--output", str(output)]
    tiny = ["--seq-dur", "0.1", "--batch-size", "3", "--epochs", "1", "--nb-workers", "0"]
    if "sourcefolder" not in options:
        tiny += ["--samples-per-track", "2"]
    return main([*quiet, *NETWORK, *tiny, *map(str, options)])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tracks to train on, one to validate on; of one of them a source is at another rate."""
    root = write_tracks(tmp_path_factory.mktemp("own"), {"train": 3, "valid": 1}, FILES, 0.5)
    write(root / "train" / "song 1" / "drums.wav", noise(0.55, 5, 48000), 48000)
    return root


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of sources, as unlike as can be."""
    root = tmp_path_factory.mktemp("sounds")
    for part in ("train", "valid"):
        for number, seconds in enumerate((0.1, 0.7)):
            write(root / part / "speech" / "de" / f"{number}.flac", noise(seconds, number, 16000, 1), 16000)
            write(root / part / "wind" / f"{number}.mp3", noise(seconds + 0.2, 9 + number))
    write(root / "train" / "rain" / "long.flac", noise(0.9, 3))
    write(root / "valid" / "rain" / "long.flac", noise(0.9, 4))
    return root


KINDS = {
    "fix": [*FIX],
    "remixed": [*FIX, "--interferer-files", "bass.wav", "--random-track-mix"],
    "fix of a umx": "--dataset trackfolder_fix --umx-train --target-file drums.wav"
    " --interferer-files vocals.wav bass.wav",
    "var": "--dataset trackfolder_var --sources bass vocals drums",
    "var of a umx": "--dataset trackfolder_var --arch umx --target-file bass.wav --random-interferer-mix",
    "silent targets": "--dataset trackfolder_var --sources vocals song --silence-missing",
    "aligned": "--dataset aligned --input-file bass.wav --output-file drums.wav",
    "sourcefolder": "--dataset sourcefolder --sources speech wind rain --ext .flac mp3"
    " --nb-train-samples 8 --nb-valid-samples 3 --valid-dur 0.5",
    "sourcefolder of a umx": "--dataset sourcefolder --arch umx --target-dir speech --interferer-dirs rain"
    " --ext .flac --nb-train-samples 8 --nb-valid-samples 3 --valid-dur 0.5",
}
SOURCES = {
    "fix": ["vocals", "drums"],
    "remixed": ["vocals", "drums"],
    "fix of a umx": ["drums"],
    "var": ["bass", "vocals", "drums"],
    "var of a umx": ["bass"],
    "silent targets": ["vocals", "song"],
    "aligned": ["drums"],
    "sourcefolder": ["speech", "wind", "rain"],
    "sourcefolder of a umx": ["speech"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_each_kind(
    kind: str, root: Path, sounds: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Trains, and its weights separate."""
    options = KINDS[kind] if isinstance(KINDS[kind], list) else str(KINDS[kind]).split()
    data = sounds if "sourcefolder" in options else root
    if kind == "silent targets":
        data = Path(shutil.copytree(root, tmp_path / "data"))
        shutil.copyfile(data / "train/song 0/bass.wav", data / "train/song 0/song.wav")
    assert run(data, tmp_path / "run", *options) == 0
    told = capfd.readouterr()
    assert not told.out and all("padded with silence" in line for line in told.err.splitlines()), told.err
    config = best(tmp_path / "run").config
    assert list(config.sources) == SOURCES[kind]
    audio = noise(0.5).T.copy()
    stems = Separator(str(tmp_path / "run" / "best.h5"))(audio, 44100)
    assert set(stems) >= set(SOURCES[kind]) and all(stem.shape == audio.shape for stem in stems.values())


@pytest.mark.parametrize("kind", ["remixed", "sourcefolder"])
def test_a_run_goes_on_from_a_moved_folder(kind: str, root: Path, sounds: Path, tmp_path: Path) -> None:
    """Bit for bit; and its options may be given again."""
    options = KINDS[kind] if isinstance(KINDS[kind], list) else str(KINDS[kind]).split()
    data = Path(shutil.copytree(sounds if kind == "sourcefolder" else root, tmp_path / "data"))
    assert run(data, tmp_path / "twice", *options, "--epochs", 2) == 0
    assert run(data, tmp_path / "run", *options) == 0
    moved = data.rename(tmp_path / "moved")
    more = ["--model", str(tmp_path / "run"), "--root", str(moved), "--epochs", "2", "--quiet"]
    assert main([*more, *options]) == 0
    assert_same(content(load(tmp_path / "run")), content(load(tmp_path / "twice")))


def opened(root: Path, *options: object) -> tuple[Any, Any]:
    chosen = new_run(TrainOptions.given(["--root", str(root), "--output", "x", *map(str, options)]))
    return chosen, open_dataset(chosen, chosen.config, output=None, progress=False)


def test_what_is_mixed(root: Path, tmp_path: Path) -> None:
    """From the options to tracks, sources, and which of them belong together."""
    _, fix = opened(root, *FIX)
    assert [track.name for track in fix.train] == ["song 0", "song 1", "song 2"] and len(fix.valid) == 1
    assert fix.sources == ("vocals", "drums") and fix.together == (("vocals", "drums"),) and not fix.recorded
    _, mixed = opened(root, *FIX, "--interferer-files", "bass.wav", "--random-track-mix")
    assert mixed.sources == ("vocals", "drums", "bass") and mixed.together is None
    _, var = opened(root, "--dataset", "trackfolder_var", "--sources", "drums")
    assert var.sources == ("drums", "bass", "vocals") and var.together == (var.sources,)
    apart = opened(root, "--dataset", "trackfolder_var", "--sources", "drums", "--random-interferer-mix")[1]
    assert apart.together == (("drums",), ("bass", "vocals"))
    pair = ["--input-file", "bass.wav", "--output-file", "drums.wav"]
    _, aligned = opened(root, "--dataset", "aligned", *pair)
    assert aligned.recorded and aligned.sources == ("drums",)
    assert all(track.sample_rate == 44100 for track in fix.train)


def test_headers_are_kept_beside_the_data(root: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(root, tmp_path / "data"))
    opened(data, *FIX)
    assert (data / NAME).exists()


def test_statistics_of_unaligned_sources_are_of_mixes(sounds: Path, tmp_path: Path) -> None:
    options = (
        "--dataset sourcefolder --sources speech rain --ext .flac --nb-train-samples 9 --seq-dur 0.1"
        " --nb-valid-samples 1 --valid-dur 0.1"
    )
    assert run(sounds, tmp_path / "run", *options.split()) == 0
    run_of = load(tmp_path / "run")
    data = opened(sounds, *options.split())[1]
    stream = SampleStream(data.train, data.sources, 4410, targets=(), size=9)
    wanted = compute(data.train, run_of.config, mixes=Mixes(stream), progress=False)
    np.testing.assert_array_equal(run_of.statistics["scale"], wanted.scale)
    np.testing.assert_array_equal(run_of.statistics["mean"], wanted.mean)


def test_short_tracks_may_be_left_out(root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = Path(shutil.copytree(root, tmp_path / "data"))
    write_track(data / "train" / "jingle", FILES, 0.1)
    assert run(data, tmp_path / "run", *FIX, "--min-chunk-duration", 0.5) == 0
    assert capfd.readouterr().err == "warning: shorter than --min-chunk-duration 0.5, left out: jingle\n"
    _, found = opened(data, *FIX, "--min-chunk-duration", 0.5)
    assert len(found.train) == 3
    assert run(data, tmp_path / "other", *FIX, "--min-chunk-duration", 9) == 1
    assert "--min-chunk-duration 9: all tracks are shorter" in capfd.readouterr().err


def test_a_warning_is_one_line(monkeypatch: pytest.MonkeyPatch, caplog: Any, capfd: Any) -> None:
    """Whatever NNabla's handler at the root of all loggers would print too."""

    def prepare(*_: object) -> None:
        logging.getLogger("xumx.base.log").warning("careful")
        raise XumxError("the end")

    monkeypatch.setattr("xumx.train.start.prepare", prepare)
    assert main(["--output", "x"]) == 1
    assert capfd.readouterr().err == "warning: careful\nerror: the end\n"
    assert not caplog.messages and logging.getLogger("xumx").propagate


def test_a_hashed_split_without_a_folder_valid(root: Path, tmp_path: Path) -> None:
    data = write_tracks(tmp_path / "data", {".": 8}, FILES, 0.3)
    _, found = opened(data, *FIX, "--valid-share", 0.4)
    names = [{track.name for track in part} for part in (found.train, found.valid)]
    assert len(names[0] | names[1]) == 8 and not names[0] & names[1]
    write_track(data / "another", FILES, 0.3)
    _, again = opened(data, *FIX, "--valid-share", 0.4)
    assert names[0] <= {track.name for track in again.train}
    assert names[1] <= {track.name for track in again.valid}
    assert run(data, tmp_path / "run", *FIX, "--valid-share", 0.4) == 0


def test_broken_tracks_are_named_and_left_out(
    root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = Path(shutil.copytree(root, tmp_path / "data"))
    (data / "train" / "song 0" / "drums.wav").write_text("no audio")
    (data / "train" / "song 1" / "drums.wav").unlink()
    assert run(data, tmp_path / "run", *FIX, "--batch-size", 2) == 0
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2 and "song 0/drums.wav: is no audio file" in lines[0]
    assert "song 1: misses drums.wav; the track is left out" in lines[1]


def test_defaults_that_follow_from_the_kind() -> None:
    plain = new_run(TrainOptions.given(["--output", "x"]))
    assert (plain.dataset, plain.nb_train_samples, plain.ext, plain.valid_share) == ("musdb", None, (), None)
    own = ["--output", "x", "--root", "y", "--dataset"]
    folder = new_run(TrainOptions.given([*own, "sourcefolder"]))
    assert (folder.nb_train_samples, folder.nb_valid_samples, folder.ext) == (1000, 100, (".wav",))
    aligned = new_run(TrainOptions.given([*own, "aligned", "--output-file", "a b.wav", "c.flac"]))
    assert (aligned.input_file, aligned.sources) == ("mixture.wav", ("a b", "c"))
    assert aligned.source_augmentations == ()
    named = new_run(TrainOptions.given([*own, "trackfolder_var", "--ext", "mp3", "_x.wav"]))
    assert named.ext == (".mp3", "_x.wav")
    text = TrainOptions.parser().format_help()
    assert f"(default: {SHARE:g})" in text and "(default: 1000)" in text


WRONG = {
    "no root": (["--dataset", "aligned", "--output-file", "a.wav"], "--root"),
    "kind": (["--root", "y", "--dataset", "musdb18"], "--dataset"),
    "stem files": (["--root", "y", *FIX, "--is-wav"], "--is-wav"),
    "share of musdb": (["--root", "y", "--valid-share", "0.1"], "--valid-share"),
    "ext of musdb": (["--root", "y", "--ext", ".mp3"], "--ext"),
    "ext of aligned": (
        ["--root", "y", "--dataset", "aligned", "--output-file", "a.wav", "--ext", ".mp3"],
        "--ext is for --dataset sourcefolder or trackfolder_var or trackfolder_fix, not for aligned",
    ),
    "input of fix": (["--root", "y", *FIX, "--input-file", "a.wav"], "--input-file"),
    "dirs of fix": (["--root", "y", *FIX, "--interferer-dirs", "a"], "--interferer-dirs"),
    "samples of fix": (["--root", "y", *FIX, "--nb-train-samples", "3"], "--nb-train-samples"),
    "silence of fix": (["--root", "y", *FIX, "--silence-missing"], "--silence-missing"),
    "interferers of var": (
        ["--root", "y", "--dataset", "trackfolder_var", "--interferer-files", "a.wav"],
        "--interferer-files",
    ),
    "track mix of var": (
        ["--root", "y", "--dataset", "trackfolder_var", "--random-track-mix"],
        "--random-track-mix",
    ),
    "samples per track of files": (
        ["--root", "y", "--dataset", "sourcefolder", "--samples-per-track", "3"],
        "--samples-per-track",
    ),
    "no output file": (["--root", "y", "--dataset", "aligned"], "--output-file"),
    "two outputs of a umx": (
        ["--root", "y", "--dataset", "aligned", "--arch", "umx", "--output-file", "a.wav", "b.wav"],
        "--output-file",
    ),
    "sources of aligned": (
        ["--root", "y", "--dataset", "aligned", "--output-file", "a.wav", "--sources", "a"],
        "--sources",
    ),
    "augmented aligned": (
        ["--root", "y", "--dataset", "aligned", "--output-file", "a.wav", "--source-augmentations", "gain"],
        "--source-augmentations",
    ),
    "target file of an x-umx": (["--root", "y", *FIX, "--target-file", "a.wav"], "--target-file"),
    "target dir of an x-umx": (
        ["--root", "y", "--dataset", "sourcefolder", "--target-dir", "a"],
        "--target-dir",
    ),
    "target twice": (
        ["--root", "y", "--dataset", "trackfolder_var", "--umx-train", "--target-file", "a", "--source", "b"],
        "--target-file",
    ),
    "ext of full names": (
        ["--root", "y", "--dataset", "trackfolder_fix", "--umx-train", "--target-file", "a", "--ext", "mp3"],
        "--ext",
    ),
    "nothing else": (["--root", "y", "--dataset", "trackfolder_fix", "--sources", "a"], "--interferer-files"),
    "no other folder": (
        ["--root", "y", "--dataset", "sourcefolder", "--arch", "umx", "--target-dir", "a"],
        "--interferer-dirs",
    ),
    "named twice": (["--root", "y", *FIX, "--interferer-files", "drums.flac"], "'drums' is named twice"),
    "mixture": (["--root", "y", "--dataset", "trackfolder_fix", "--sources", "mixture", "a"], "'mixture'"),
    "path": (["--root", "y", "--dataset", "sourcefolder", "--sources", "a/b", "c"], "'a/b'"),
    "share": (["--root", "y", *FIX, "--valid-share", "1"], "--valid-share"),
    "shortest": (["--root", "y", *FIX, "--min-chunk-duration", "-1"], "--min-chunk-duration"),
    "no samples": (
        ["--root", "y", "--dataset", "sourcefolder", "--nb-valid-samples", "0"],
        "--nb-valid-samples",
    ),
    "no such root": (["--root", "/nowhere", *FIX], "/nowhere"),
}


@pytest.mark.parametrize("argv, named", WRONG.values(), ids=WRONG)
def test_wrong_usage(
    argv: list[str], named: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["--output", "x", *argv])
    except SystemExit as ended:  # argparse's own
        code = int(ended.code or 0)
    assert code == 2
    (last,) = capsys.readouterr().err.splitlines()
    assert named in last and last.startswith("error: ")
    assert not list(tmp_path.iterdir())


def test_a_run_that_goes_on_cannot_change_its_samples(
    root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(root, tmp_path / "run", *FIX) == 0
    for change in (
        ["--dataset", "trackfolder_var"], ["--ext", ".flac"], ["--random-track-mix"],
        ["--valid-share", "0.2"], ["--min-chunk-duration", "1"],
    ):  # fmt: skip
        assert main(["--model", str(tmp_path / "run"), "--epochs", "2", *change]) == 2
        assert f"error: {change[0]}" in capfd.readouterr().err
    assert main(["--model", str(tmp_path / "run"), "--epochs", "2", "--is-wav"]) == 2
    assert "error: --is-wav" in capfd.readouterr().err


def test_a_run_from_before_there_were_kinds_goes_on() -> None:
    options = fields(new_run(TrainOptions.given(["--output", "x"])))
    own = {name for name, one in declared(TrainOptions).items() if set(one.of) & set(FOLDERS)}
    stored = {name: value for name, value in options.items() if name not in own | {"dataset"}}
    assert len(stored) == len(options) - 14
    assert fields(resumed(TrainOptions.given(["--model", "x"]), stored)) == {**options, "model": "x"}


def test_weights_of_other_sources_are_refused(
    root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(root, tmp_path / "run", *FIX) == 0
    model = ["--model", str(tmp_path / "run" / "best.h5"), "--root", str(root), "--quiet", *STEPS]
    output = ["--output", str(tmp_path / "new")]
    assert main([*model, *output, "--dataset", "trackfolder_fix", "--samples-per-track", "1"]) == 0
    wrong = ["--dataset", "aligned", "--input-file", "bass.wav", "--output-file", "drums.wav"]
    assert main([*model, "--output", "x", *wrong]) == 2
    assert "--sources" in capfd.readouterr().err


def test_data_of_a_run_is_checked_with_its_own_command(root: Path, tmp_path: Path, capfd: Any) -> None:
    """--check-data added to it; nothing is trained."""
    data = Path(shutil.copytree(root, tmp_path / "data"))
    write(data / "train" / "song 2" / "bass.wav", noise(0.1))
    assert run(data, tmp_path / "run", *FIX, "--check-data") == 0
    assert run(data, tmp_path / "run", *FIX, "--interferer-files", "bass.wav", "--check-data") == 1
    assert "bass 0.10 s" in capfd.readouterr().out and not (tmp_path / "run").exists()
