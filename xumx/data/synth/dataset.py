"""Data sets of generated songs, in MUSDB18's layout."""

from __future__ import annotations

import json
import multiprocessing
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import numpy as np

from xumx.audio import Writer
from xumx.data.synth import MIXTURE, RATE, song
from xumx.errors import AudioError, UsageError, XumxError
from xumx.files import replacing

STREAMS = (MIXTURE, "drums", "bass", "other", "vocals")
"""The streams of a stem file, in order."""

FORMATS = ("stems", "wav")
SETTINGS = "synth.json"
"""What a folder was made with: another run goes on with the same only."""

_SUBSETS = ("train", "valid", "test")


@dataclass(frozen=True)
class Settings:
    """Which songs a data set holds.

    Parameters
    ----------
    tracks, valid, test : int
        Songs to train on, to validate on and to test with.
    seed : int
        Song i of a subset depends on it, on the subset and on i: more tracks are the same tracks and more.
    duration : float
        Mean length in seconds; songs are between 0.8 and 1.2 of it.
    format : 'stems' or 'wav'
        ``.stem.mp4`` (AAC), or folders of 16-bit wav files.
    """

    tracks: int
    valid: int
    test: int
    seed: int
    duration: float
    format: str


@dataclass(frozen=True)
class _Task:
    path: Path
    format: str
    seed: tuple[int, ...]
    duration: float


def generate(root: str | os.PathLike[str], settings: Settings, workers: int = 1) -> Iterator[Path]:
    """Write what is missing of a data set; yields each track when it is there, however it came there.

    Parameters
    ----------
    root : path
        A new folder, an empty one, or one that an earlier run with the same settings made.
    settings : Settings
    workers : int
        Processes; they do not change what is written.

    Raises
    ------
    UsageError
        For settings that make no data set, or a folder of something else.
    XumxError
        If a track cannot be written, or there are no names for validation tracks.
    """
    root = Path(root).expanduser()
    tasks = _tasks(root, settings)
    if workers < 1:
        raise UsageError(f"--workers must be 1 or more, not {workers}")
    try:
        _claim(root, settings)
        missing = [task for task in tasks if not task.path.exists()]
        yield from (task.path for task in tasks if task not in missing)
        if workers == 1:
            yield from map(_write, missing)
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, max(len(missing), 1)), context) as pool:
            try:
                for done in as_completed([pool.submit(_write, task) for task in missing]):
                    yield done.result()
            finally:
                pool.shutdown(cancel_futures=True)
    except OSError as error:
        raise XumxError(f"--out {root}: cannot be written ({error.strerror or error})") from error
    except BrokenProcessPool as error:
        raise XumxError(f"--out {root}: a worker was killed, by lack of memory maybe; use fewer") from error


def _tasks(root: Path, settings: Settings) -> list[_Task]:
    if settings.format not in FORMATS:
        raise UsageError(f"unknown format {settings.format!r}; use one of {', '.join(FORMATS)}")
    for name in _SUBSETS:
        count = settings.tracks if name == "train" else getattr(settings, name)
        if count < 0:
            raise UsageError(f"--{'tracks' if name == 'train' else name} must be 0 or more, not {count}")
    if not 1 <= settings.duration <= 3600:
        raise UsageError(f"--duration must be 1 to 3600 seconds, not {settings.duration:g}")
    if settings.seed < 0:
        raise UsageError(f"--seed must be 0 or more, not {settings.seed}")
    suffix = ".stem.mp4" if settings.format == "stems" else ""
    names = {
        "train": [f"xumx - Song {index + 1:03}" for index in range(settings.tracks)],
        "valid": _validation_names(settings.valid),
        "test": [f"xumx - Test {index + 1:03}" for index in range(settings.test)],
    }
    return [
        _Task(
            root / ("test" if subset == "test" else "train") / f"{name}{suffix}",
            settings.format,
            (settings.seed, number, index),
            settings.duration,
        )
        for number, subset in enumerate(_SUBSETS)
        for index, name in enumerate(names[subset])
    ]


def _validation_names(count: int) -> list[str]:
    if not count:
        return []
    from xumx.data.musdb import configuration  # needs PyYAML and the musdb package

    names = list(configuration()["validation_tracks"])
    if count > len(names):
        raise UsageError(f"--valid is at most {len(names)}, MUSDB18's validation tracks, not {count}")
    return names[:count]


def _claim(root: Path, settings: Settings) -> None:
    """Make the folders, or make sure that they were made for the same."""
    wanted = json.loads(json.dumps(asdict(settings)))
    file = root / SETTINGS
    if file.is_file():
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            found = None
        if found != wanted:
            raise UsageError(f"--out {root} holds a data set of other settings ({file}); give a new folder")
    elif root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UsageError(f"--out {root} holds something else; give a new folder or an empty one")
    for subset in ("train", "test"):
        (root / subset).mkdir(parents=True, exist_ok=True)
    with replacing(file) as aside:
        aside.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")


def _write(task: _Task) -> Path:
    rng = np.random.default_rng(task.seed)
    seconds = task.duration * float(rng.uniform(0.8, 1.2))
    audio = song(seconds, rng)
    if task.format == "stems":
        with replacing(task.path) as aside:
            write_stems(aside, audio)
    else:
        # In the root, where no reader of the set takes an unfinished folder for a track.
        aside = task.path.parent.parent / f".{task.path.name}-{secrets.token_hex(4)}"
        try:
            aside.mkdir()
            write_wavs(aside, audio)
            aside.rename(task.path)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return task.path


def write_wavs(folder: Path, audio: Mapping[str, np.ndarray]) -> None:
    """16-bit wav files of (2, samples) a recording; the mixture is the sum of the rounded sources.

    Raises
    ------
    AudioError
        If one cannot be written.
    """
    full_scale = np.float32(2**15)
    rounded = {name: np.rint(audio[name] * full_scale) / full_scale for name in STREAMS[1:]}
    for name, channels in {MIXTURE: sum(rounded.values()), **rounded}.items():
        with Writer(folder / f"{name}.wav", RATE) as writer:
            writer.write(np.ascontiguousarray(channels.T))


def write_stems(path: Path, audio: Mapping[str, np.ndarray], bit_rate: int = 256000) -> None:
    """A stem file of (2, samples) a recording, in AAC and in the order of `STREAMS`.

    Without noise substitution, which would depend on where a decoder begins.

    Raises
    ------
    AudioError
        If it cannot be written.
    """
    options = {"aac_coder": "fast"} | dict.fromkeys(("aac_pns", "aac_tns", "aac_ms", "aac_is"), "0")
    try:
        with av.open(f"file:{path.absolute()}", "w", format="mp4") as container:
            streams = []
            for _ in STREAMS:
                stream = container.add_stream("aac", rate=RATE, options=options)
                stream.bit_rate, stream.layout, stream.format = bit_rate, "stereo", "fltp"
                streams.append(stream)
            for start in range(0, audio[MIXTURE].shape[1], 1024):
                for stream, name in zip(streams, STREAMS, strict=True):
                    block = np.ascontiguousarray(audio[name][:, start : start + 1024])
                    frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
                    frame.sample_rate, frame.pts = RATE, start
                    container.mux(stream.encode(frame))
            for stream in streams:
                container.mux(stream.encode(None))
    except av.FFmpegError as error:
        raise AudioError(f"{path}: cannot be written: {error.strerror}") from error
