"""What happens, told to all who listen: server-sent events of jobs."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from xumx.serve.store import Job, Store

EACH = 0.15
"""Seconds between two looks at the database."""

_QUIET = 15.0  # seconds without news, after which a comment shows that the connection lives
_NOTICES = 20


def record(job: Job) -> dict[str, Any]:
    """A job as the interface shows it."""
    names = ("id", "name", "status", "progress", "stage", "done", "total", "error", "seconds", "size")
    found = {name: getattr(job, name) for name in (*names, "created", "finished", "options")}
    return {**found, "stems": [name.rpartition(".")[0] for name in job.stems]}


class Hub:
    """Looks at the database and wakes those who listen. Each is sent what has changed since it was last sent
    something: who reads slowly gets fewer steps, and costs no memory.

    Parameters
    ----------
    store : Store
        Its own, through which nothing is written.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._jobs: dict[str, Job] = {}
        self._notices: deque[tuple[int, str]] = deque(maxlen=_NOTICES)
        self._count = 0
        self._news = asyncio.Event()
        self._version: int | None = None
        self.closing = False

    async def watch(self) -> None:
        """Look, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(EACH)

    async def look(self) -> None:
        version = await asyncio.to_thread(self._store.version)
        if version != self._version:
            self._version = version
            self._jobs = {job.id: job for job in await asyncio.to_thread(self._store.all)}
            self._wake()

    def notice(self, text: str) -> None:
        """Tell everybody something."""
        self._count += 1
        self._notices.append((self._count, text))
        self._wake()

    def close(self) -> None:
        """End all streams."""
        self.closing = True
        self._wake()

    async def stream(self, id: str | None = None) -> AsyncIterator[str]:
        """Events of all jobs without end, or of one until it is over."""
        sent: dict[str, int] = {}
        heard = self._count
        yield "retry: 1000\n\n"
        if id is None:
            sent = {job.id: job.revision for job in self._jobs.values()}
            yield _event("jobs", [record(job) for job in self._jobs.values()])
        while not self.closing:
            news = self._news
            jobs = self._jobs if id is None else {k: j for k, j in self._jobs.items() if k == id}
            for job in [job for job in jobs.values() if sent.get(job.id) != job.revision]:
                sent[job.id] = job.revision
                yield _event("job", record(job))
            for gone in [key for key in sent if key not in jobs]:
                del sent[gone]
                yield _event("gone", {"id": gone})
            for count, text in [item for item in self._notices if id is None and item[0] > heard]:
                heard = count
                yield _event("notice", {"text": text})
            if id is not None and (id not in jobs or jobs[id].over):
                return
            if news is self._news:
                try:
                    await asyncio.wait_for(news.wait(), _QUIET)
                except asyncio.TimeoutError:
                    yield ": still here\n\n"

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def _event(name: str, data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
