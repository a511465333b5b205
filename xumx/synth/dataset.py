"""Data sets of generated songs, in MUSDB18's layout."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import av
import numpy as np

from xumx.audio import Writer
from xumx.base import jsonfile
from xumx.base.errors import AudioError, UsageError, XumxError, install
from xumx.base.files import aside, replacing, writing_to
from xumx.base.pools import process_pool
from xumx.synth import MIXTURE, RATE, Timbres, song

STREAMS = (MIXTURE, "drums", "bass", "other", "vocals")
"""The streams of a stem file, in order."""

FORMATS = ("stems", "wav")
SETTINGS = "synth.json"
"""What a folder was made with: another run goes on with the same only."""


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
        ``.stem.mp4`` (AAC) or folders of 16-bit wav files.
    soundfont, voices : tuple of str
        What plays and sings most of the songs, as `Timbres` takes them; without any, all is by rule.
    """

    tracks: int
    valid: int
    test: int
    seed: int
    duration: float
    format: str
    soundfont: tuple[str, ...] = ()
    voices: tuple[str, ...] = ()

    @property
    def timbres(self) -> Timbres | None:
        """What is not by rule."""
        return Timbres(self.soundfont, self.voices) if self.soundfont or self.voices else None


@dataclass(frozen=True)
class _Task:
    path: Path
    format: str
    seed: tuple[int, ...]
    duration: float
    timbres: Timbres | None


def generate(
    root: str | os.PathLike[str],
    settings: Settings,
    workers: int = 1,
    hearing: Callable[[Iterable[str]], Iterable[str]] = iter,
) -> Iterator[Path]:
    """Write what is missing of a data set.

    Parameters
    ----------
    root : path
        A new folder, an empty one, or one that an earlier run with the same settings made.
    settings : Settings
    workers : int
        Processes; they do not change what is written.
    hearing : callable
        Goes through the voices, each of which is named before it is heard: to show that.

    Returns
    -------
    iterator of Path
        Each track when it is there, however it came there. The work is done as it is asked for.

    Raises
    ------
    UsageError
        For settings that make no data set, or a folder of something else.
    XumxError
        If there are no names for validation tracks or, while the tracks are asked for, one cannot be written.
    """
    root = Path(root).expanduser()
    if workers < 1:
        raise UsageError(f"`workers` must be 1 or more, not {workers}")
    tasks = _tasks(root, settings)
    if settings.timbres is not None:
        settings.timbres.check()
        for _ in hearing(settings.timbres.hear()):
            pass
    with _naming(root):
        _claim(root, settings)
    return _generate(root, tasks, workers)


def _generate(root: Path, tasks: list[_Task], workers: int) -> Iterator[Path]:
    missing = [task for task in tasks if not task.path.exists()]
    yield from (task.path for task in tasks if task not in missing)
    with _naming(root), aside(root) as unfinished:
        write = partial(_write, unfinished)
        if workers == 1 or len(missing) < 2:
            yield from map(write, missing)
            return
        with process_pool(min(workers, len(missing))) as pool:
            for done in as_completed([pool.submit(write, task) for task in missing]):
                yield done.result()


@contextmanager
def _naming(root: Path) -> Iterator[None]:
    """Errors of the system in the words of the command's options."""
    try:
        with writing_to(f"`out` {root}"):
            yield
    except BrokenProcessPool as error:
        raise XumxError(f"`out` {root}: a worker was killed; is memory short? Use fewer `workers`") from error


def _tasks(root: Path, settings: Settings) -> list[_Task]:
    if settings.format not in FORMATS:
        raise UsageError(f"unknown format {settings.format!r}; use one of {', '.join(FORMATS)}")
    if not 1 <= settings.duration <= 600:
        raise UsageError(f"`duration` must be 1 to 600 seconds, not {settings.duration:g}")
    for option in ("tracks", "valid", "test", "seed"):
        if getattr(settings, option) < 0:
            raise UsageError(f"--{option} must be 0 or more, not {getattr(settings, option)}")
    if not settings.tracks + settings.valid + settings.test:
        raise UsageError("`tracks`, `valid` and `test` are 0, which leaves nothing to do")
    names = {
        "train": [f"xumx - Song {index + 1:03}" for index in range(settings.tracks)],
        "valid": _validation_names(settings.valid),
        "test": [f"xumx - Test {index + 1:03}" for index in range(settings.test)],
    }
    suffix = ".stem.mp4" if settings.format == "stems" else ""
    return [
        _Task(
            root / ("test" if subset == "test" else "train") / f"{name}{suffix}",
            settings.format,
            (settings.seed, number, index),
            settings.duration,
            settings.timbres,
        )
        for number, subset in enumerate(names)
        for index, name in enumerate(names[subset])
    ]


