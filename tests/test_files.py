from __future__ import annotations

import os
import subprocess
import sys

import pytest

from xumx.errors import UsageError
from xumx.files import locked

HOLD = """
import sys, time
from pathlib import Path
from xumx.files import locked
with locked(Path(sys.argv[1])):
    print("in", flush=True)
    time.sleep(60)
"""


def test_a_folder_is_one_process_s_until_it_ends(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "in\n"
        with pytest.raises(UsageError, match=f"{tmp_path} is in use by process {other.pid} on ") as caught:
            locked(tmp_path).__enter__()
        assert "\n" not in str(caught.value)
        other.kill()
        other.wait()
    assert os.listdir(tmp_path) == [".lock"], "of a process that was killed"
    with locked(tmp_path):
        assert str(os.getpid()) in (tmp_path / ".lock").read_text()
        with pytest.raises(UsageError, match="in use"), locked(tmp_path):
            pass
    assert not os.listdir(tmp_path)


def test_the_lock_is_of_the_file_that_is_there(tmp_path, monkeypatch):
    """Another process removes the file, at its end, between our opening and our locking of it."""
    import fcntl

    lock, removed = fcntl.flock, []

    def late(file, how):
        lock(file, how)
        if not removed:
            removed.append((tmp_path / ".lock").unlink())

    monkeypatch.setattr(fcntl, "flock", late)
    with locked(tmp_path):
        monkeypatch.undo()
        with pytest.raises(UsageError, match="in use"), locked(tmp_path):
            pass
