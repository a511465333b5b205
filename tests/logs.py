"""What the library warns of, as tests look at it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def warned(match: str) -> Iterator[list[str]]:
    """The warnings that are logged in the block, one of which must match."""
    with _kept() as messages:
        yield messages
    assert any(re.search(match, message) for message in messages), messages


def silent(call: Callable[[], T]) -> T:
    """The call's result; warnings are failures."""
    with _kept() as messages:
        result = call()
    assert not messages
    return result


@contextmanager
def _kept() -> Iterator[list[str]]:
    logger, handler = logging.getLogger("xumx"), _Kept()
    logger.addHandler(handler)
    try:
        yield handler.messages
    finally:
        logger.removeHandler(handler)
