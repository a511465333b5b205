"""Many tracks in several processes: each is estimated and scored, and leaves a score file."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from xumx.audio import Writer
from xumx.base import files as room
from xumx.base import jsonfile
from xumx.base.errors import UsageError, XumxError
from xumx.base.files import make_folder, replacing, writing_to
from xumx.base.log import with_warnings
from xumx.base.pools import process_pool
from xumx.data.track import MIXTURE, Track
from xumx.eval.estimators import Estimator, Truth, read_truth, stem_files
from xumx.eval.scores import Members, Scores, members_of, read_scores, scenarios, score, write_scores
from xumx.eval.songs import measure_song, read_song, write_song

logger = logging.getLogger(__name__)

MakeEstimator = Callable[[int], Estimator]
"""A number of threads to an estimator; made once in each process."""

_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@dataclass(frozen=True)
class Task:
    """A track to score.

    Parameters
    ----------
    track : Track
    scores : Path
        The file to write.
    estimates : Path, optional
        Folder to keep the estimates in, as ``<stem>.wav``.
    fast : bool
        See :func:`xumx.eval.scores.score`.
    songs : Path, optional
        The file to write what is measured of the song as a whole.
    metrics : tuple of str
        What that is, by the names of :data:`xumx.signal.metrics.SONG_METRICS`.
    """

    track: Track
    scores: Path
    estimates: Path | None = None
    fast: bool = False
    songs: Path | None = None
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of a task: ``error`` is None if the track was scored."""

    task: Task
    warnings: tuple[str, ...] = ()
    error: str | None = None


def finished(task: Task, members: Members) -> bool:
    """Whether the score file is whole and of these stems, and the estimates are there."""
    if not task.scores.exists():
        return False
    try:
        scored = set(read_scores(task.scores))
    except XumxError as error:
        logger.warning("%s; the track is scored again", error)
        return False
    kept = task.estimates is None or all((task.estimates / f"{stem}.wav").exists() for stem in members)
    return scored == set(members) and kept and _measured(task, members)


def _measured(task: Task, members: Members) -> bool:
    """Whether all that is to be measured of the song is there."""
    if task.songs is None:
        return True
    try:
        found = read_song(task.songs)
    except XumxError:
        return False
    return set(found) == set(members) and all(set(task.metrics) <= set(row) for row in found.values())


def evaluate(task: Task, estimate: Estimator, members: Members, *, threads: int = 1) -> None:
    """Read, estimate, score and write one track.

    Raises
    ------
    XumxError
        If any of it fails; no score file is written then.
    """
    task.scores.unlink(missing_ok=True)  # of another attempt, which must not pass for this one's
    truth = read_truth(task.track)
    estimates = estimate(truth)
    if task.estimates is not None:
        _keep(task.estimates, truth, estimates)
    if task.songs is not None:
        write_song(task.songs, measure_song(truth, estimates, members, task.metrics))
    write_scores(task.scores, score(truth, estimates, members, fast=task.fast, threads=threads))


def _keep(folder: Path, truth: Truth, estimates: dict[str, np.ndarray]) -> None:
    make_folder(folder)
    for stem, audio in estimates.items():
        path = folder / f"{stem}.wav"
        # In floats, so that scoring the folder gives the same numbers again.
        with Writer(path, truth.rate, audio.shape[1], subtype="float32") as writer:
            writer.write(np.ascontiguousarray(audio, np.float32))


