"""``python -m xumx.serve.local``: a process of the server's, which takes songs from its database.

It may die at any moment, by a hostile file too: the server sees it, and queues its song again.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from xumx.base.errors import XumxError
from xumx.base.log import shown
from xumx.serve.child import begin, end_with_parent
from xumx.serve.perform import Task, perform
from xumx.serve.store import Gone, Job, Store

PATIENCE = 0.2
"""Seconds between two looks at a queue that is empty."""

OFTEN = 0.1
"""Seconds between two writes of progress."""


def main() -> None:
    order, _ = begin()
    end_with_parent()
    if hasattr(os, "nice"):
        os.nice(5)  # so that the server answers while it separates
    store = Store(Path(order["folder"]))
    limits = {name: order[name] for name in ("longest", "models", "model_dir")}
    with shown():
        while True:
            job = store.claim(order["worker"])
            if job is None:
                time.sleep(PATIENCE)
            else:
                _work(store, job, limits)


def _work(store: Store, job: Job, limits: dict) -> None:
    task = Task(job.id, job.name, job.file, job.options, str(job.attempt), **limits)
    said = 0.0, ""

    def tell(stage: str, done: float, total: float | None, progress: float, seconds: float) -> None:
        nonlocal said
        now = time.monotonic()
        if stage != said[1] or not stage or now - said[0] >= OFTEN:
            said = now, stage
            store.tell(job, stage, done, total, progress, seconds)

    place = store.place(job)
    try:
        try:
            result = perform(task, place, tell)
        except XumxError as error:
            store.fail(job, str(error))
        else:
            store.finish(job, result.stems, result.seconds)
    except Gone:
        store.tidy(job)


if __name__ == "__main__":
    main()
