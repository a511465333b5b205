"""One job: a song's file becomes its stems, and what a page needs to play them.

What an attempt makes lies in a folder of its own until it is whole, and then becomes ``result`` in one step.
Whoever finds ``result`` has nothing left to do, so that a job may be done twice and is there once.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xumx.base.errors import AudioError, UsageError, XumxError, line_of
from xumx.separation.options import SongOptions
from xumx.serve.choices import output, plain
from xumx.serve.store import Gone

if TYPE_CHECKING:
    from xumx.separation.separator import Separator

logger = logging.getLogger(__name__)

RESULT, FACTS = "result", "facts.json"

Tell = Callable[[str, float, "float | None", float, float], None]
"""Called with the stage, how much of it is done, of how much, the progress of all, and the song's seconds.
Raises :class:`~xumx.serve.store.Gone` where nobody waits for the result any more."""

_SEPARATED, _ENCODED = 0.75, 0.85  # of all work


@dataclass(frozen=True)
class Task:
    """What a worker needs to know.

    Parameters
    ----------
    id, name, file : str
    options : dict
        As of :class:`~xumx.serve.store.Job`.
    attempt : str
        Tells this attempt from others: it is in the name of its folder.
    longest : float
        Seconds that a song may have.
    models : dict of str to str
        Files of models that are the server's own, by name.
    model_dir : str, optional
        Folder of downloaded weights.
    """

    id: str
    name: str
    file: str
    options: dict[str, Any]
    attempt: str
    longest: float
    models: dict[str, str]
    model_dir: str | None = None


@dataclass(frozen=True)
class Result:
    """Names of the stems' files, in order, and how many seconds they have."""

    stems: tuple[str, ...]
    seconds: float


def perform(task: Task, place: Path, tell: Tell) -> Result:
    """Separate a song.

    Parameters
    ----------
    task : Task
    place : path
        The job's folder.
    tell : callable

    Raises
    ------
    XumxError
        With a sentence for the user, in which no path is.
    Gone
        From ``tell``.
    """
    found = result_of(place)
    if found is not None:
        return found
    try:
        return _perform(task, place, tell)
    except Gone:
        raise
    except Exception as error:
        tell("", 0, None, 0, 0)  # where the folder was taken away, that is the reason
        found = result_of(place)
        if found is not None:  # of another attempt, which has tidied up
            return found
        if not isinstance(error, (XumxError, OSError, MemoryError)):
            logger.error("%s: %s", task.id, line_of(error), exc_info=error)
            raise XumxError("something is wrong with the server; its log says what") from None
        names = {str(place / task.file): task.name, str(place): "the server's folder"}
        names |= {path: name for name, path in task.models.items()}
        text = "there is not enough memory" if isinstance(error, MemoryError) else line_of(error)
        raise XumxError(plain(text, names)) from None


def options_from(values: dict[str, Any]) -> SongOptions:
    """The options of a job, whose tuples JSON has made lists."""
    given: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
    return SongOptions(**given)


