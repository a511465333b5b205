"""Progress on a terminal and in a log."""

from __future__ import annotations

import io

import pytest

from xumx.base import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_has_plain_lines_and_few(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with progress.bar(total=1000, desc="tracks", unit="track") as bar:
        for step in range(1000):
            clock[0] = 0.2 * step  # 200 s in all
            bar.set_postfix_str(f"step {step}")
            bar.update()
            if step == 500:
                bar.write("warning: a line of its own")
    said = capsys.readouterr()
    assert said.out == "warning: a line of its own\n"
    lines = said.err.splitlines()
    assert len(lines) == 4 and "\r" not in said.err and "\x1b" not in said.err, said.err
    assert all(line.startswith("tracks: ") for line in lines)
    assert "1000/1000" in lines[-1] and "step 999" in lines[-1]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"total": None, "unit": "s", "bar_format": "{n:.0f}/{total:.0f}"}, "7.5s"),  # no length is known
        ({"total": 3, "unit": "s"}, "7.5s"),  # the length was guessed too small
        ({"total": 8, "leave": False}, ""),
        ({"total": 8, "quiet": True}, ""),
    ],
)
def test_a_log_bears_any_total(options: dict, wanted: str, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bar(**options) as bar:
        bar.update(7.5)
    said = capsys.readouterr().err
    assert wanted in said and said.count("\n") == bool(wanted), said


def test_the_last_line_comes_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with progress.bar(total=1) as bar:
        clock[0] = 1.5 * progress.EVERY
        bar.update()
        bar.refresh()
    assert capsys.readouterr().err.count("1/1") == 1


def test_what_is_iterated_over_comes_through(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress.bar([3, 1, 2], "numbers")) == [3, 1, 2]
    assert "3/3" in capsys.readouterr().err


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", screen)
    with progress.bar(total=3) as bar:
        bar.update(3)
    assert "\r100%|" in screen.getvalue()


def test_no_stderr_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (None, io.StringIO()):
        if stream:
            stream.close()
        monkeypatch.setattr(progress.sys, "stderr", stream)
        with progress.bar(total=2) as bar:
            bar.update(2)
