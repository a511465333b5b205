"""The queue of several machines: Dramatiq leads songs through a Redis to workers, which share the folder.

The server's database stays the truth. A worker says on a list in Redis what it does, and the server enters
it; so neither needs the other at the moment. A song may be delivered twice: when its worker has died, when
the server or Redis has lost its memory. Of two workers that have it, the lock lets one begin; and whoever
finds its result in the folder says that it is done.

    xumx:job:<id>       'sent' while the song is wanted; its worker stops when it is gone
    xumx:lock:<id>      which attempt works at it; goes by itself when the worker has died
    xumx:tries:<id>     how often it was begun and not ended
    xumx:reports        what workers say, until the server has entered it
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from types import TracebackType
from typing import Any

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker

from xumx.base.errors import XumxError
from xumx.serve.queues import Queue
from xumx.serve.store import Gone, Job, Store

logger = logging.getLogger(__name__)

SONGS, ACTOR = "songs", "separate"
REPORTS = "xumx:reports"

HEARTBEAT = 5.0
"""Seconds after which a worker that is not heard has died."""

_EACH = 0.1  # seconds from one look at reports to the next
_AT_ONCE = 200  # reports
_AGAIN = 10.0  # seconds from one look for songs that Redis does not know to the next


def connect(url: str) -> RedisBroker:
    """A broker of Redis.

    Raises
    ------
    XumxError
        If there is none, or it does not answer.
    """
    try:
        broker = RedisBroker(
            url=url,
            namespace="xumx:dramatiq",
            middleware=[],  # whose limits and retries are not for songs
            heartbeat_timeout=round(1000 * HEARTBEAT),
            maintenance_chance=1_000_000,  # of a million: what is forsaken is found at once
        )
        broker.client.ping()
    except (redis.RedisError, ValueError) as error:
        raise XumxError(f"broker {_shown(url)}: no Redis answers there ({error})") from None
    broker.declare_queue(SONGS)
    return broker


def job_key(id: str) -> str:
    return f"xumx:job:{id}"


class BrokerQueue(Queue):
    """The server's end. While it is entered, a thread enters what workers say into the database."""

    def __init__(self, url: str, store: Store) -> None:
        self._broker, self._store = connect(url), store
        self._redis: redis.Redis = self._broker.client
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="xumx-reports")

    def __enter__(self) -> BrokerQueue:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        self._broker.close()

    def send(self, job: Job) -> None:
        try:
            self._redis.set(job_key(job.id), "sending")
            task = {"id": job.id, "name": job.name, "file": job.file, "options": job.options}
            self._broker.enqueue(dramatiq.Message(SONGS, ACTOR, (task,), {}, {}))
            self._redis.set(job_key(job.id), "sent", xx=True)  # it may be done already
        except redis.RedisError as error:
            logger.warning("the broker does not answer, and songs wait for it: %s", error)

    def cancel(self, job: Job) -> None:
        with contextlib.suppress(redis.RedisError):
            self._redis.delete(job_key(job.id))

    def _listen(self) -> None:
        rounds, lost = 0, False
        while not self._ending.wait(1.0 if lost else _EACH):
            try:
                if lost or rounds % round(_AGAIN / _EACH) == 0:
                    self._send_unknown()
                rounds += 1
                reports: Any = self._redis.lrange(REPORTS, 0, _AT_ONCE - 1)
                for report in reports:
                    self._enter(json.loads(report))
                if reports:
                    self._redis.ltrim(REPORTS, len(reports), -1)
                lost = False
            except redis.RedisError as error:
                if not lost:
                    logger.warning("the broker does not answer, and songs wait for it: %s", error)
                lost = True

    def _send_unknown(self) -> None:
        """Send songs that Redis does not know: it was started anew, or the server was killed too early."""
        jobs = [job for job in self._store.all() if not job.over]
        known: Any = self._redis.mget([job_key(job.id) for job in jobs]) if jobs else []
        for job, value in zip(jobs, known, strict=True):
            if value != b"sent":
                self.send(job)

    def _enter(self, report: dict[str, Any]) -> None:
        id, run, kind, values = (report[name] for name in ("id", "run", "kind", "values"))
        job = self._store.held(id, run) or self._store.take(id, run)
        if job is None or kind != "tell":
            self._redis.delete(job_key(id))
        if job is None:
            return
        with contextlib.suppress(Gone):
            if kind == "tell":
                self._store.tell(job, *values)
            elif kind == "done":
                self._store.finish(job, tuple(values[0]), values[1])
            else:
                self._store.fail(job, values[0])


def _shown(url: str) -> str:
    """The address without its password."""
    head, at, host = url.rpartition("@")
    return f"{head.partition('://')[0]}://{host}" if at else url
