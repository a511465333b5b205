"""``python -m bench.stages SONG MODEL OUTDIR``: where xumx spends its CPU time.

Separates a song in this process, with a clock around the functions that :mod:`xumx.separation.separator` and
:mod:`xumx.separation.song` call. Prints JSON: stages (CPU seconds by name), wall, cpu.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from bench.common import cores


class Stages:
    """CPU seconds by stage, over all threads; a stage within another is taken out of the outer one.

    Parameters
    ----------
    clock : callable
        CPU seconds of the calling thread.

    Attributes
    ----------
    seconds : dict of str to float
    """

    def __init__(self, clock: Callable[[], float] = time.thread_time) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._clock = clock
        self._local = threading.local()
        self._lock = threading.Lock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Charge the time of the block to ``name``."""
        names = self._local.__dict__.setdefault("names", [])
        self._charge(names)
        names.append(name)
        try:
            yield
        finally:
            self._charge(names)
            names.pop()

    def _charge(self, names: list[str]) -> None:
        now = self._clock()
        if names:
            with self._lock:
                self.seconds[names[-1]] += now - self._local.since
        self._local.since = now

    def function(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function`` with its calls charged to ``name``."""

        @wraps(function)
        def timed(*args: Any, **options: Any) -> Any:
            with self.stage(name):
                return function(*args, **options)

        return timed

    def generator(self, name: str, function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """A generator function with the making of its items charged to ``name``."""

        @wraps(function)
        def timed(*args: Any, **options: Any) -> Iterator[Any]:
            items = function(*args, **options)
            while True:
                with self.stage(name):
                    try:
                        item = next(items)
                    except StopIteration:
                        return
                yield item

        return timed


def main(song: Path, model: Path, folder: Path) -> dict[str, Any]:
    """Separate ``song`` and tell the CPU seconds of each stage."""
    from xumx.audio import Writer
    from xumx.separation import separator as room
    from xumx.separation import song as files
    from xumx.separation.naming import Output

    stages = Stages()
    stages.seconds["start and imports"] = imported = time.process_time()
    # One thread a chunk: then a stage's time is that of the thread that runs it.
    separator = room.Separator(model, threads=min(cores(), 2))
    stages.seconds["load weights and filter"] = time.process_time() - imported

    calls: list[tuple[Any, str, str]] = [
        (files, "decode", "decode"),
        (room, "split", "cut and blend"),
        (room, "blend", "cut and blend"),
        (files._Spool, "rescaled", "hold until the peak is known"),
    ]
    for owner, attribute, name in calls:
        setattr(owner, attribute, stages.generator(name, getattr(owner, attribute)))
    calls = [
        (room, "stft", "STFT"),
        (type(separator._networks), "__call__", "network"),
        (room.Filter, "__init__", "Wiener filter"),
        (room.Filter, "_estimates", "Wiener filter"),
        (room.Inverse, "add", "ISTFT"),
        (room.Inverse, "write", "ISTFT"),
        (room.Separator, "_separate", "magnitudes and copies"),
        (files._Spool, "write", "hold until the peak is known"),
        (Writer, "write", "encode"),
        (Writer, "close", "encode"),
    ]
    for owner, attribute, name in calls:
        setattr(owner, attribute, stages.function(name, getattr(owner, attribute)))

    output = Output(str(folder))
    (paths,) = output.paths([song], separator.stems, model.stem)
    began = time.perf_counter()
    files.separate_song(separator, song, paths, output)
    wall, cpu = time.perf_counter() - began, time.process_time()
    stages.seconds["the rest"] = cpu - sum(stages.seconds.values())
    return {"stages": dict(stages.seconds), "wall": wall, "cpu": cpu}


if __name__ == "__main__":
    print(json.dumps(main(*map(Path, sys.argv[1:4]))))