def evaluate_all(
    tasks: Iterable[Task], make: MakeEstimator, members: Members, *, processes: int, threads: int
) -> Generator[Outcome, None, None]:
    """Outcomes as they come; a task that fails does not end the others.

    Tasks are taken only when there is a process for them: other machines may take from the same source.

    BLAS has one thread in every process, whatever there is: museval's SIR and SAR depend on their number
    by thousandths of a dB.

    Parameters
    ----------
    tasks : iterable of Task
    make : MakeEstimator
        Can be pickled.
    members : Members
    processes, threads : int
        How many, and of each.
    """
    tasks = iter(tasks)
    settings = {**dict.fromkeys(_ONE_THREAD, "1"), "OMP_NUM_THREADS": str(threads)}

    def together(first: list[Task], others: Iterator[Task]) -> Generator[Outcome, None, list[Task]]:
        with (
            _environment(settings),
            process_pool(len(first), _Worker.start, (make, members, threads)) as pool,
        ):
            return (yield from _evaluated(pool, first, others))

    while first := list(islice(tasks, processes)):
        killed = yield from together(first, tasks)
        if len(killed) > 1:  # one process has ended all of the pool's: alone, each task answers for itself
            suspects, killed = killed, []
            for task in suspects:
                killed += yield from together([task], iter(()))
        for task in killed:
            remedy = "is memory short? Use fewer `cores`, or `fast`"
            yield Outcome(task, error=f"{task.track.name}: its process was killed; {remedy}")


def _evaluated(
    pool: Executor, first: Iterable[Task], others: Iterator[Task]
) -> Generator[Outcome, None, list[Task]]:
    """Outcomes of as many tasks at a time as there are first ones, till all are done or a process is killed.

    Returns the tasks that were under way then.
    """
    running = {_submitted(pool, task): task for task in first}
    lost: list[Task] = []
    while running:
        done = wait(running, return_when=FIRST_COMPLETED).done
        for future in done:
            task = running.pop(future)
            if isinstance(future.exception(), BrokenProcessPool):
                lost.append(task)
            else:
                yield future.result()
        if not lost:
            running |= {_submitted(pool, task): task for task in islice(others, len(done))}
    return lost


def _submitted(pool: Executor, task: Task) -> Future[Outcome]:
    try:
        return pool.submit(_run, task)
    except BrokenProcessPool as error:  # a process that had another task has just been killed
        failed: Future[Outcome] = Future()
        failed.set_exception(error)
        return failed


@contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """Variables that new processes inherit: libraries read them when they are loaded."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _Worker:
    """What a process keeps from track to track."""

    current: _Worker

    def __init__(self, make: MakeEstimator, members: Members, threads: int) -> None:
        self.make, self.members, self.threads = make, members, threads
        self.estimate: Estimator | None = None

    @classmethod
    def start(cls, make: MakeEstimator, members: Members, threads: int) -> None:
        cls.current = cls(make, members, threads)


def _run(task: Task) -> Outcome:
    def tried() -> str | None:
        worker = _Worker.current
        try:
            if worker.estimate is None:
                worker.estimate = worker.make(worker.threads)
            evaluate(task, worker.estimate, worker.members, threads=worker.threads)
        except Exception as failure:  # whatever it is, the other tracks can do without
            error = str(failure) if isinstance(failure, XumxError) else f"{type(failure).__name__}: {failure}"
            return error if task.track.name in error else f"{task.track.name}: {error}"
        return None

    error, said = with_warnings(tried)
    return Outcome(task, tuple(said), error)


SETTINGS = "settings.json"

_FRAME = 600
"""Bytes that the scores of a stem take a second, in their file and in the table; somewhat less."""
_REPORT = 500_000
"""Bytes of the report; less."""


def begin(folder: Path, settings: Mapping[str, Any], tasks: Iterable[Task], *, force: bool) -> None:
    """Make the folder of scores, or see that what it holds was scored with the same settings.

    Raises
    ------
    UsageError
        If it was not; ``force`` takes the folder over. The tasks' scores go first: if the run is interrupted,
        none is there that would pass for one of these settings.
    XumxError
        If it cannot be written.
    """
    path = folder / SETTINGS
    text = json.dumps(settings, indent=2)
    try:
        if path.exists() and not force:
            before = jsonfile.read(path, dict[str, Any])
            now = jsonfile.parse(text, dict[str, Any])
            other = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
            if other:
                changes = ", ".join(
                    f"{_short(name)[1:-1]} {_short(before.get(name))}, now {_short(now.get(name))}"
                    for name in other
                )
                raise UsageError(
                    f"`evaldir` {folder} holds other scores ({changes}): give another or `force`"
                )
            return
        for task in tasks if force else ():
            with writing_to(task.scores):
                task.scores.unlink(missing_ok=True)
        with replacing(path) as aside:
            aside.write_text(text, encoding="utf-8")
    except jsonfile.JsonError as error:
        raise XumxError(f"{error}; `force` replaces it") from None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def tasks_of(
    tracks: Iterable[Track],
    scores: Path,
    subset: str,
    estimates: Path | None,
    fast: bool,
    metrics: Sequence[str] = (),
) -> list[Task]:
    """A task a track, the longest first, so that no process ends long after the others."""
    ordered = sorted(tracks, key=lambda track: (-track.samples, track.name))
    return [
        Task(
            track,
            scores / subset / f"{track.name}.json",
            estimates / subset / track.name if estimates else None,
            fast,
            scores / "songs" / subset / f"{track.name}.json" if metrics else None,
            tuple(metrics),
        )
        for track in ordered
    ]


def check_room(tasks: Iterable[Task], members: Members, folder: Path, kept: Path | None) -> None:
    """See that there is room for the scores of the tasks that are left, and for the estimates to keep.

    Raises
    ------
    XumxError
        If there is not, or if a folder cannot be written.
    """
    scores, estimates = 0, 0
    for task in tasks:
        if not task.scores.exists():
            seconds = math.ceil(task.track.samples / task.track.sample_rate)
            scores += _FRAME * len(members) * seconds
        if task.estimates is not None and not task.estimates.exists():
            channels = max(recording.channels for recording in task.track.recordings.values())
            estimates += 4 * len(members) * channels * task.track.samples
    room.check_room("`evaldir`", folder, scores + _REPORT)
    if kept is not None:
        room.check_room("`outdir`", kept, estimates)


def network_members(
    estimated: Sequence[str], stems: Sequence[str], aggregate: Any, sources: Sequence[str]
) -> Members:
    """Truths of a network's stems, which its options may have named.

    A network of one source calls the rest ``accompaniment``, whatever that source is.
    """
    known = dict(aggregate or {})
    if len(estimated) == 1:
        known["accompaniment"] = [source for source in sources if source != estimated[0]]
    return members_of(stems, sources, known)


def folder_members(
    folder: Path, tracks: Iterable[Track], sources: Sequence[str]
) -> tuple[Members, list[str]]:
    """Truths of all stems that any track has an estimate of, and the names that have none.

    Raises
    ------
    UsageError
        If the folder is none, or has no estimate of any track.
    """
    stems: dict[str, None] = {}
    if not folder.is_dir():
        raise UsageError(f"`estimates`: {folder} is no folder; it needs <subset>/<track>/<stem>.wav")
    for track in tracks:
        if (folder / track.name).is_dir():
            stems.update(dict.fromkeys(stem_files(folder / track.name)))
    if not stems:
        raise UsageError(f"`estimates`: {folder} holds no estimates of the tracks, as <track>/<stem>.wav")
    members = members_of([*sources, *(s for s in stems if s not in sources)], sources)
    members = {stem: parts for stem, parts in members.items() if stem in stems}
    return members, [stem for stem in stems if stem not in members and stem != MIXTURE]


def check_scorable(members: Members) -> None:
    """Raise UsageError if there are no two stems to score together, or one that nothing is scored with."""
    scored = {stem for group in scenarios(members) for stem in group}
    alone = [stem for stem in members if stem not in scored]
    if alone:
        raise UsageError(
            f"BSS Eval cannot score {', '.join(alone)}: no other stem is of the rest of the mixture"
        )


def scores_of(tasks: Iterable[Task]) -> dict[str, Scores]:
    """The scores of the tasks that are done, by track."""
    done = sorted((task for task in tasks if task.scores.exists()), key=lambda task: task.track.name)
    return {task.track.name: read_scores(task.scores) for task in done}
