"""``xumx``: all commands under one name."""

import json
import subprocess
import sys

import pytest

from xumx import __version__
from xumx.__main__ import COMMANDS, main


def said(capfd, *argv):
    """Exit code, and lines on stdout and stderr."""
    try:
        code = main(list(argv))
    except SystemExit as stop:
        code = stop.code
    out, err = capfd.readouterr()
    return code, out.splitlines(), err.splitlines()


def test_help_names_every_command_in_80_columns(capfd):
    for argv in ((), ("--help",)):
        code, out, err = said(capfd, *argv)
        assert (code, err) == (0, []) and max(map(len, out)) <= 100
        assert all(any(line.split()[:1] == [name] for line in out) for name in COMMANDS)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "demo"])
def test_each_command_is_called_by_its_name(name, capfd):
    code, out, err = said(capfd, name, "--help")
    assert (code, err) == (0, []) and out[0].startswith(f"usage: xumx {name}")


def test_the_version(capfd):
    assert said(capfd, "--version") == (0, [f"xumx {__version__}"], [])


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["seperate", "song.mp3"], "did you mean separate?"),
        (["song.mp3"], "separate"),
        (["separate", __file__, "-n", "x-unx"], "'x-umx'"),
        (["separate", "--targets", "vocals", "song.mp3"], "write -- first"),
        (["separate", "nothing.mp3", "-n", "demo", "--mix", "drums"], "drums=0"),
        (["separate", "nothing.mp3", "-n", "demo", "-f", "stem.mp4", "--report"], "--report"),
        (["separate", "nothing.mp3", "-n", "demo", "--remux", "--start", "3"], "--start"),
        (["separate", "nothing.mp3", "-n", "demo", "--json", "--quiet"], "--json"),
        (["completion", "fish"], "'fish'"),
    ],
)
def test_wrong_usage_is_one_line(argv, text, capfd):
    code, out, err = said(capfd, *argv)
    assert (code, out, len(err)) == (2, [], 1) and text in err[0], err


def test_the_short_help_and_the_whole(capfd):
    _, short, _ = said(capfd, "separate", "--help")
    _, whole, _ = said(capfd, "separate", "--help-all")
    assert len(short) <= 50 < len(whole) and max(map(len, short)) <= 80
    text, all_of_it = " ".join(short), " ".join(whole)
    assert "--outdir" in text and "--chunk-dur" not in text and "--chunk-dur" in all_of_it
    assert "xumx separate song.mp3" in text and "--help-all" in text


def test_a_song_may_stand_behind_the_model(capfd):
    code, _, err = said(capfd, "separate", "-n", "demo", "no song.mp3", "-o", "nowhere")
    assert code == 1 and err == ["error: no song.mp3: no such file or folder"]


def test_models_are_told_with_all_that_is_known(capfd):
    code, out, err = said(capfd, "models")
    assert (code, err) == (0, []) and max(map(len, out)) <= 80
    assert any(line.startswith("demo (comes with xumx") for line in out)
    _, lines, _ = said(capfd, "models", "--json", "--model-dir", "no such folder")
    records = {record["name"]: record for record in map(json.loads, lines)}
    assert records["umxl"]["licence"] == "CC BY-NC-SA 4.0" and not records["umxl"]["here"]
    assert records["demo"]["here"] and records["x-umx"]["sdr"]["vocals"] == 6.61


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_shells_complete_options(shell, capfd):
    code, out, _ = said(capfd, "completion", shell)
    text = "\n".join(out)
    assert code == 0 and "two-stems" in text and ("help-all" in text or "hidden-size" in text)


def test_the_script_of_bash_is_one():
    command = [sys.executable, "-m", "xumx", "completion", "bash"]
    script = subprocess.run(command, capture_output=True, text=True)
    asked = 'COMP_WORDS=(xumx separate --two); COMP_CWORD=2; _shtab_xumx; echo "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", f"{script.stdout}\n{asked}"], capture_output=True, text=True)
    assert done.stdout.split() == ["--two-stems"], done.stderr
