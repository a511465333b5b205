"""Files of strangers by the thousand: wrong ones of every kind, each read by what reads it in earnest.

    python bench/fuzz.py --count 20000 --seed 1
    python bench/fuzz.py --kind weights --seed 1 --only 17   # one file again, with its traceback

Readers run in processes with limits of memory and time. A file falls if anything but a result or one line
comes of it: another exception, a crash, a hang, too much memory, or the opening of any file but itself and
those of its folder. Opened files are seen by strace, which sees those of FFmpeg and HDF5 too; without it
this is not looked at, and the table says so. Kinds whose packages are missing are left out: run it in each
environment.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import resource
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.common import ROOT, clean_environment, table

SECONDS = 20.0
"""A file may take so long."""

MEMORY = 1 << 30
"""Bytes of address space that a file may take beside those that the process has."""

PEAK = 500 << 20
"""Bytes of memory that a file may really take."""

_MARK = "/xumx-fuzz/"
"""A folder that is not there: what is opened in it parts the log of opened files."""

_TRACED = "open,openat,openat2,creat,connect,execve"


@dataclass
class Tally:
    """What came of the files of a kind."""

    found: Counter[str] = field(default_factory=Counter)
    fallen: list[tuple[int, str]] = field(default_factory=list)
    seconds: float = 0.0


def main() -> int:
    args = _parse()
    if args.worker:
        _work(args)
        return 0
    from tests.fuzz.kinds import KINDS

    kinds = [kind for name, kind in KINDS.items() if name in (args.kind or KINDS) and kind.available]
    if args.only is not None:
        return _again(args)
    traced = shutil.which("strace") is not None
    missing = ", ".join(sorted(name for name, kind in KINDS.items() if not kind.available)) or "none"
    watch = "watched" if traced else "NOT watched: there is no strace"
    print(
        f"{args.count} files, seed {args.seed}; opened files are {watch}; kinds left out: {missing}",
        flush=True,
    )
    tallies = {}
    for place, kind in enumerate(kinds):
        share = args.count // len(kinds) + (place < args.count % len(kinds))
        began = time.monotonic()
        tallies[kind.name] = _drive(kind.name, args.seed, share, args.keep, traced and not kind.reaches)
        tallies[kind.name].seconds = time.monotonic() - began
        for number, reason in tallies[kind.name].fallen[:20]:
            again = f"python bench/fuzz.py --kind {kind.name} --seed {args.seed} --only {number}"
            print(f"fell: {reason}\n  {again}", flush=True)
    rows = []
    for name, tally in tallies.items():
        numbers = (tally.found.total(), tally.found["result"], tally.found["error"], len(tally.fallen))
        rows.append([name, *map(str, numbers), f"{tally.seconds:.0f}"])
    rows.append(["all", *(str(sum(int(row[i]) for row in rows)) for i in range(1, 6))])
    print("\n" + table(["kind", "tried", "results", "errors", "fell", "seconds"], rows))
    fallen = sum(len(tally.fallen) for tally in tallies.values())
    if fallen:
        print(f"\nthe files that fell are in {args.keep}")
    return int(fallen > 0)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=2000, help="files, over all kinds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", nargs="+", help="these only")
    parser.add_argument(
        "--only", type=int, metavar="N", help="read file N of a kind here, with its traceback"
    )
    parser.add_argument("--keep", type=Path, default=Path("fallen"), help="folder of the files that fell")
    parser.add_argument("--worker", nargs=3, metavar=("FROM", "TO", "FOLDER"), help=argparse.SUPPRESS)
    return parser.parse_args()


def _drive(kind: str, seed: int, count: int, keep: Path, traced: bool) -> Tally:
    """Worker after worker, each until its end or until a file takes it along."""
    tally, at = Tally(), 0
    while at < count:
        with tempfile.TemporaryDirectory(prefix="xumx-fuzz-") as name:
            folder = Path(name).resolve()
            reached = at
            for number, reason in _run_worker(kind, seed, at, count, folder, traced):
                reached = number + 1
                word = reason.partition(" ")[0]
                if word not in ("result", "error"):
                    _fall(tally, kind, seed, number, reason, folder, keep)
                tally.found[word] += 1
            if traced:
                for number, reason in _opened(folder):
                    if number not in dict(tally.fallen):
                        _fall(tally, kind, seed, number, reason, folder, keep)
            at = max(reached, at + 1)
    return tally


def _run_worker(
    kind: str, seed: int, at: int, count: int, folder: Path, traced: bool
) -> Iterator[tuple[int, str]]:
    """What comes of each file: 'result', 'error', or the reason why it fell."""
    command = [sys.executable, "-m", "bench.fuzz", "--kind", kind, "--seed", str(seed)]
    command += ["--worker", str(at), str(count), str(folder)]
    if traced:
        log = ["-o", str(folder / "opened"), "--signal=none", "-s", "4096"]
        command = ["strace", "-f", "--seccomp-bpf", "-qqq", *log, "-e", f"trace={_TRACED}", *command]
    environment = {**clean_environment(), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with open(folder / "said", "wb") as said:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, cwd=ROOT, env=environment)
    assert process.stdout is not None
    begun, done, rest = at - 1, at - 1, b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.select(SECONDS if begun >= at else 120):  # first it imports and makes valid files
            chunk = os.read(process.stdout.fileno(), 65536)
            if not chunk:
                break
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                number, _, what = line.decode(errors="replace").partition(" ")
                if what == "begin":
                    begun = int(number)
                else:
                    done = int(number)
                    yield done, what
        else:
            subprocess.run(["kill", "-9", *_children(process.pid), str(process.pid)], check=False)
            process.wait()
            yield begun, f"HANG of more than {SECONDS:.0f} s"
            return
    code = process.wait()
    if code and begun > done:
        yield begun, f"CRASH with exit code {code}"
    elif code:
        raise SystemExit(f"the worker of {kind} ended with {code}:\n{(folder / 'said').read_text()[-2000:]}")


def _children(pid: int) -> list[str]:
    text = Path(f"/proc/{pid}/task/{pid}/children")
    return text.read_text().split() if text.exists() else []


def _fall(tally: Tally, kind: str, seed: int, number: int, reason: str, folder: Path, keep: Path) -> None:
    from tests.fuzz.files import Source
    from tests.fuzz.kinds import KINDS

    tally.fallen.append((number, reason))
    with tempfile.TemporaryDirectory() as name:
        path = Source(KINDS[kind], Path(name)).numbered(seed, number)
        keep.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, keep / f"{kind}-{seed}-{number}-{path.name}")


def _opened(folder: Path) -> Iterator[tuple[int, str]]:
    """Files outside of the reader's folder that were opened while a file was read."""
    from tests.fuzz.files import ELSEWHERE

    packages = (sys.prefix, sys.base_prefix, str(ROOT / "xumx"), str(ROOT / "tests"))
    system = (
        "/proc/",
        "/sys/",
        "/dev/",
        "/etc/ld.so",
        "/etc/localtime",
        "/usr/lib",
        "/lib",
        "/usr/share/zoneinfo",
    )
    allowed = (str(folder / "work"), *packages, *system)
    elsewhere = str(folder / "work" / ELSEWHERE)
    plugins = "/lib/plugin"  # where HDF5 looks for filters, whatever the file
    number, log = -1, folder / "opened"
    for line in log.read_text(errors="replace").splitlines() if log.exists() else ():
        if mark := re.search(rf'"{_MARK}(\w+)/(\d+)"', line):
            number = int(mark[2]) if mark[1] == "begin" else -1
        elif number >= 0 and (found := re.search(r'"((?:[^"\\]|\\.)*)"', line)):
            path = found[1]
            if path.startswith(elsewhere) or (not path.startswith(allowed) and not path.endswith(plugins)):
                yield number, f"OPENED {path}"


