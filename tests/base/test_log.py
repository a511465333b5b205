"""What the library logs, as commands show it."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from xumx.base import log
from xumx.base.cli import run
from xumx.base.errors import XumxError

logger = logging.getLogger("xumx.data.track")


def shown(work: Callable[[], Any], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines of a command that does some work."""
    assert run(lambda argv: work() or 0) == 0
    said = capsys.readouterr()
    assert not said.out
    return said.err.splitlines()


def test_rank_0_shows_each_subject_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(number: int) -> None:
        for _ in range(2):
            logger.warning("seen by %d", number, extra={"subject": "a track"})
            logger.warning("the same for %s", "all")
        logger.info("no warning")
        logger.error("failed")
        if number:
            logger.warning("only %d", number)

    def rank(number: int) -> list[log.Line]:
        taken: list[log.Line] = []
        monkeypatch.setenv("PMI_SIZE", "3")
        monkeypatch.setenv("PMI_RANK", str(number))
        assert shown(lambda: taken.extend([work(number), *log.take()][1:]), capsys) == []
        return taken

    ranks = [rank(number) for number in (1, 2)]
    monkeypatch.setenv("PMI_RANK", "0")
    assert shown(lambda: [work(0), *map(log.show, ranks)].clear(), capsys) == [
        "warning: seen by 0",
        "warning: the same for all",
        "error: failed",
        "error: failed",
        "warning: only 1",
        "error: failed",
        "warning: only 2",
    ]


def test_what_rank_0_did_not_take_is_shown_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setenv("PMI_RANK", "1")
    assert shown(lambda: logger.warning("late"), capsys) == ["warning: late"]


def test_the_log_is_as_before_when_a_command_has_ended(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        log.only_errors()
        logger.warning("not shown")
        warnings.warn("of somebody else", stacklevel=1)

    root = logging.getLogger("xumx")
    before = root.handlers[:], root.level, root.propagate
    assert shown(work, capsys) == [] and not caplog.messages
    assert (root.handlers, root.level, root.propagate) == before
    assert shown(lambda: logger.warning("shown"), capsys) == ["warning: shown"]


def test_warnings_of_a_search_come_with_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    def search() -> list[str]:
        logger.warning("a is broken")
        logger.warning("b is broken")
        return ["c"]

    def fail() -> None:
        search()
        raise XumxError("nothing is left")

    assert log.with_warnings(search) == (["c"], ["a is broken", "b is broken"])
    with pytest.raises(XumxError, match=r"^nothing is left; the first: a is broken$"):
        log.with_warnings(fail)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("level", ["", "info", "debug"])
def test_other_records_are_for_those_who_ask(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], level: str
) -> None:
    def work() -> None:
        logger.info("asked for")
        try:
            raise ValueError("inside")
        except ValueError:
            logger.debug("more", exc_info=sys.exc_info())

    monkeypatch.setenv("XUMX_LOG", level)
    lines = shown(work, capsys)
    assert ("INFO:xumx.data.track:asked for" in lines) == bool(level)
    assert ("ValueError: inside" in lines) == (level == "debug")
