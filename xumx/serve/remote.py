"""``python -m xumx.serve.remote``: a process that takes songs from a broker."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xumx.base.errors import XumxError
from xumx.base.log import shown
from xumx.serve.child import begin, end_with_parent
from xumx.serve.perform import Task, perform
from xumx.serve.store import CRASHED, Gone

logger = logging.getLogger(__name__)

_OFTEN = 0.2  # seconds between two reports
_TRIES = 6  # so often is a song begun whose workers die
_LATER = 2000  # milliseconds until a song comes again that another has begun


def main() -> None:
    os.environ["dramatiq_queue_prefetch"] = "1"  # read on import: a song waits where it can be taken  # noqa: SIM112
    import dramatiq

    from xumx.serve.broker import ACTOR, SONGS, connect

    order, _ = begin()
    end_with_parent()
    with shown():
        broker = connect(order["broker"])
        worker = Worker(order, broker)
        dramatiq.actor(actor_name=ACTOR, queue_name=SONGS, broker=broker)(worker.work)
        dramatiq.Worker(broker, queues={SONGS}, worker_threads=1).start()
        threading.Event().wait()


class Worker:
    """Takes one song after the other.

    Parameters
    ----------
    order : dict
        See :func:`xumx.serve.server.order`.
    broker : RedisBroker
    """

    def __init__(self, order: dict[str, Any], broker: Any) -> None:
        self._jobs = Path(order["folder"]) / "jobs"
        self._limits = {name: order[name] for name in ("longest", "models", "model_dir")}
        self._broker, self._redis = broker, broker.client

    def work(self, song: dict[str, Any]) -> None:
        """Separate a song that the server sends, unless another is at it."""
        from xumx.serve.broker import HEARTBEAT, job_key

        run, id = uuid.uuid4().hex, song["id"]
        lock, tries = f"xumx:lock:{id}", f"xumx:tries:{id}"
        if not self._redis.exists(job_key(id)):
            return
        if not self._redis.set(lock, run, nx=True, px=round(1000 * HEARTBEAT)):
            import dramatiq

            from xumx.serve.broker import ACTOR, SONGS

            self._broker.enqueue(dramatiq.Message(SONGS, ACTOR, (song,), {}, {}), delay=_LATER)
            return
        over = threading.Event()
        threading.Thread(target=self._hold, args=(lock, over), daemon=True).start()
        try:
            if self._redis.incr(tries) > _TRIES:
                self._report(id, run, "failed", CRASHED)
            else:
                self._perform(Task(**song, attempt=run, **self._limits), run)
            self._surely(lambda: self._redis.delete(tries))
        finally:
            over.set()
            self._surely(lambda: self._redis.delete(lock))

    def _perform(self, task: Task, run: str) -> None:
        from xumx.serve.broker import REPORTS, job_key

        said = 0.0, ""

        def tell(*values: Any) -> None:
            nonlocal said
            now = time.monotonic()
            if values[0] == said[1] and now - said[0] < _OFTEN:
                return
            said = now, values[0]
            report = {"id": task.id, "run": run, "kind": "tell", "values": values}
            try:
                if not self._redis.exists(job_key(task.id)):
                    raise Gone(task.id)
                self._redis.rpush(REPORTS, json.dumps(report))
            except self._errors() as error:
                logger.warning("the broker does not answer: %s", error)  # the end is told, however late

        try:
            result = perform(task, self._jobs / task.id, tell)
        except Gone:
            return
        except XumxError as error:
            self._report(task.id, run, "failed", str(error))
        else:
            self._report(task.id, run, "done", result.stems, result.seconds)

    def _report(self, id: str, run: str, kind: str, *values: Any) -> None:
        from xumx.serve.broker import REPORTS

        text = json.dumps({"id": id, "run": run, "kind": kind, "values": values})
        self._surely(lambda: self._redis.rpush(REPORTS, text))

    def _hold(self, lock: str, over: threading.Event) -> None:
        """Keep a lock for as long as this process lives and its song is not over."""
        from xumx.serve.broker import HEARTBEAT

        while not over.wait(HEARTBEAT / 5):
            try:
                self._redis.pexpire(lock, round(1000 * HEARTBEAT))
            except self._errors():
                pass

    def _surely(self, do: Callable[[], Any]) -> None:
        """Do it as soon as the broker answers."""
        while True:
            try:
                do()
                return
            except self._errors():
                time.sleep(1)

    def _errors(self) -> Any:
        import redis

        return redis.ConnectionError, redis.TimeoutError


if __name__ == "__main__":
    main()
