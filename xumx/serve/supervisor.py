"""Processes that are started again when they die."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from xumx.base.cores import threads

logger = logging.getLogger(__name__)

STUCK = 600.0
"""Seconds after which a worker that has said nothing of its song is ended."""

_EACH = 0.1  # seconds from one look at the processes to the next
_LONGEST_PAUSE = 10.0  # before one that dies at once is started again
_YOUNG = 5.0


class Supervisor:
    """Keeps workers alive, in a thread of its own.

    Parameters
    ----------
    module : str
        What they run, as ``python -m`` does.
    order : dict
        What each gets as its first line on stdin, with ``worker``, its name.
    count : int
    died : callable (worker, crashed)
        Called with the name of one that has died, and whether it did so by itself, not killed by another.
    stuck : callable (worker, since)
        Whether it has said nothing of its song since a time.
    """

    def __init__(
        self,
        module: str,
        order: dict[str, Any],
        count: int,
        died: Callable[[str, bool], None] = lambda worker, crashed: None,
        stuck: Callable[[str, float], bool] = lambda worker, since: False,
    ) -> None:
        self._module, self._order, self._count = module, order, count
        self._died, self._stuck = died, stuck
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="xumx-workers")

    def __enter__(self) -> Supervisor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _watch(self) -> None:
        children = [_Child() for _ in range(self._count)]
        looked = time.monotonic()
        try:
            while not self._ending.wait(_EACH):
                look = time.monotonic() - looked > 10
                looked = time.monotonic() if look else looked
                for child in children:
                    self._see_to(child, look)
        finally:
            for child in children:
                child.end()

    def _see_to(self, child: _Child, look: bool) -> None:
        now = time.monotonic()
        if child.process is None:
            if now >= child.due:
                child.start(self._module, self._order, self._count)
            return
        if look and self._stuck(child.name, time.time() - STUCK):
            logger.warning("a worker that has done nothing for %.0f s is ended", STUCK)
            child.process.kill()
            child.was_stuck = True
        code = child.process.poll()
        if code is not None:
            logger.warning("a worker has ended (%s); another takes its place", code)
            child.died(now)
            self._died(child.name, code != -signal.SIGKILL or child.was_stuck)


class _Child:
    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None
        self.name = ""
        self.due = 0.0
        self.was_stuck = False
        self._began, self._pause = 0.0, 0.1

    def start(self, module: str, order: dict[str, Any], count: int) -> None:
        self.name, self.was_stuck = uuid.uuid4().hex, False
        # A share of the cores for each.
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads(count))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", module], stdin=subprocess.PIPE, text=True, env=environment
        )
        self._began = time.monotonic()
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({**order, "worker": self.name}) + "\n")
            self.process.stdin.flush()
        except OSError:
            pass  # it has died already, which is seen next

    def died(self, now: float) -> None:
        self._pause = min(2 * self._pause, _LONGEST_PAUSE) if now - self._began < _YOUNG else 0.1
        self.due, self.process = now + self._pause, None

    def end(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