def result_of(place: Path) -> Result | None:
    """What became of the song in that folder, if it is done."""
    try:
        facts = json.loads((place / RESULT / FACTS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Result(tuple(facts["stems"]), facts["seconds"])


def _perform(task: Task, place: Path, tell: Tell) -> Result:
    from xumx import report
    from xumx.audio import probe
    from xumx.separation.song import separate_song

    options = options_from(task.options)
    song = place / task.file
    length = probe(song, stream=options.audio_track).duration or 0.0
    seconds = max(length - options.start, 0.0) if length else 0.0
    seconds = min(seconds, options.duration) if options.duration else seconds
    separator = _ready(task, options, tell)
    steps = _Steps(tell, seconds, task)

    work = place / f".work-{task.attempt}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        (stems,) = output(options, str(work / "stems")).paths([song], separator.stems, options.name)
        part: dict[str, Any] = {"start": options.start, "duration": options.duration}
        part["stream"] = options.audio_track
        how = output(options, str(work))
        seconds = separate_song(
            separator, song, stems, how, progress=steps.separated, encoding=steps.encoded, **part
        ).seconds
        (work / "player").mkdir()
        links = {stem: f"api/jobs/{task.id}/stems/{path.name}" for stem, path in stems.items()}
        report.write_player(work / "player", song, stems, links, progress=steps.drawn, **part)
        result = Result(tuple(path.name for path in stems.values()), seconds)
        (work / FACTS).write_text(json.dumps({"stems": result.stems, "seconds": seconds}), encoding="utf-8")
        return _put(work, place / RESULT, result)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _put(work: Path, target: Path, result: Result) -> Result:
    """Give a result its name once it is on the disk, unless another attempt was first."""
    for path in work.rglob("*.*"):
        with open(path, "rb") as file:
            os.fsync(file.fileno())  # after a power cut, what is there is whole
    try:
        work.rename(target)
    except OSError:
        found = result_of(target.parent)
        if found is None:
            raise
        return found
    for other in target.parent.glob(".work-*"):  # of attempts that were killed
        shutil.rmtree(other, ignore_errors=True)
    return result


def _ready(task: Task, options: SongOptions, tell: Tell) -> Separator:
    """The separator of a task, made once for all tasks with its options."""
    from xumx.network import pretrained

    tell("loading", 0, None, 0, 0)
    for name in options.model:
        if name not in task.models:
            watch = functools.partial(_downloading, tell)
            pretrained.resolve(name, model_dir=task.model_dir, progress=watch)
        elif not Path(task.models[name]).exists():
            raise UsageError(f"{name}: its weights are not there any more")
    models = [task.models.get(name, name) for name in options.model]
    given = {**options.separator(), "model": models, "model_dir": task.model_dir}
    return _separator(json.dumps(given))


def _downloading(tell: Tell, done: float, total: float | None) -> None:
    tell("downloading", done, total, 0, 0)


@functools.lru_cache(maxsize=2)
def _separator(options: str) -> Separator:
    from xumx.separation.separator import Separator

    return Separator(**json.loads(options))


class _Steps:
    """Progress of one song; ends one that goes on for longer than it may."""

    def __init__(self, tell: Tell, seconds: float, task: Task) -> None:
        self._tell, self._seconds, self._task = tell, seconds, task
        self._done = {"separating": 0.0, "encoding": 0.0, "drawing": 0.0}
        tell("separating", 0, seconds or None, 0, seconds)

    def separated(self, seconds: float) -> None:
        done = self._add("separating", seconds)
        if done > self._task.longest + 1:
            raise AudioError(f"{self._task.name}: {too_long(None, self._task.longest)}")
        self._seconds = max(self._seconds, done)
        self._say("separating", done, _SEPARATED * done / self._seconds)

    def encoded(self, seconds: float) -> None:
        done = self._add("encoding", seconds)
        self._say("encoding", done, _SEPARATED + (_ENCODED - _SEPARATED) * done / self._seconds)

    def drawn(self, share: float) -> None:
        done = self._add("drawing", share)
        self._say("drawing", done * self._seconds, _ENCODED + (1 - _ENCODED) * done)

    def _add(self, stage: str, amount: float) -> float:
        self._done[stage] += amount
        return self._done[stage]

    def _say(self, stage: str, done: float, progress: float) -> None:
        self._tell(stage, done, self._seconds or None, min(progress, 1.0), self._seconds)


def too_long(seconds: float | None, longest: float) -> str:
    """Say that a song is longer than the server takes.

    >>> too_long(10800, 3600)
    'lasts 3:00:00, and this server separates 1:00:00 at most: give start and duration'
    """
    from xumx.report import clock

    how_long = "goes on" if seconds is None else f"lasts {clock(seconds)}"
    return f"{how_long}, and this server separates {clock(longest)} at most: give start and duration"
