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


def test_elsewhere_a_bar_is_a_line_now_and_then(monkeypatch, capsys):
    with Bar(100, "songs", unit="songs") as bar:
        for _ in bar.over(range(50)):
            pass
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(console, "PERIOD", 0.0)
    with Bar(100, "songs\x1b", unit="songs") as bar, Bar(None, unit="s") as other, Bar(2) as share:
        bar.update(2)
        other.update(3.2)
        share.update(1)
    assert capsys.readouterr().err.splitlines() == ["songs\\x1b: 2 of 100 songs", "3 s", "50%"]
    with Bar(100, quiet=True) as bar:
        bar.update()
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
