"""Work done ahead of its use, in the order in which it was asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

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
