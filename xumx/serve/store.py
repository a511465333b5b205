"""What the server knows of its jobs: a table in an SQLite database, and a folder for each.

Several processes write to the table, each a row at a time and in a transaction: a process that is killed
leaves it whole. A job belongs to the attempt that claimed it: a worker that is told :class:`Gone` has lost it
to another, or its user has thrown it away.

    jobs.sqlite3
    incoming/<random>/song.mp3      an upload that is not whole yet
    jobs/<id>/song.mp3              a song that waits
    jobs/<id>/.work-2/...           what attempt 2 has made of it so far
    jobs/<id>/result/stems/...      what it became, all at once
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

CRASHES = 24
"""What counts against a song until it has failed: a crash of the process that separates it counts `CRASH`."""

CRASH, KILL = 8, 1
"""A process that was killed may be one that somebody has killed, or that took all memory; it counts less."""

CRASHED = "separating it has ended the program that does it, again and again; is the file damaged?"

_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    file TEXT NOT NULL,
    options TEXT NOT NULL,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    seconds REAL,
    status TEXT NOT NULL DEFAULT 'queued',
    stage TEXT NOT NULL DEFAULT '',
    done REAL NOT NULL DEFAULT 0,
    total REAL,
    progress REAL NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',
    stems TEXT NOT NULL DEFAULT '[]',
    created REAL NOT NULL,
    updated REAL NOT NULL,
    finished REAL,
    worker TEXT NOT NULL DEFAULT '',
    attempt INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    revision INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS by_status ON jobs (status, number);
CREATE INDEX IF NOT EXISTS by_digest ON jobs (digest);
CREATE TABLE IF NOT EXISTS revisions (number INTEGER NOT NULL);
INSERT INTO revisions SELECT 0 WHERE NOT EXISTS (SELECT * FROM revisions);
COMMIT;
"""


class Gone(Exception):
    """A job is no longer the caller's: thrown away, or claimed by another."""


@dataclass(frozen=True)
class Job:
    """A song to separate, and how far that is.

    Parameters
    ----------
    id : str
        Of letters and digits, hard to guess.
    name : str
        What the user's file is called: plain text, for eyes only.
    file : str
        What it is called in the job's folder.
    options : dict
        Those of :class:`xumx.separation.options.SongOptions` that were given.
    digest : str
        Of the file's bytes and the options: two jobs with the same one are the same.
    size : int
        Bytes of the file.
    seconds : float, optional
        Length of the song, as far as it is known.
    status : 'queued', 'running', 'done' or 'failed'
    stage : str
        What is being done: 'loading', 'downloading', 'separating', 'encoding' or 'drawing'.
    done, total : float
        How much of that, in bytes while downloading, else in seconds of music.
    progress : float
        Of everything, 0 to 1.
    error : str
        Why it has failed, in a sentence.
    stems : tuple of str
        Names of their files, in order, once there are some.
    created, updated, finished : float
        In seconds since 1970.
    attempt, crashes : int
        How often it was begun, and what counts against it: see `CRASHES`.
    revision : int
        Grows with each change of any job.
    """

    id: str
    name: str
    file: str
    options: dict[str, Any]
    digest: str = ""
    size: int = 0
    seconds: float | None = None
    status: str = "queued"
    stage: str = ""
    done: float = 0.0
    total: float | None = None
    progress: float = 0.0
    error: str = ""
    stems: tuple[str, ...] = ()
    created: float = field(default_factory=time.time)
    updated: float = 0.0
    finished: float | None = None
    attempt: int = 0
    crashes: int = 0
    revision: int = 0

    @property
    def over(self) -> bool:
        return self.status in ("done", "failed")


def new_id() -> str:
    """A name for a job, which says nothing of others."""
    return uuid.uuid4().hex


