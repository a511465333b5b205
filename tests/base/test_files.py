from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from xumx.audio import Writer
from xumx.base.errors import UsageError, WriteError
from xumx.base.files import ASIDE, aside, locked, replacing

HOLD = """
import sys, time
from pathlib import Path
from xumx.base.files import locked
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
        if not removed:
            removed.append((tmp_path / ".lock").unlink())
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with locked(tmp_path):
        monkeypatch.undo()
        with pytest.raises(UsageError, match="in use"), locked(tmp_path):
            pass


def test_file_systems_without_locks_let_everyone_in(tmp_path, monkeypatch):
    import fcntl

    def refuse(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path), locked(tmp_path), replacing(tmp_path / "one") as one, replacing(tmp_path / "two"):
        (one.parent.parent / "two").touch()
        one.touch()
        (next(p for p in tmp_path.glob(f"{ASIDE}*") if p != one.parent) / "two").touch()
    assert sorted(os.listdir(tmp_path)) == ["one", "two"]


def test_a_folder_that_cannot_be_written_is_not_taken_for_one_without_locks(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="cannot be written"), locked(tmp_path / "file"):
        pass


def test_a_lock_is_released_by_another_thread(tmp_path):
    context = aside(tmp_path)
    context.__enter__()
    thread = threading.Thread(target=context.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    assert not os.listdir(tmp_path)


UNFINISHED = """
import os, sys
from xumx.base.files import replacing
with replacing(sys.argv[1]) as new:
    new.write_text("half")
    print(new.parent, flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_is_removed_and_what_others_hold_is_not(tmp_path):
    def start():
        command = [sys.executable, "-c", UNFINISHED, str(tmp_path / "page.html")]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return child, child.stdout.readline().strip()

    (killed, left), (alive, held) = start(), start()
    killed.kill()
    killed.wait()
    assert sorted(map(str, tmp_path.iterdir())) == sorted([left, held])
    (tmp_path / f"{ASIDE}mine").mkdir()  # no lock: not ours to judge
    with replacing(tmp_path / "other.txt") as new:
        new.write_text("whole")
        assert {held, str(new.parent), str(tmp_path / f"{ASIDE}mine")} == set(map(str, tmp_path.iterdir()))
    alive.communicate()
    assert sorted(os.listdir(tmp_path)) == [f"{ASIDE}mine", "other.txt", "page.html"]


def test_a_folder_that_was_taken_for_a_forsaken_one_is_made_again(tmp_path, monkeypatch):
    """Another process removes it between our making and our locking of it."""
    import fcntl

    lock, lost = fcntl.flock, []

    def late(file, how):
        if not lost:
            lost.extend(map(str, tmp_path.iterdir()))
            shutil.rmtree(lost[0])
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with aside(tmp_path) as place:
        assert place.is_dir() and (place / ".lock").exists() and len(lost) == 1
    assert not os.listdir(tmp_path)


def test_a_name_as_long_as_can_be(tmp_path):
    with replacing(tmp_path / ("n" * 255)) as new:
        new.write_text("text")
    assert os.listdir(tmp_path) == ["n" * 255]


def test_stems_of_a_killed_process_go_with_the_next_run(tmp_path):
    code = """
import os, signal, sys
import numpy as np
from xumx.audio import Writer
writer = Writer(sys.argv[1], 44100)
writer.write(np.zeros((44100, 2), np.float32))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "bass.wav")])
    assert done.returncode == -signal.SIGKILL and len(os.listdir(tmp_path)) == 1
    with Writer(tmp_path / "bass.wav", 44100) as writer:
        writer.write(np.zeros((4410, 2), np.float32))
    assert os.listdir(tmp_path) == ["bass.wav"]
