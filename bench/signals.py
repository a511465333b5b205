"""Signals at random moments of training: what each comes to, and whether the run goes on bit for bit.

    python bench/signals.py --count 100 --seed 0

A tiny run is trained, each time by a process that gets SIGINT or SIGTERM at a random moment, now and then
twice, and the next process goes on with it; when it is over it is compared with one that was left alone, and
another begins. Moments lie anywhere from when the command answers signals until the run would be over: before
that, for a tenth of a second, the process is Python's.

A process must end with 130 or 143, as a shell shows it, with at most one line, none where it was leaving
already, and no traceback. With ``--ranks`` it is mpirun's, and the signal goes to all of its processes, as
from a terminal, or to one rank.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.common import table
from tests.mpi import ranks_of
from tests.musdb_set import make_musdb
from tests.train.runs import arguments, assert_same, best, content, load
from xumx.train import checkpoint

ANSWERS = 1 << (signal.SIGTERM - 1)
AGAIN = 0.7
"""Seconds until the second signal: one that comes sooner is the same."""

OUTCOMES = {
    "interrupted by": "before the first step",
    "stopped by": "with a checkpoint",
    "when the run was over": "after the last step",
    ", at once": "at once, by a second one",
}
"""What is said, the last that fits, and when it is."""


def launch(command: list[str], ranks: int, log: Path) -> subprocess.Popen[bytes]:
    """The process, in a group of its own."""
    parts = [sys.executable, "-m", "xumx.train", *command]
    if ranks > 1:
        parts = [str(Path(sys.executable).with_name("mpirun")), "-n", str(ranks), *parts]
    with open(log, "wb") as output:
        return subprocess.Popen(parts, stdout=output, stderr=output, start_new_session=True)


def answering(process: subprocess.Popen[bytes], ranks: int) -> list[int]:
    """The processes that train, as soon as all of them have a handler; none if they are over before."""
    while process.poll() is None:
        try:
            found = ranks_of(process) if ranks > 1 else [process.pid]
            masks = [caught(pid) for pid in found]
        except (OSError, ValueError):
            masks = []
        if len(masks) == ranks and all(mask & ANSWERS for mask in masks):
            return found
        time.sleep(0.002)
    return []


def caught(pid: int) -> int:
    """The mask of signals that a process has handlers for."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))


def send(process: subprocess.Popen[bytes], to: int | None, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(to, number) if to else os.killpg(process.pid, number)


def outcome(said: str) -> str:
    return next((text for key, text in reversed(OUTCOMES.items()) if key in said), "in silence")


class Trials:
    """Runs that are interrupted until ``count`` signals have been sent."""

    def __init__(self, folder: Path, count: int, seed: int, ranks: int) -> None:
        self.folder, self.count, self.ranks = folder, count, ranks
        self.rng = random.Random(seed)
        self.root = make_musdb(folder / "set", 3, 1.7, stems=False, valid=2)
        self.rows: Counter[tuple[str, str, int]] = Counter()
        self.faults: list[str] = []
        self.sent = self.runs = self.same = 0

    def start(self, output: Path) -> list[str]:
        return arguments(self.root, output, "--epochs", 4, "--samples-per-track", 6 * self.ranks)

    def next(self, output: Path) -> list[str]:
        """What begins a run, or goes on with it."""
        known = (output / checkpoint.NAME).exists()
        return ["--model", str(output), "--quiet"] if known else self.start(output)

    def alone(self, name: str) -> float:
        """Train a run that nothing happens to; seconds in which its process would have answered."""
        process = launch(self.start(self.folder / name), self.ranks, self.folder / "log")
        answering(process, self.ranks)
        began = time.monotonic()
        if process.wait():
            raise SystemExit((self.folder / "log").read_text())
        return time.monotonic() - began

    def all(self) -> None:
        self.alone("whole")  # after it all is compiled, and statistics are kept
        longest = self.alone("again")
        while self.sent < self.count:
            self.runs += 1
            output = self.folder / f"run-{self.runs}"
            while self.sent < self.count and not self.one(output, longest):
                pass
            self.finish(output)

    def one(self, output: Path, longest: float) -> bool:
        """Begin the run, or go on with it, and send a signal; whether it was over before."""
        known = (output / checkpoint.NAME).exists()
        log = self.folder / "log"
        process = launch(
            ["--model", str(output), "--quiet"] if known else self.start(output), self.ranks, log
        )
        number, twice = self.rng.choice([signal.SIGINT, signal.SIGTERM]), self.rng.random() < 0.2
        moment = self.rng.uniform(0, longest)
        pids = answering(process, self.ranks)
        to = self.rng.choice([None, *pids]) if self.ranks > 1 else process.pid
        with suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        if process.poll() is not None:
            said = log.read_text()
            if process.returncode and "has trained" not in said:
                self.faults.append(f"ended with {process.returncode} by itself: {said}")
            return True
        send(process, to, number)
        self.sent += 1
        if twice:
            try:
                process.wait(AGAIN)
            except subprocess.TimeoutExpired:
                send(process, to, number)
        code = process.wait(120)
        code = 128 - code if code < 0 else code
        said = log.read_text()
        self.rows[number.name, outcome(said), code] += 1
        wanted = 128 + number
        if code != wanted or "Traceback" in said or (self.ranks == 1 and len(said.splitlines()) > 1):
            self.faults.append(f"{number.name} after {moment:.2f} s, code {code}: {said}")
        return False

    def finish(self, output: Path) -> None:
        """Let a run go on to its end, and compare it."""
        process = launch(self.next(output), self.ranks, self.folder / "log")
        said = "" if process.wait() == 0 else (self.folder / "log").read_text()
        if said and "has trained" not in said:
            self.faults.append(f"does not go on: {said}")
            return
        try:
            assert_same(content(load(output)), content(load(self.folder / "whole")))
            assert_same(best(output).parameters, best(self.folder / "whole").parameters)
            self.same += 1
        except AssertionError as error:
            self.faults.append(f"{output.name} is another: {error}")

    def report(self) -> str:
        rows = [[f"{name} {when}", str(code), str(n)] for (name, when, code), n in sorted(self.rows.items())]
        rows.append(["all", "", str(self.sent)])
        runs = f"{self.same} of {self.runs} runs ended bit for bit as the one that was left alone"
        return "\n".join([table(["signal", "exit code", "times"], rows), "", runs, *self.faults])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=100, help="signals (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: %(default)s)")
    parser.add_argument("--ranks", type=int, default=1, help="processes of a run (default: %(default)s)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trials = Trials(Path(folder), args.count, args.seed, args.ranks)
        trials.all()
        print(trials.report())
    return 1 if trials.faults else 0


if __name__ == "__main__":
    sys.exit(main())
