"""Work done by threads ahead of its use, and by processes that end with the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int, ahead: int
) -> Generator[Result, None, None]:
    """``map(function, items)`` by threads that stay up to ``ahead`` items before the reader.

    Threads, since decoders and large array operations leave the interpreter to others. Results come in
    the order of ``items``, so that they do not depend on ``workers``; an error is raised where its result
    would have come. Closing the iterator, or an interrupt, ends the threads after the items they are at.

    Parameters
    ----------
    function : callable
        Called in the threads, so it must not change shared state.
    items : iterable
        Taken only as they are needed; may be endless.
    workers : int
        Threads; 0 does the work in the calling one, at the time of its use.
    ahead : int
        Results that are kept or under way beside the one asked for: bounds the memory.
    """
    if workers == 0:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="xumx-ahead") as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@contextmanager
def process_pool(
    processes: int, start: Callable[..., None] | None = None, args: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """Spawned processes: they end at once when an exception passes, and when this process is killed.

    Parameters
    ----------
    processes : int
    start : callable, optional
        Called with ``args`` in each of them first. Both can be pickled.
    """
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(processes, context, _begin, (start, args))
    try:
        yield pool
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(start: Callable[..., None] | None, args: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if start is not None:
        start(*args)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
