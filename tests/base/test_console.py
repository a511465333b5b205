"""Lines and bars, on terminals and elsewhere."""

import io
import subprocess
import sys
import warnings

import pytest

from xumx.base import console
from xumx.base.console import Bar, complain, printable, say


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("total", [None, 0, 3, 9.8, 10, 200], ids=str)
def test_a_bar_survives_any_total(monkeypatch, total):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Bar(total, "a {song} %s", unit="s") as bar:
            for _ in range(10):
                bar.update(1.01)
                say("a line")
            bar.label("page")
            bar.correct(-1000)
            bar.update(0.5)
    shown = sys.stderr.getvalue()
    assert "a {song} %s" in shown and "page" in shown
    assert ("100%" in shown) == bool(total), "as much as there turned out to be"


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when a test says so."""
    seconds = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: seconds[0])
    return seconds


def test_elsewhere_a_bar_is_a_line_a_minute(clock, capsys):
    with Bar(1000, "tracks\x1b", unit="tracks") as bar:
        for step in range(1000):
            clock[0] = 0.2 * step  # 200 s in all
            bar.note(f"step {step}")
            bar.update()
            if step == 500:
                say("a line of its own")
    said = capsys.readouterr()
    assert said.out == "a line of its own\n"
    lines = said.err.splitlines()
    assert len(lines) == 4 and "\r" not in said.err and "\x1b" not in said.err, said.err
    assert lines[0] == "tracks\\x1b:  30% 301/1000 tracks [01:00<02:19, step 300]"
    assert lines[-1] == "tracks\\x1b: 100% 1000/1000 tracks [03:19<00:00, step 999]"


@pytest.mark.parametrize(
    "options, line",
    [
        ({"total": None, "unit": "s"}, "8 s [01:01]"),  # no length is known
        ({"total": 3, "unit": "s"}, "100% 8/8 s [01:01<00:00]"),  # the length was guessed too small
        ({"total": 10, "unit": "s", "done": 2}, "95% 10/10 s [01:01<00:04]"),
        ({"total": 15}, "50%"),
        ({"total": 15, "unit": "B", "scale": True}, "50% 7.50/15.0 B [01:01<01:01]"),
        ({"total": 8, "quiet": True}, ""),
    ],
)
def test_a_line_of_any_total(clock, capsys, options, line):
    with Bar(**options) as bar:
        clock[0] = 61
        bar.update(7.5)
    assert capsys.readouterr().err == line + "\n" * bool(line), "and the last comes once"


@pytest.mark.parametrize("leave, lines", [(True, ["33%", "100%"]), (False, ["33%"])])
def test_a_last_line_ends_others(clock, capsys, leave, lines):
    for _ in Bar(3).over("abc"):
        pass
    assert capsys.readouterr() == ("", ""), "short works end in what they print"
    with Bar(3, leave=leave) as bar:
        clock[0] = 61
        bar.update()
        bar.update(2)
    assert capsys.readouterr().err.splitlines() == lines


def test_what_is_iterated_over_comes_through(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert list(Bar(3, "numbers", unit="numbers").over([3, 1, 2])) == [3, 1, 2]
    assert "numbers: 100%|" in sys.stderr.getvalue() and "3/3 numbers" in sys.stderr.getvalue()


def test_a_bar_says_what_it_waits_for_in_the_room_that_there_is(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Bar(3, "a song " * 20, unit="s", leave=False) as bar:
        bar.wait("page 50%")
        bar.update()
        bar.wait()
        bar.label("next")
    shown = sys.stderr.getvalue()
    assert "a song a song a song a song a…, page 50%:   0%|" in shown and "next:  33%|" in shown


def test_a_bar_appears_after_its_delay(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert list(Bar(3, delay=60).over("abc")) == ["a", "b", "c"] and not sys.stderr.getvalue()


def test_no_stderr_is_quiet(monkeypatch, capsys):
    monkeypatch.setattr(console, "PERIOD", 0.0)
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed):
        monkeypatch.setattr(sys, "stderr", stream)
        assert list(Bar(2).over("ab")) == ["a", "b"]
    assert capsys.readouterr() == ("", "")


def test_lines_steer_no_terminal(capsys):
    name = "a\x1b[31m\r\n\x9b2J\u202emp3.exe Größe 音"
    assert printable(name) == "a\\x1b[31m\\r\\n\\x9b2J\\u202emp3.exe Größe 音"
    say(name)
    complain(name)
    assert capsys.readouterr() == (printable(name) + "\n",) * 2


@pytest.mark.parametrize("how", ["say('line')", "print('line')"])
def test_a_full_stdout_is_one_line(how):
    code = f"""
import sys
from xumx.base.cli import run
from xumx.base.console import complain, say
def main(argv):
    for _ in range(3):
        {how}
        complain("work")
    return 0
sys.exit(run(main))
"""
    with open("/dev/full", "w") as stdout:
        done = subprocess.run([sys.executable, "-c", code], stdout=stdout, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    *work, line = done.stderr.splitlines()
    assert work == (["work"] * 3 if how.startswith("say") else [])
    assert line.startswith("error: ") and "No space left on device" in line


def test_nothing_is_written_where_a_closed_stream_was(tmp_path):
    code = f"""
import os, sys
from xumx.base.cli import run
from xumx.base.console import Bar, complain, say
def main(argv):
    file = open({str(tmp_path / "data")!r}, "w")
    say("said"), complain("complained"), os.write(2, b"of a library"), print("printed")
    with Bar(3) as bar: bar.update()
    return 0
code = run(main)
sys.exit(code)
"""
    done = subprocess.run(["sh", "-c", '"$0" -c "$1" <&- >&- 2>&-', sys.executable, code])
    assert done.returncode == 0
    assert (tmp_path / "data").read_bytes() == b""
