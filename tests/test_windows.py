"""Separation, its page, the demo and the list of networks with nothing of what only POSIX has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.networks import music
from xumx import audio

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or sys.version_info < (3, 11),
    reason="once is enough; tests/windows.py asks /proc",
)


def on_windows(folder: Path, *commands: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Call commands of xumx in this folder, whose temporary files lie there too."""
    told = {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "cp1252", "TMPDIR": str(folder)}
    program = [sys.executable, "-X", "warn_default_encoding", "-m", "tests.windows", json.dumps(commands)]
    return subprocess.run(program, cwd=folder, env={**os.environ, **told}, capture_output=True, **options)


def test_separation_needs_nothing_of_posix(tmp_path: Path) -> None:
    with audio.Writer(tmp_path / "song.wav", 44100) as writer:
        writer.write(music(2))
    separate = ["separate", "-n", "demo"]
    done = on_windows(
        tmp_path,
        [*separate, "song.wav", "-o", "stems", "-f", "mp3", "--report"],
        [*separate, "*.wav", "-o", "stems", "-f", "mp3", "--clip-mode", "rescale", "--skip-done"],
        [*separate, "-", "-o", "piped", "--mix", "drums=0", "--json"],
        ["models"],
        ["demo", "--duration", "2", "--no-open", "--out", "heard"],
        input=(tmp_path / "song.wav").read_bytes(),
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode("cp1252")
    sources = ("bass", "drums", "other", "vocals")
    for name in sources:
        for file in (f"stems/{name}.mp3", f"piped/{name}.wav", f"heard/stems/{name}.wav"):
            assert audio.probe(tmp_path / file).duration == pytest.approx(2, abs=0.1), file
    for page in ("stems", "heard"):
        assert (tmp_path / page / "index.html").is_file()
    assert b"done already" not in done.stdout  # other options are another request
    assert not list(tmp_path.glob(".xumx-*"))  # the graph of the network is kept in the cache
    again = on_windows(tmp_path, [*separate, "song.wav", "-o", "stems", "-f", "mp3", "--quiet"])
    assert (again.returncode, again.stdout, again.stderr) == (0, b"", b"")
