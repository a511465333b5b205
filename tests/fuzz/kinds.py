"""The kinds of files that strangers give us: valid ones to begin with, and what reads them."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests import pth
from tests.networks import music, random_weights, small_config
from xumx.audio import Writer, decode, probe
from xumx.base.errors import XumxError
from xumx.base.files import replacing
from xumx.network import weights
from xumx.separation.options import SongOptions
from xumx.synth.dataset import Settings, generate

MOST = 1 << 20
"""Samples that are decoded of one file."""

Seeds = dict[str, bytes]
"""Content by name of the file."""


class Fell(Exception):
    """What must never come out of a reader."""


@dataclass(frozen=True)
class Kind:
    """Files of one kind.

    Parameters
    ----------
    name : str
    seeds : callable
        Valid files, made in a folder; the canary is a file that no reader may open.
    read : callable
        Reads a file; errors are XumxError, or for a command line exit code 2.
    needs : sequence of str
        Packages.
    reaches : bool
        Whether such a file may name others.
    """

    name: str
    seeds: Callable[[Path, Path], Seeds]
    read: Callable[[Path], object]
    needs: Sequence[str] = ()
    reaches: bool = False

    @property
    def available(self) -> bool:
        return all(importlib.util.find_spec(package) is not None for package in self.needs)


def outcome(kind: Kind, path: Path) -> str:
    """Read a file: 'result', or 'error' for one line that says why there is none.

    Raises
    ------
    Fell
        For anything else.
    """
    said = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(said):
            warnings.simplefilter("ignore")
            kind.read(path)
    except XumxError as error:
        if len(str(error).splitlines()) != 1:
            raise Fell(f"an error of {len(str(error).splitlines())} lines: {error!r}") from None
        return "error"
    except SystemExit as error:
        if error.code not in (0, 2) or (error.code == 2 and len(said.getvalue().splitlines()) != 1):
            raise Fell(f"exit code {error.code}, and said {said.getvalue()[:500]!r}") from None
        return "error"
    except Exception as error:
        raise Fell(f"{type(error).__name__}: {error}"[:500]) from error
    return "result"


def _sounds(names: Sequence[str]) -> Callable[[Path, Path], Seeds]:
    def seeds(folder: Path, canary: Path) -> Seeds:
        found = {}
        for number, name in enumerate(names):
            rate = 48000 if name.endswith("opus") else 44100
            with Writer(folder / name, rate, 1 + number % 2) as writer:
                writer.write(music(0.25, number, rate, 1 + number % 2))
            found[name] = (folder / name).read_bytes()
        inside = canary.relative_to(canary.parents[1])
        for suffix in ("mp4", "mp3", "flac"):
            found[f"list.{suffix}"] = f"ffconcat version 1.0\nfile {inside}\n".encode()
            found[f"play.{suffix}"] = f"#EXTM3U\n#EXTINF:1,\n{inside}\n#EXT-X-ENDLIST\n".encode()
        return found

    return seeds


def _separated(path: Path) -> None:
    probe(path)
    left = MOST
    for block in decode(path, sample_rate=44100, channels=2):
        left -= len(block)
        if left < 0:
            break


def _trained(path: Path) -> None:
    from xumx.data.recording import recordings
    from xumx.data.track import track_at

    for recording in recordings(path):
        track = track_at("song", {"vocals": recording}, 44100)
        samples = track.samples
        for start in (0, samples // 2, max(samples - 4096, 0)):
            track.read("vocals", start, min(4096, samples - start), recording.channels)
        left = MOST
        for block in recording.blocks():
            left -= len(block)
            if left < 0:
                break


def _stems(folder: Path, canary: Path) -> Seeds:
    from xumx.synth.dataset import STREAMS, write_stems

    write_stems(folder / "a.stem.mp4", dict.fromkeys(STREAMS, np.ascontiguousarray(music(0.2).T)))
    return {"a.stem.mp4": (folder / "a.stem.mp4").read_bytes()}


def _musdb(path: Path) -> None:
    from xumx.data.musdb import musdb_tracks

    (path.parent / "test").mkdir(exist_ok=True)
    path.replace(path.parent / "test" / "song.stem.mp4")
    for track in musdb_tracks(path.parent, "test"):
        track.read("vocals", 0, min(track.samples, 4096), 2)


def _networks(folder: Path, canary: Path) -> Seeds:
    small = {"n_fft": 64, "n_hop": 16, "hidden_size": 4, "max_bin": 20}
    for arch, sources in (("x-umx", ("a", "b")), ("umx", ("vocals",)), ("joint", ("a", "b"))):
        weights.save(folder / f"{arch}.h5", random_weights(small_config(arch=arch, sources=sources, **small)))
    return {f"{arch}.h5": (folder / f"{arch}.h5").read_bytes() for arch in ("x-umx", "umx", "joint")}


def _checkpoint_seeds(folder: Path, canary: Path) -> Seeds:
    from xumx.graph.losses.adversarial import discriminator_shapes
    from xumx.graph.model import parameter_name
    from xumx.train import checkpoint
    from xumx.train.checkpoint import Position, State
    from xumx.train.options import TrainOptions, fields
    from xumx.train.resolve import new_run
    from xumx.train.schedule import EarlyStopping, Plateau

    found: Seeds = {}
    epoch = dict.fromkeys(
        ("training_loss", "validation_loss", "learning_rate", "seconds", "samples_per_second"), 1.0
    )
    for name, loss in (("plain", ["MSE"]), ("judged", ["L2freq", "LSGAN=0.01"])):
        argv = ["--arch", "umx", "--output", "run", "--nfft", "64", "--nhop", "16", "--hidden-size", "4"]
        options = new_run(TrainOptions.given([*argv, "--loss", *loss]))
        network = random_weights(options.config)
        arrays = {
            parameter_name(options.config, s, n): a
            for s, of in network.parameters.items()
            for n, a in of.items()
        }
        if name == "judged":
            arrays |= {
                n: np.zeros(shape, np.float32) for n, shape in discriminator_shapes(options.config).items()
            }
        solver = {
            n: {"mean": a, "var": a * a}
            for n, a in arrays.items()
            if "/bn/mean" not in n and "/bn/var" not in n
        }
        rng, bins = np.random.default_rng(0), options.config.bins
        position = Position(1, 2, {"loss": 0.5}, 1.5, [{"epoch": 0, "best_epoch": 0, **epoch}])
        state = State(position, Plateau(1e-3), EarlyStopping(3, 1.0, 0), rng, {})
        progress = state.progress(options, [rng.bit_generator.state])
        statistics = {"mean": np.ones(bins), "scale": np.ones(bins)}
        saved = checkpoint.Checkpoint(options.config, arrays, solver, 7, statistics, progress)
        checkpoint.save(folder / f"{name}.h5", saved)
        assert fields(options) == progress["options"]
        found[f"{name}.h5"] = (folder / f"{name}.h5").read_bytes()
    return found


def _resumed(path: Path) -> None:
    from xumx.train import checkpoint
    from xumx.train.checkpoint import State
    from xumx.train.options import TrainOptions
    from xumx.train.resolve import resumed

    saved = checkpoint.load(path)
    given = TrainOptions.given(["--model", str(path), "--output", "run"])
    State.resumed(saved, resumed(given, saved.progress["options"]), 0, 1)


def _scores(folder: Path, canary: Path) -> Seeds:
    from xumx.eval.scores import write_scores

    write_scores(folder / "s.json", {"vocals": np.ones((4, 2)), "other": np.full((4, 2), np.nan)})
    return {"s.json": (folder / "s.json").read_bytes()}


def _read_scores(path: Path) -> None:
    from xumx.eval.scores import read_scores
    from xumx.eval.tables import summary, table_of

    summary(table_of({"song": read_scores(path)}), "run")


_SETTINGS = {"model": "x-umx", "targets": None, "niter": 1, "aggregate": {"a": ["drums"]}, "fast": False}


def _begin(path: Path) -> None:
    from xumx.eval.work import begin

    begin(path.parent, _SETTINGS, (), force=False)


def _header_seeds(folder: Path, canary: Path) -> Seeds:
    size = len(_wav())
    states = {"a.wav": [size, 10**9, 100, 2, 44100], "sub/é.mp3": [1, 2, 3, 1, 48000]}
    return {"xumx-headers.json": json.dumps({"format": 1, "files": states}).encode()}


def _wav() -> bytes:
    """100 samples."""
    size = (400).to_bytes(4, "little")
    rate = (44100).to_bytes(4, "little") + (176400).to_bytes(4, "little")
    head = b"WAVEfmt \x10\0\0\0\1\0\2\0" + rate + b"\4\0\x10\0data"
    return b"RIFF" + (436).to_bytes(4, "little") + head + size + bytes(400)


def _read_headers(path: Path) -> None:
    from xumx.data.headers import read_headers
    from xumx.data.recording import Recording
    from xumx.data.track import track_at

    song = path.parent / "a.wav"
    song.write_bytes(_wav())
    os.utime(song, ns=(0, 10**9))
    for found in read_headers([song], path.parent, [path.parent], progress=False).values():
        if not isinstance(found, Recording):
            raise found
        track = track_at("song", {"a": found}, 22050)
        track.read("a", 0, min(track.samples, 40), found.channels)


def _study_seeds(folder: Path, canary: Path) -> Seeds:
    content = {
        "settings": {"root": "/data", "seed": 42, "sources": ["vocals"]}, "epochs": 3, "notes": ["a"],
        "configurations": [["x-umx", ["MSE", "L1time=0.5"]]], "commands": [["python", "-m", "xumx.study"]],
    }  # fmt: skip
    return {"study.json": json.dumps(content).encode()}


def _load_study(path: Path) -> None:
    from xumx.study.plan import joined, load

    for configuration in (load(path.parent) or {})["configurations"]:
        assert ".." not in configuration.path
    joined(path.parent, {"root": "/data", "seed": 42, "sources": ["vocals"]}, 3, [], [])


def _read_losses(path: Path) -> None:
    from xumx.study.work import measured_losses

    sum(value for tracks in measured_losses(path.parent).values() for value in tracks.values())


def _loss_seeds(folder: Path, canary: Path) -> Seeds:
    content = {"weights": "0123", "losses": ["MSE"], "seconds": 1.5, "values": {"MSE": {"song": 0.25}}}
    return {"losses.json": json.dumps(content).encode()}


_SONGS = Settings(1, 0, 0, 3, 2.0, "wav")


def _synth_seeds(folder: Path, canary: Path) -> Seeds:
    generate(folder / "set", _SONGS)
    return {"synth.json": (folder / "set" / "synth.json").read_bytes()}


def _openunmix(path: Path) -> None:
    from xumx.network.pytorch import openunmix

    path.with_name("vocals.pth").touch()
    openunmix.weights(path.with_name("vocals.pth"), {})


def _openunmix_seeds(folder: Path, canary: Path) -> Seeds:
    sizes = {"nfft": 64, "nhop": 16, "nb_channels": 2}
    shared = json.dumps({**sizes, "sample_rate": 44100}).encode()
    return {
        "separator.json": shared,
        "vocals.json": json.dumps({"args": {**sizes, "hidden_size": 4}}).encode(),
    }


def _aggregate(path: Path) -> None:
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    SongOptions.parse(["--inputs", "a", f"--aggregate={text}"])


def _argument_file(path: Path) -> None:
    SongOptions.parse([f"@{path}"])


def _argument_seeds(folder: Path, canary: Path) -> Seeds:
    lines = (
        "# a comment\n--inputs 'my song.mp3' b.flac\n--niter 2  # twice\n--aggregate '{\"a\": [\"drums\"]}'\n"
    )
    return {"options": lines.encode(), "endless": b"--inputs a\n@endless\n"}


def _array_seeds(folder: Path, canary: Path) -> Seeds:
    found = {}
    for kind in (np.int16, np.float32):
        file = io.BytesIO()
        np.save(file, np.zeros((2, 100), kind))
        found[f"{np.dtype(kind).name}.npy"] = file.getvalue()
    return found


def _cached(path: Path) -> None:
    from xumx.data.cache import cached
    from xumx.data.recording import recordings
    from xumx.data.track import Track

    song = path.parent / "a.wav"
    song.write_bytes(_wav())
    os.utime(song, ns=(0, 10**9))
    track = Track("song", {"a": recordings(song)[0]})
    (copy,) = cached([track], path.parent / "cache", workers=1, progress=False)
    with replacing(copy.recordings["a"].path) as aside:
        aside.write_bytes(path.read_bytes())
    (copy,) = cached([track], path.parent / "cache", workers=1, progress=False)
    assert copy.read("a", 0, 100, 2).shape == (100, 2)


def _statistics_seeds(folder: Path, canary: Path) -> Seeds:
    file = io.BytesIO()
    np.save(file, np.ones((2, 33)))
    return {"statistics.npy": file.getvalue()}


def _statistics(path: Path) -> None:
    from xumx.train.statistics import _load

    _load(path, small_config(n_fft=64, n_hop=16, max_bin=20))


def _pth_seeds(folder: Path, canary: Path) -> Seeds:
    sizes: Mapping[str, Any] = {"n_fft": 64, "n_hop": 16, "hidden_size": 4, "max_bin": 20}
    state = pth.state_of(random_weights(small_config(arch="umx", sources=("vocals",), **sizes)), "vocals")
    pth.save(folder / "zip.pth", state)
    pth.save(folder / "legacy.pth", state, zipped=False)
    return {name: (folder / name).read_bytes() for name in ("zip.pth", "legacy.pth")}


def _pth(path: Path) -> None:
    from xumx.network.pytorch import openunmix
    from xumx.network.pytorch.checkpoint import read

    openunmix.weights(path, read(path))


_CODED = ("a.mp3", "b.ogg", "c.opus", "d.m4a", "e.flac", "f.wav")

KINDS = {
    kind.name: kind
    for kind in (
        Kind("song", _sounds(_CODED), _separated),
        Kind("recording", _sounds(_CODED), _trained, ["soundfile"]),
        Kind("musdb", _stems, _musdb, ["soundfile", "musdb"]),
        Kind("weights", _networks, weights.load),
        Kind("checkpoint", _checkpoint_seeds, _resumed, ["nnabla"]),
        Kind("scores", _scores, _read_scores, ["museval", "pandas"]),
        Kind(
            "settings",
            lambda *_: {"settings.json": json.dumps(_SETTINGS).encode()},
            _begin,
            ["musdb", "soundfile"],
        ),
        Kind("headers", _header_seeds, _read_headers, ["soundfile"]),
        Kind("study", _study_seeds, _load_study, ["nnabla", "soundfile"]),
        Kind("losses", _loss_seeds, _read_losses, ["nnabla", "museval"]),
        Kind("synth", _synth_seeds, lambda path: generate(path.parent, _SONGS)),
        Kind("openunmix", _openunmix_seeds, _openunmix),
        Kind("aggregate", lambda *_: {"a": b'{"accompaniment": ["drums", "bass"]}'}, _aggregate),
        Kind("arguments", _argument_seeds, _argument_file, reaches=True),
        Kind("cache", _array_seeds, _cached, ["soundfile"]),
        Kind("statistics", _statistics_seeds, _statistics, ["nnabla"]),
        Kind("pth", _pth_seeds, _pth),
    )
}