def _work(args: argparse.Namespace) -> None:
    """Be a worker: read files under limits, and say of each what came of it."""
    from tests.fuzz.files import Source
    from tests.fuzz.kinds import KINDS, Fell, outcome

    first, last, folder = int(args.worker[0]), int(args.worker[1]), Path(args.worker[2])
    source = Source(KINDS[args.kind[0]], folder)
    for which in range(len(source.seeds)):  # what is imported and compiled once
        outcome(source.kind, source.file(which, []))
    import_module("filelock")  # tries once, in files of its own, what the file system can do
    tempfile.gettempdir()  # and this whether it can be written
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    tell = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what readers print goes aside
    for number in range(first, last):
        path = source.numbered(args.seed, number)
        before = _peak(reset=True)
        print(number, "begin", file=tell)
        _mark("begin", number)
        try:
            what = outcome(source.kind, path)
        except Fell as fell:
            what = "FELL " + str(fell).replace("\n", "\\n")
        _mark("end", number)
        grown = _peak() - before
        print(number, what if grown < PEAK else f"MEMORY grew by {grown >> 20} MB; {what}", file=tell)


def _mark(what: str, number: int) -> None:
    with contextlib.suppress(OSError):
        os.open(f"{_MARK}{what}/{number}", os.O_RDONLY)


def _peak(*, reset: bool = False) -> int:
    """The most bytes of memory since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    text = Path("/proc/self/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) * 1024


def _again(args: argparse.Namespace) -> int:
    from tests.fuzz.files import Source
    from tests.fuzz.kinds import KINDS, outcome

    with tempfile.TemporaryDirectory() as name:
        source = Source(KINDS[args.kind[0]], Path(name))
        path = source.numbered(args.seed, args.only)
        print(f"{path.name}, {path.stat().st_size} bytes: {path.read_bytes()[:200]!r}")
        print(outcome(source.kind, path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
