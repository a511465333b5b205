#!/usr/bin/env python3
"""Training on several processes: what is measured here, and what a model says of clusters.

    python bench/scaling.py

One rank, and then two under mpirun, with a thread each, take steps of the default recipe (batch 16 of 6 s,
hidden size 512); the first step does not count. Efficiency is samples a second over the ranks' number times
those of one rank. Then a model says what is left of it on clusters of one rank a machine, for the network
that ``--bandwidth`` and ``--latency`` describe.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.common import ROOT, BenchError, Run, machine, measure, table, wait_until_quiet
from bench.train_step import goals

BATCH, SECONDS, HIDDEN = 16, 6.0, 512
RANKS = (8, 64, 512)
EPOCH = 86 * 64
"""Samples of an epoch of MUSDB18."""

# What the project wants to reach.
EFFICIENCY = 0.85
SHARE = 10.0


@dataclass(frozen=True)
class Steps:
    """Median seconds of a step and of its parts; bytes and buckets of the means of a step."""

    ranks: int
    step: float
    backward: float
    reduce: float
    wait: float
    bytes: int
    buckets: int

    @property
    def rate(self) -> float:
        """Samples a second."""
        return self.ranks * BATCH / self.step


def ring_seconds(ranks: int, nbytes: float, messages: int, bandwidth: float, latency: float) -> float:
    """An all-reduce in a ring: 2 (n - 1) rounds of a share of 1/n of each message.

    Parameters
    ----------
    ranks, messages : int
    nbytes : float
        Of all messages.
    bandwidth, latency : float
        Bytes a second that each rank sends while it receives as many, and seconds a round.
    """
    return 2 * (ranks - 1) / ranks * nbytes / bandwidth + 2 * (ranks - 1) * latency * messages


def efficiency(step: float, reduce: float, hidden: float = 0.0) -> float:
    """Share of the time that is spent on steps, if up to ``hidden`` seconds of the means hide behind them."""
    return step / (step + max(reduce - hidden, 0.0))


def measured(ranks: int, steps: int, work: Path, patience: float) -> tuple[Steps, Run]:
    """Steps of so many ranks, of a thread each."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    mpirun = shutil.which("mpirun", path=path)
    if mpirun is None:
        raise BenchError("no mpirun beside Python or on the path; pip install '.[mpi]'")
    wait_until_quiet(patience)
    log = work / f"scaling-{ranks}.log"
    numbers = map(str, (BATCH, SECONDS, HIDDEN, steps))
    run = measure(
        [mpirun, "-n", str(ranks), sys.executable, "-m", "bench.scaling_step", *numbers],
        log=log,
        cwd=ROOT,
        env={"OMP_NUM_THREADS": "1", "NUMBA_CACHE_DIR": str(work / "numba")},
    )
    return Steps(**json.loads(log.read_text().splitlines()[-1])), run


def report(one: Steps, two: Steps) -> None:
    """What was measured."""
    rows = [
        [
            f"{s.ranks}",
            f"{s.rate:.2f}",
            f"{s.rate / (s.ranks * one.rate):.2f}",
            f"{s.step:.2f} s",
            f"{s.reduce:.3f} s",
            f"{100 * s.reduce / s.step:.1f} %",
            f"{s.wait:.3f} s",
            f"{s.bytes / 1e6 if s.ranks > 1 else 0:.0f} MB",
        ]
        for s in (one, two)
    ]
    header = ["ranks", "samples/s", "efficiency", "step", "all-reduce", "of it", "waiting", "bytes a step"]
    print("\n" + table(header, rows), "\n")
    goals(
        [
            ("efficiency of 2 ranks", two.rate / (2 * one.rate), EFFICIENCY, "", True),
            ("all-reduce in a step", 100 * two.reduce / two.step, SHARE, "%", False),
        ]
    )


def model(one: Steps, bandwidth: float, latency: float) -> None:
    """What follows for clusters, with what it assumes."""
    say(
        f"Model: a rank a machine; ring all-reduce of {one.bytes / 1e6:.0f} MB in {one.buckets} buckets over",
        f"a network of {bandwidth:g} Gbit/s each way and {latency:g} µs a round:",
        "2(n-1)/n · bytes / bandwidth + 2(n-1) · latency · buckets; all ranks equally fast, drawing samples",
        "and validating free. Of each pair the first is with nothing hidden behind the backward pass, the",
        "second with all but the last bucket hidden as far as backward lasts.",
    )
    reduce = {n: ring_seconds(n, one.bytes, one.buckets, bandwidth * 1e9 / 8, latency * 1e-6) for n in RANKS}
    share = one.backward / one.step
    speeds = {"as measured here": 1, "a node 10 times as fast": 10, "a GPU 100 times as fast": 100}
    rows = [["all-reduce", "", *(f"{reduce[n]:.2f} s" for n in RANKS)]]
    for name, faster in speeds.items():
        step = one.step / faster
        cells = []
        for n in RANKS:
            hidden = min(step * share, reduce[n] * (1 - 1 / one.buckets))
            cells.append(f"{efficiency(step, reduce[n]):.2f} – {efficiency(step, reduce[n], hidden):.2f}")
        rows.append([name, f"{step:.2f} s", *cells])
    print(table(["efficiency", "step", *(f"{n} ranks" for n in RANKS)], rows), "\n")
    waiting = 2 * (RANKS[-1] - 1) * latency * 1e-6 * one.buckets
    say(
        f"To go further: at {RANKS[-1]} ranks {waiting:.2f} s of the all-reduce are latency, which larger",
        "buckets lower, or a tree of 2 log2(n) rounds, which MPI and NCCL choose by themselves for many",
        "ranks. The rest is bytes, which gradients of 16 bits halve, and which reducing within a machine",
        f"first keeps off the network. But before that the data ends: an epoch of MUSDB18 has {EPOCH}",
        f"samples, one step of {EPOCH // BATCH} ranks of batch {BATCH}. More need a larger",
        "--samples-per-track or a smaller --batch-size, and a learning rate that stands such steps",
        "(--lr-scaling sqrt, --warmup).",
    )


def say(*text: str) -> None:
    """Print a paragraph."""
    print(textwrap.fill(" ".join(text), 110, break_on_hyphens=False), "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 if it could not be measured."""
    args = _parser().parse_args(argv)
    work = args.cache.expanduser().resolve() / "run"
    work.mkdir(parents=True, exist_ok=True)
    print(machine(["nnabla", "numpy", "scipy", "numba", "mpi4py"]), flush=True)
    try:
        (one, first), (two, second) = (measured(n, args.steps + 1, work, args.patience) for n in (1, 2))
    except BenchError as error:
        print(f"nothing measured: {error}", file=sys.stderr)
        return 1
    report(one, two)
    if not (first.calm and second.calm):
        others = max(first.others, second.others)
        print(f"Other programs took up to {100 * others:.0f} % of the cores: these figures are of no use.\n")
    model(one, args.bandwidth, args.latency)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Training on several processes: measured with two, modelled for more.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    option = parser.add_argument
    option("--steps", type=int, default=3, help="that count")
    option("--bandwidth", type=float, default=10.0, metavar="GBIT", help="a second, each way; of the model")
    option("--latency", type=float, default=30.0, metavar="MICROSECONDS", help="of a round; of the model")
    option("--patience", type=float, default=20.0, help="seconds to wait for other programs to end")
    option("--cache", type=Path, default="~/.cache/xumx-bench", help="folder of files")
    return parser


if __name__ == "__main__":
    sys.exit(main())
