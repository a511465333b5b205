"""What makes room: songs that are done, the oldest first."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from xumx.base.files import size
from xumx.serve.store import Job, Store

logger = logging.getLogger(__name__)

_DAY = 86400.0


class Cleaner:
    """Removes songs by age and by space.

    Parameters
    ----------
    store : Store
    keep : float, optional
        Days after which a song that is done goes.
    max_disk : int, optional
        Bytes that songs and their stems may take.
    say : callable (text)
        Told of each song that goes.
    """

    def __init__(
        self, store: Store, keep: float | None, max_disk: int | None, say: Callable[[str], None]
    ) -> None:
        self._store, self._keep, self._max, self._say = store, keep, max_disk, say

    def clean(self, coming: int = 0) -> bool:
        """Remove what has to go so that so many bytes more can come; whether there is room for them."""
        over = sorted((job for job in self._store.all() if job.over), key=lambda job: job.finished or 0.0)
        if self._keep is not None:
            limit = time.time() - self._keep * _DAY
            for job in [job for job in over if (job.finished or 0.0) < limit]:
                self._remove(job, f"it was done more than {self._keep:g} days ago")
                over.remove(job)
        if self._max is None:
            return True
        used = _used(self._store.jobs) + _used(self._store.incoming) + coming
        while used > self._max and over:
            job = over.pop(0)
            used -= _used(self._store.place(job))
            self._remove(job, f"the oldest, so that all stays below {size(self._max)}")
        return used <= self._max

    def _remove(self, job: Job, why: str) -> None:
        if self._store.remove(job):
            self._say(f"{job.name} was removed: {why}")


def _used(folder: Path) -> int:
    """Bytes of the files in a folder and those below it."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(FileNotFoundError):  # it has just gone
                total += os.lstat(os.path.join(place, name)).st_size
    return total