class Store:
    """The jobs of a folder. May be used from several threads; each process opens its own.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(Path(folder))
    ...     store.add(Job("a1", "song.mp3", "song.mp3", {"model": "demo"}))
    ...     job = store.claim("worker 1")
    ...     store.tell(job, "separating", 3, 12, 0.25)
    ...     print(store.get("a1").status, store.get("a1").progress, store.claim("worker 2"))
    ...     store.close()
    running 0.25 None
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for place in (self.incoming, self.jobs):
            place.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(
            folder / "jobs.sqlite3", timeout=30, isolation_level=None, check_same_thread=False
        )
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")  # what was promised outlives a power cut
        self._connection.executescript(_SCHEMA)

    @property
    def incoming(self) -> Path:
        return self.folder / "incoming"

    @property
    def jobs(self) -> Path:
        return self.folder / "jobs"

    def place(self, job: Job) -> Path:
        """The folder of a job."""
        return self.jobs / job.id

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    # What the server asks.

    def get(self, id: str) -> Job | None:
        """The job of that name, if there is one."""
        return next(iter(self._select("WHERE id = ?", id)), None)

    def all(self) -> list[Job]:
        """All jobs, the oldest first."""
        return self._select("ORDER BY number")

    def same(self, digest: str) -> Job | None:
        """A job with the same song and options that has not failed."""
        return next(iter(self._select("WHERE digest = ? AND status != 'failed'", digest)), None)

    def version(self) -> int:
        """A number that changes when another process, or another store, has changed something."""
        with self._lock:
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def add(self, job: Job) -> None:
        """Enter a job, whose folder is there."""
        with self._writing() as write:
            write(
                "INSERT INTO jobs (id, name, file, options, digest, size, seconds, created, updated,"
                f" revision) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, {_REVISION})",
                (
                    *(job.id, job.name, job.file, json.dumps(job.options), job.digest, job.size),
                    *(job.seconds, job.created, time.time()),
                ),
            )

    def remove(self, job: Job) -> bool:
        """Forget a job, then its files; who works at it is told that it is gone. Whether it was there."""
        with self._writing() as write:
            there = write("DELETE FROM jobs WHERE id = ?", (job.id,)) > 0
        shutil.rmtree(self.place(job), ignore_errors=True)
        return there

    def restart(self) -> None:
        """Queue again what was begun, and remove what belongs to no job: no worker lives any more."""
        with self._writing() as write:
            write(f"UPDATE jobs SET status = 'queued', {_NOTHING_DONE} WHERE status = 'running'", ())
        known = {job.id for job in self.all()}
        for path in (*self.incoming.iterdir(), *self.jobs.iterdir()):
            if path.parent == self.incoming or path.name not in known:
                shutil.rmtree(path, ignore_errors=True)

    # What workers do.

    def claim(self, worker: str) -> Job | None:
        """The job that has waited longest, which is now this worker's; None if none waits."""
        if not self._select("WHERE status = 'queued' LIMIT 1"):
            return None  # without waiting for those who write
        first = "number = (SELECT min(number) FROM jobs WHERE status = 'queued')"
        return self._begin(f"status = 'queued' AND {first}", (), worker)

    def take(self, id: str, worker: str) -> Job | None:
        """Give a job that is not over to a worker, whoever had it before; None if there is none."""
        return self._begin("status IN ('queued', 'running') AND id = ?", (id,), worker)

    def _begin(self, which: str, values: tuple[str, ...], worker: str) -> Job | None:
        with self._writing() as write:
            write("UPDATE jobs SET worker = '' WHERE worker = ?", (worker,))  # it has one at a time
            write(
                f"UPDATE jobs SET status = 'running', worker = ?, attempt = attempt + 1, {_NOTHING_DONE}"
                f" WHERE {which}",
                (worker, *values),
            )
            found = self._rows("WHERE worker = ?", worker)
        return found[0] if found else None

    def held(self, id: str, worker: str) -> Job | None:
        """The job of that name, if that worker has it."""
        return next(
            iter(self._select("WHERE id = ? AND worker = ? AND status = 'running'", id, worker)), None
        )

    def tell(
        self, job: Job, stage: str, done: float, total: float | None, progress: float, seconds: float = 0.0
    ) -> None:
        """Say how far an attempt is, and how long the song is, if that is known.

        Raises
        ------
        Gone
        """
        self._change(
            job,
            "stage = ?, done = ?, total = ?, progress = ?, seconds = coalesce(?, seconds)",
            (stage, done, total, progress, seconds or None),
        )

    def finish(self, job: Job, stems: tuple[str, ...], seconds: float) -> None:
        """Enter that all is done.

        Raises
        ------
        Gone
        """
        self._change(
            job,
            "status = 'done', stage = '', progress = 1, stems = ?, seconds = ?, finished = ?",
            (json.dumps(stems), seconds, time.time()),
        )

    def fail(self, job: Job, error: str) -> None:
        """Enter why it cannot be done.

        Raises
        ------
        Gone
        """
        self._change(job, "status = 'failed', stage = '', error = ?, finished = ?", (error, time.time()))

    def tidy(self, job: Job) -> None:
        """Remove what a worker has left of a job that is not its own any more."""
        if self.get(job.id) is None:
            shutil.rmtree(self.place(job), ignore_errors=True)

    def release(self, worker: str, weight: int = CRASH) -> None:
        """Queue again what a worker had begun that has died of it; too often, and the song has failed."""
        for job in self._select("WHERE worker = ? AND status = 'running'", worker):
            with self._writing() as write:
                if job.crashes + weight >= CRASHES:
                    change = "status = 'failed', stage = '', error = ?, finished = ?"
                    values: tuple[Any, ...] = (CRASHED, time.time())
                else:
                    change, values = f"status = 'queued', {_NOTHING_DONE}", ()
                write(
                    f"UPDATE jobs SET crashes = crashes + {weight:d}, {change} WHERE id = ? AND attempt = ?",
                    (*values, job.id, job.attempt),
                )

    def stuck(self, worker: str, since: float) -> bool:
        """Whether a worker has said nothing of its job since that time."""
        return bool(self._select("WHERE worker = ? AND status = 'running' AND updated < ?", worker, since))

    def _change(self, job: Job, change: str, values: tuple[Any, ...]) -> None:
        with self._writing() as write:
            changed = write(
                f"UPDATE jobs SET {change}, updated = ?, revision = {_REVISION}"
                " WHERE id = ? AND attempt = ? AND status = 'running'",
                (*values, time.time(), job.id, job.attempt),
            )
        if not changed:
            raise Gone(job.id)

    def _select(self, which: str, *values: Any) -> list[Job]:
        with self._lock:
            return self._rows(which, *values)

    def _rows(self, which: str, *values: Any) -> list[Job]:
        rows = self._connection.execute(f"SELECT {', '.join(_COLUMNS)} FROM jobs {which}", values)
        return [_job(row) for row in rows]

    @contextmanager
    def _writing(self) -> Iterator[Callable[[str, tuple[Any, ...]], int]]:
        """A transaction of its own: a function that runs a statement and returns how many rows it changed."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.execute("UPDATE revisions SET number = number + 1")
                yield lambda statement, values: self._connection.execute(statement, values).rowcount
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")


_COLUMNS = tuple(column.name for column in fields(Job))
_REVISION = "(SELECT number FROM revisions)"
_NOTHING_DONE = (
    "stage = '', done = 0, total = NULL, progress = 0, updated = (julianday('now') - 2440587.5) * 86400.0,"
    f" revision = {_REVISION}"
)


def _job(row: sqlite3.Row) -> Job:
    values = dict(row)
    values["options"] = json.loads(values["options"])
    values["stems"] = tuple(json.loads(values["stems"]))
    return Job(**values)