def _validation_names(count: int) -> list[str]:
    if not count:
        return []
    try:
        from xumx.data.musdb import configuration  # with packages that generating does not need

        names = list(configuration()["validation_tracks"])
    except (ModuleNotFoundError, XumxError) as error:
        without = f"`valid` needs more packages ({error})"
        raise XumxError(f"{without}; {install('data')}, or give `valid` 0") from None
    if count > len(names):
        raise UsageError(f"`valid` is at most {len(names)}, the validation tracks of MUSDB18, not {count}")
    return names[:count]


def _claim(root: Path, settings: Settings) -> None:
    """Make the folders, or make sure that they were made for the same songs."""
    file = root / SETTINGS
    if file.is_file():
        try:
            same = jsonfile.read(file, Settings) == settings
        except jsonfile.JsonError:
            same = False
        if not same:
            raise UsageError(f"`out` {root} holds songs of other settings ({file}); give a new folder")
    elif root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UsageError(f"`out` {root} holds something else; give a new folder or an empty one")
    for subset in ("train", "test"):
        (root / subset).mkdir(parents=True, exist_ok=True)
    with replacing(file) as new:
        said = {name: value for name, value in asdict(settings).items() if value != ()}
        new.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def _write(unfinished: Path, task: _Task) -> Path:
    """Make a track in a folder of unfinished ones, then give it its place."""
    rng = np.random.default_rng(task.seed)
    seconds = task.duration * float(rng.uniform(0.8, 1.2))
    write = write_stems if task.format == "stems" else write_wavs
    made = unfinished / task.path.name
    write(made, song(seconds, rng, task.timbres))
    try:
        made.rename(task.path)
    except OSError:
        if not task.path.exists():  # of another run that was faster
            raise
    return task.path


def write_wavs(folder: Path, audio: Mapping[str, np.ndarray]) -> None:
    """Write a track as a new folder of 16-bit wav files; the mixture is the sum of the rounded sources.

    Parameters
    ----------
    folder : Path
        Must not exist; its parent must.
    audio : mapping of str to float32 array (2, samples)
        The sources, as :func:`xumx.synth.song` makes them, at 44100 Hz.

    Raises
    ------
    AudioError
        If one cannot be written.
    """
    folder.mkdir()
    full_scale = np.float32(2**15)
    rounded = {name: np.rint(audio[name] * full_scale) / full_scale for name in STREAMS[1:]}
    for name, channels in {MIXTURE: sum(rounded.values()), **rounded}.items():
        with Writer(folder / f"{name}.wav", RATE) as writer:
            writer.write(np.ascontiguousarray(channels.T))


def write_stems(path: Path, audio: Mapping[str, np.ndarray], bit_rate: int = 256000) -> None:
    """Write a track as a stem file: AAC without noise substitution, which depends on where a decoder begins.

    Parameters
    ----------
    path : Path
        Of the ``.stem.mp4``.
    audio : mapping of str to float32 array (2, samples)
        The mixture and the sources at 44100 Hz; they become the streams, in the order of `STREAMS`.
    bit_rate : int
        Of each stream, in bit/s.

    Raises
    ------
    AudioError
        If it cannot be written.
    """
    options = {"aac_coder": "fast"} | dict.fromkeys(("aac_pns", "aac_tns", "aac_ms", "aac_is"), "0")
    try:
        # Lengths in the header are then exact to the sample, not to the millisecond.
        exact = {"movie_timescale": str(RATE)}
        with av.open(f"file:{path.absolute()}", "w", "mp4", container_options=exact) as container:
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
