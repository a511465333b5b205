"""Arguments as shells and files hand them over."""

import os
import subprocess
import sys

import pytest

from xumx.base.cli import LONGEST, Parser, run
from xumx.base.errors import XumxError


def parse(*arguments):
    parser = Parser(prog="command")
    parser.add_argument("--inputs", nargs="+")
    parser.add_argument("--niter", type=int, default=1)
    parser.add_argument("-c", choices=("cpu",))
    return parser.parse_args(list(arguments))


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        parse(*arguments)
    (line,) = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2 and line.startswith("error: ")
    return line


def test_files_of_options(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    odd = os.fsdecode(b"\xff.mp3")
    (tmp_path / "songs.txt").write_bytes(b"\xef\xbb\xbf# all\r\n'a b.mp3' \xff.mp3\r\n")
    (tmp_path / "all.txt").write_text("--inputs @songs.txt ./@c.mp3  # three\n--niter 0\n")
    assert parse("@all.txt").inputs == ["a b.mp3", odd, "./@c.mp3"]
    assert parse("@all.txt", "--niter", "3").niter == 3, "what comes later wins"
    read, write = os.pipe()
    os.write(write, b"--niter 7")
    os.close(write)
    assert parse(f"@/dev/fd/{read}").niter == 7
    os.close(read)


@pytest.mark.parametrize(
    "content, words",
    [
        (bytes(range(256)) * 9, "it is no text"),
        ("--niter 1".encode("utf-16"), "it is no text"),
        (b"--niter 0 @home.mp3", "name each other in a circle"),
        (b"--niter '0", "No closing quotation"),
        (b"x " * (LONGEST // 2 + 1), "more than 1 MB"),
    ],
    ids=["bytes", "utf-16", "circle", "quote", "long"],
)
def test_a_song_called_at_something_is_told_from_a_file_of_options(
    tmp_path, monkeypatch, capsys, content, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home.mp3").write_bytes(content)
    line = refused(capsys, "--inputs", "@home.mp3")
    assert words in line and "@home.mp3" in line
    assert ("write ./@home.mp3" in line) == ("quotation" not in words)


def test_files_of_options_without_end(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "1 MB" in refused(capsys, "@/dev/zero")
    assert "directory" in refused(capsys, f"@{tmp_path}")
    for depth in range(100):
        (tmp_path / f"{depth}").write_text(f"@{depth + 1}")
    assert "too deep" in refused(capsys, "@0")
    for depth in range(15):  # 15 ** 15 of them
        (tmp_path / f"{depth}").write_text(f"@{depth + 1} " * 15)
    (tmp_path / "15").write_text("")
    assert "1 MB" in refused(capsys, "@0")


def test_a_file_that_looks_like_an_option(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("-song.mp3", "-cover.mp3"):
        (tmp_path / name).touch()
        assert f"write ./{name}" in refused(capsys, "--inputs", name)
    assert "./-none" not in refused(capsys, "--inputs", "-none.mp3")


def test_errors_steer_no_terminal(capsys):
    assert "\\x1b[31m" in refused(capsys, "--niter", "\x1b[31mred")

    def fail(argv):
        raise XumxError("\x1b]0;title\x07.mp3: is no audio file")

    assert run(fail) == 1
    assert capsys.readouterr().err == "error: \\x1b]0;title\\x07.mp3: is no audio file\n"


@pytest.mark.parametrize(
    "name, line", [("y" * 300, "File name too long"), ("file/below", "Not a directory")], ids=["long", "file"]
)
def test_a_path_that_nobody_looked_after_is_one_line(tmp_path, monkeypatch, capsys, name, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert run(lambda argv: len(os.listdir(name))) == 1
    assert capsys.readouterr().err == f"error: {name}: {line}\n"


def test_tracebacks_are_for_those_who_ask():
    code = "import sys; from xumx.base.cli import run; sys.exit(run(lambda argv: open('nothing')))"
    for level, shown in (("", False), ("debug", True)):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={**os.environ, "XUMX_LOG": level},
        )
        assert done.returncode == 1 and "error: nothing: No such file or directory" in done.stderr
        assert ("Traceback" in done.stderr) == shown
