"""The web application under load, and under kills: on loopback, a real server and real requests.

    python bench/serve.py load --uploads 50 --listeners 20
    python bench/serve.py kills --count 20

load: all uploads at once, of songs of three minutes in MP3, while listeners fetch the sound of a song that
is done, as the page does, and hear the events of all jobs; the table has what requests took. The server
separates meanwhile, unless it is told not to.

kills: songs wait, and server and worker are killed in turn, each `count` times, at random moments, one upload
with each. At the end every song that was promised must be there once, with stems that are byte by byte those
of a server that nobody disturbed.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.common import table
from tests.networks import music
from tests.serve.running import Running, children, form, song, tiny_model, until
from xumx.audio import Writer
from xumx.base.errors import XumxError

MINUTES = 3
PIECE = 0.25  # seconds between two pieces that a listener fetches: a page needs one in ten


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    load = commands.add_parser("load")
    load.add_argument("--uploads", type=int, default=50)
    load.add_argument("--listeners", type=int, default=20)
    load.add_argument("--seconds", type=float, default=20, help="to listen for")
    load.add_argument("--idle", action="store_true", help="stop the workers: the server alone is measured")
    load.set_defaults(command=_load)
    kills = commands.add_parser("kills")
    kills.add_argument("--count", type=int, default=20, help="of the server, and of workers")
    kills.add_argument("--seed", type=int, default=0)
    kills.set_defaults(command=_kills)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return int(args.command(args, Path(folder)))


class Times:
    """What requests took, by what they were."""

    def __init__(self) -> None:
        self._found: dict[str, list[float]] = defaultdict(list)

    def of(self, what: str, do: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        found = do()
        self._found[what].append(time.perf_counter() - began)
        return found

    def rows(self) -> list[list[str]]:
        rows = []
        for what, values in sorted(self._found.items()):
            values = sorted(values)
            shown = (statistics.median(values), values[int(0.95 * (len(values) - 1))], values[-1])
            rows.append([what, str(len(values)), *(f"{1000 * value:.0f}" for value in shown)])
        return rows


def _load(args: argparse.Namespace, folder: Path) -> int:
    server = Running(folder / "data", "--model", "demo")
    try:
        heard = server.client.separate(song(folder, 60))
        mp3 = _mp3(folder / "song.mp3")
        pids = [server.process.pid, *children(server.process.pid)]
        if args.idle:
            for pid in pids[1:]:
                if b"xumx.serve.local" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGSTOP)
        times, end = Times(), time.monotonic() + args.seconds
        cpu = _cpu(server.process.pid)
        with ThreadPoolExecutor(args.uploads + 2 * args.listeners + 1) as pool:
            work = [pool.submit(_listen, server, heard, times, end, k) for k in range(args.listeners)]
            work += [pool.submit(_hear, server, end) for _ in range(args.listeners)]
            time.sleep(2)
            start = threading.Barrier(args.uploads)
            work += [pool.submit(_upload, server, mp3, times, start, k) for k in range(args.uploads)]
            for one in work:
                one.result()
        busy = (_cpu(server.process.pid) - cpu) / args.seconds
        print(f"{args.uploads} uploads of {len(mp3) / 1e6:.1f} MB at once, {args.listeners} listeners")
        print(table(["request", "number", "median ms", "95 % ms", "longest ms"], times.rows()))
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
        print(f"server: {int(peak) / 1000:.0f} MB at most, {100 * busy:.0f} % of a core")
    finally:
        server.kill()
    return 0


def _mp3(path: Path) -> bytes:
    minute = music(60)
    with Writer(path, 44100, 2, format="mp3", bitrate=192_000) as writer:
        for _ in range(MINUTES):
            writer.write(minute)
    return path.read_bytes()


def _upload(server: Running, mp3: bytes, times: Times, start: threading.Barrier, number: int) -> None:
    body, kind = form(("file", (f"{number}.mp3", mp3 + number.to_bytes(4, "big"))))
    start.wait()
    answer = times.of("upload", lambda: server.ask("POST", "/api/jobs", body, **kind))
    assert answer.status == 201, answer


def _listen(server: Running, job: dict[str, Any], times: Times, end: float, number: int) -> None:
    path = f"/api/jobs/{job['id']}"
    assert times.of("page", lambda: server.ask("GET", "/")).status == 200
    assert times.of("player", lambda: server.ask("GET", f"{path}/player")).status == 200
    while time.monotonic() < end:
        for track in range(4):
            piece = f"{path}/sound/{track}-{number % 6}.mp3"
            assert times.of("piece of sound", lambda piece=piece: server.ask("GET", piece)).status == 200
        assert times.of("list of jobs", lambda: server.ask("GET", "/api/jobs")).status == 200
        time.sleep(PIECE)


def _hear(server: Running, end: float) -> None:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", "/api/events")
    answer = connection.getresponse()
    while time.monotonic() < end:
        answer.readline()
    connection.close()


def _cpu(pid: int) -> float:
    """Seconds that a process, without its children, has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _kills(args: argparse.Namespace, folder: Path) -> int:
    rng = random.Random(args.seed)
    options = ("--models", str(tiny_model(folder)), "--model", "tiny")
    server = Running(folder / "data", *options)
    promised: list[dict[str, Any]] = []
    for number in range(2 * args.count):
        path = song(folder, rng.uniform(5, 15), seed=number)
        sender = threading.Thread(target=_send, args=(server, path, promised))
        sender.start()
        time.sleep(rng.uniform(0.05, 2.5))
        if number % 2:
            workers = [p for p in children(server.process.pid) if _is_worker(p)]
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
            sender.join()
        else:
            server.kill()
            sender.join()
            server.start()
    jobs = until(lambda: (found := server.client.jobs()) and all(_over(job) for job in found) and found, 900)
    failed = [job for job in jobs if job["status"] != "done"]
    ids = [job["id"] for job in jobs]
    lost = [job for job in promised if job["id"] not in ids]
    wrong = _compared(server, folder, options, [job for job in jobs if job["status"] == "done"])
    left = list((server.folder / "incoming").iterdir())
    server.end()
    print(f"{args.count} kills of the server, {args.count} of workers; {len(promised)} songs promised")
    print(f"lost {len(lost)}, twice {len(ids) - len(set(ids))}, failed {len(failed)}, other stems {wrong}")
    print(f"left aside {len(left)}, not promised but there {len(set(ids) - {j['id'] for j in promised})}")
    return int(bool(lost or failed or wrong or left or len(ids) != len(set(ids))))


def _send(server: Running, path: Path, promised: list[dict[str, Any]]) -> None:
    with contextlib.suppress(XumxError, OSError, ValueError):  # it was killed before it could promise
        promised.append(server.client.add(path, niter=0, chunk_dur=1, format="flac"))


def _over(job: dict[str, Any]) -> bool:
    return job["status"] in ("done", "failed")


def _is_worker(pid: int) -> bool:
    try:
        return b"xumx.serve.local" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


def _compared(server: Running, folder: Path, options: tuple[str, ...], jobs: list[dict[str, Any]]) -> int:
    """How many songs have other stems than an undisturbed server makes of them."""
    other = Running(folder / "calm", *options)
    wrong = 0
    for job in jobs:
        place = server.folder / "jobs" / job["id"]
        (path,) = [path for path in place.iterdir() if path.is_file()]
        again = other.client.separate(path, niter=0, chunk_dur=1, format="flac")
        wrong += _stems(place) != _stems(other.folder / "jobs" / again["id"])
    other.end()
    return wrong


def _stems(place: Path) -> dict[str, str]:
    stems = sorted((place / "result" / "stems").iterdir())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in stems}


if __name__ == "__main__":
    sys.exit(main())
