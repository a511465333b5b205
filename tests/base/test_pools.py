from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from xumx.base.pools import prefetch


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("xumx-ahead")]


@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize("ahead", [0, 1, 7])
def test_results_come_in_order(workers: int, ahead: int) -> None:
    delays = np.random.default_rng(0).uniform(0, 2e-3, 30)

    def work(item: int) -> int:
        time.sleep(delays[item])
        return item * item

    results = list(prefetch(work, range(30), workers=workers, ahead=ahead))
    assert results == [item * item for item in range(30)]
    assert not threads()


@pytest.mark.parametrize("workers, ahead", [(1, 3), (3, 5)])
def test_endless_items_are_taken_only_so_far_ahead(workers: int, ahead: int) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in itertools.count(1):
            taken = number
            yield number

    results = prefetch(abs, items(), workers=workers, ahead=ahead)
    for used in range(1, 10):
        assert next(results) == used
        assert taken == used + ahead
    results.close()
    assert not threads()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_is_raised_in_its_place_and_ends_the_threads(workers: int) -> None:
    results = prefetch(lambda item: 6 // (3 - item), range(9), workers=workers, ahead=4)
    assert [next(results) for _ in range(3)] == [2, 3, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert not threads()


def test_closing_leaves_undone_what_was_not_begun() -> None:
    begun: list[int] = []
    go = threading.Event()

    def work(item: int) -> int:
        begun.append(item)
        if item > 0:
            go.wait(10)
        return item

    results = prefetch(work, range(100), workers=1, ahead=50)
    assert next(results) == 0
    threading.Timer(0.05, go.set).start()
    results.close()
    assert begun[:2] == [0, 1][: len(begun)] and len(begun) <= 2 and not threads()
