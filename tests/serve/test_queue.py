"""Nothing is lost: servers and workers are killed in mid song, and every song is there once."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.serve.running import Running, children, song, tiny_model, until
from xumx.serve.store import CRASH, CRASHED, CRASHES, KILL, Gone, Job, Store


def workers(process: int) -> list[int]:
    """The server's processes that separate."""
    return [pid for pid in children(process) if is_ours(pid)]


def is_ours(process: int) -> bool:
    """Whether a process is there, and one that separates."""
    try:
        return b"xumx.serve.local" in Path(f"/proc/{process}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


def running(server: Running) -> str | None:
    """The job whose song is being separated, once some of that is done."""
    return next((j["id"] for j in server.client.jobs() if j["status"] == "running" and j["progress"]), None)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model"))


def test_kills_lose_nothing(tmp_path, model):
    server = Running(tmp_path / "data", "--models", str(model), "--model", "tiny", "--max-duration", "1e5")
    first = server.client.add(song(tmp_path, 1), niter=0)
    long = server.client.add(
        song(tmp_path, 100, seed=1, name="long.wav"), chunk_dur=1, niter=0, format="flac"
    )
    server.client.wait(first)
    stems = {path: path.stat() for path in (server.folder / "jobs" / first["id"]).rglob("*.*")}

    until(lambda: running(server) == long["id"])
    (worker,) = workers(server.process.pid)
    os.kill(worker, signal.SIGKILL)
    until(lambda: workers(server.process.pid) not in ([], [worker]))
    until(lambda: running(server) == long["id"])
    orphans = workers(server.process.pid)
    server.kill()
    until(lambda: not any(is_ours(pid) for pid in orphans))  # they end with the server
    (server.folder / "incoming" / "half").mkdir()  # what an upload leaves that is killed
    server.start()
    assert not list((server.folder / "incoming").iterdir())
    assert [job["id"] for job in server.client.jobs()] == [first["id"], long["id"]]
    assert {path: path.stat() for path in stems} == stems, "what is done stays as it is"

    until(lambda: running(server) == long["id"])  # begun again
    began = time.monotonic()
    server.client.remove(long["id"])
    after = server.client.add(song(tmp_path, 1, seed=2), niter=0)
    server.client.wait(after)
    assert [job["status"] for job in server.client.jobs()] == ["done", "done"]
    until(lambda: not (server.folder / "jobs" / long["id"]).exists())
    assert time.monotonic() > began
    server.end()


def test_a_song_that_kills_its_workers_fails(tmp_path):
    """Three crashes, and the song is given up; a server that is started anew, or a kill, is not its fault."""
    store = Store(tmp_path)
    store.add(Job("a", "song.wav", "song.wav", {}))
    for attempt in range(1, 4):
        job = store.claim("worker")
        assert job is not None and job.attempt == 2 * attempt - 1
        store.restart()
        job = store.claim("worker")
        assert store.claim("another") is None
        store.tell(job, "separating", 1, 2, 0.5)
        store.release("worker", CRASH)
        with pytest.raises(Gone):
            store.finish(job, ("vocals.wav",), 1)
    assert store.get("a").status == "failed" and store.get("a").error == CRASHED
    store.add(Job("b", "song.wav", "song.wav", {}))
    for _ in range(CRASHES // KILL - 1):
        store.claim("worker")
        store.release("worker", KILL)
    assert store.get("b").status == "queued"
    store.close()


@pytest.fixture
def redis(tmp_path):
    """The address of a real Redis."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("there is no redis-server: sh tools/need_redis.sh installs it or says how")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path), "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        yield f"redis://127.0.0.1:{port}/0"
        process.terminate()


def test_workers_of_other_machines(tmp_path, model, redis):
    """Two, one of which is killed in mid song: the other does it, and it is in the list once."""
    own = ("--models", str(model))
    server = Running(tmp_path / "data", *own, "--model", "tiny", "--broker", redis, "--workers", "0")
    command = [
        sys.executable,
        "-m",
        "xumx.serve.worker",
        "--broker",
        redis,
        "--folder",
        str(server.folder),
        *own,
    ]
    others = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for other in others:
        assert "waiting for songs" in other.stdout.readline()
    try:
        long = server.client.add(song(tmp_path, 30, name="long.wav"), chunk_dur=1, niter=0, format="flac")
        until(lambda: running(server) == long["id"])
        place = server.folder / "jobs" / long["id"]
        at_it = until(lambda: next((other for other in others if holds(other.pid, place)), None))
        (child,) = children(at_it.pid)
        at_it.kill()
        os.kill(child, signal.SIGKILL)
        short = server.client.add(song(tmp_path, 1, seed=1), niter=0)
        gone = server.client.add(song(tmp_path, 1, seed=2), niter=0)
        server.client.remove(gone["id"])
        assert server.client.wait(short)["stems"] == ["bass", "drums", "vocals", "other"]
        assert server.client.wait(long)["seconds"] == pytest.approx(30)
        assert [job["id"] for job in server.client.jobs()] == [long["id"], short["id"]]
        assert sorted(path.name for path in place.iterdir()) == ["result", "song.wav"]
    finally:
        for other in others:
            other.terminate()
            other.communicate()
        server.end()


def holds(process: int, place: Path) -> bool:
    """Whether a process that this one has started has a file in a folder open."""
    for child in children(process):
        for link in Path(f"/proc/{child}/fd").iterdir():
            try:
                if os.readlink(link).startswith(f"{place}/"):
                    return True
            except OSError:
                pass
    return False
