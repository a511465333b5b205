#!/usr/bin/env python3
"""Time and memory of a training step on the CPU, in one run on one machine.

    python bench/train_step.py                         everything
    python bench/train_step.py --parts stock           our functions against NNabla's own
    python bench/train_step.py --parts openunmix       our functions against Open-Unmix on PyTorch

X-UMX of the default recipe takes a step of batch 1 of 2 s with our functions and with NNabla's own, and one
of batch 16 of 6 s with ours, against four steps of Open-Unmix on PyTorch: one for each of its four models.
Each measurement is a fresh process that takes a few steps of noise; the first, which compiles and allocates,
does not count. Processes alternate, and the tables, in Markdown, hold their medians. Peak memory is that of
the whole process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.common import ROOT, BenchError, cores, machine, measure, table, wait_until_quiet
from bench.peers import venvs

SMALL, FULL, HIDDEN = (1, 2.0), (16, 6.0), 512
"""Batch and seconds, and the width of the networks."""

# What the project wants to reach.
TIMES_STOCK = 40
TIMES_STOCK_MEMORY = 8
TIMES_OPENUNMIX = 1.2
MEMORY_LIMIT = 8000


@dataclass(frozen=True)
class Step:
    """Medians over processes: seconds and CPU seconds of a step, seconds by part; the highest peak in MB."""

    wall: float
    cpu: float
    peak: float
    parts: dict[str, float]
    others: float = 0.0

    def row(self, name: str) -> list[str]:
        return [name, f"{self.wall:.2f} s", f"{self.cpu:.2f} s", f"{self.peak:.0f} MB"]


class Bench:
    """Folder and options of one run of the benchmark."""

    def __init__(self, cache: Path, patience: float) -> None:
        self.cache, self.patience = cache, patience
        self.work = cache / "run"
        self.work.mkdir(parents=True, exist_ok=True)

    def step(self, name: str, command: Sequence[str | Path], shape: tuple[int, float], steps: int) -> Step:
        """Measure one process that takes ``steps`` steps."""
        wait_until_quiet(self.patience)
        log = self.work / f"{name}.log"
        numbers = map(str, (*shape, HIDDEN, steps))
        run = measure(
            [*command, *numbers], log=log, cwd=ROOT, env={"NUMBA_CACHE_DIR": str(self.work / "numba")}
        )
        answer = json.loads(log.read_text().splitlines()[-1])
        step = Step(answer["wall"], answer["cpu"], run.peak, answer.get("parts", {}), run.others)
        print(f"{name}: {step.wall:.3f} s, CPU {step.cpu:.3f} s, {step.peak:.0f} MB", flush=True)
        return step

    def ours(self, ops: str, shape: tuple[int, float], steps: int) -> Step:
        name = f"step-{ops}-{shape[0]}"
        return self.step(name, [sys.executable, "-m", "bench.step", ops], shape, steps)

    def openunmix(self, python: Path, shape: tuple[int, float], steps: int) -> Step:
        driver = ROOT / "bench" / "peers" / "umx_torch_step.py"
        return self.step(f"step-openunmix-{shape[0]}", [python, driver], shape, steps)


def median(steps: Sequence[Step]) -> Step:
    """Median of processes, part by part."""

    def middle(values: Sequence[float]) -> float:
        return statistics.median(values)

    parts = {name: middle([s.parts[name] for s in steps]) for name in steps[0].parts}
    return Step(
        middle([s.wall for s in steps]),
        middle([s.cpu for s in steps]),
        max(s.peak for s in steps),
        parts,
        max(s.others for s in steps),
    )


def alternate(repeats: int, *measurements: Callable[[], Step]) -> list[Step]:
    """Run all measurements, one after the other, ``repeats`` times."""
    rounds = [[measurement() for measurement in measurements] for _ in range(repeats)]
    return [median(steps) for steps in zip(*rounds, strict=True)]


def against_stock(bench: Bench, repeats: int) -> None:
    """Our functions and NNabla's own at batch 1."""
    ours, stock = alternate(
        repeats, lambda: bench.ours("cpu", SMALL, 11), lambda: bench.ours("stock", SMALL, 3)
    )
    header = [f"X-UMX, batch {SMALL[0]} of {SMALL[1]:g} s", "step", "CPU", "peak memory"]
    print("\n" + table(header, [ours.row("our functions"), stock.row("NNabla's functions")]), "\n")
    goals(
        [
            ("faster than NNabla's functions", stock.wall / ours.wall, TIMES_STOCK, "×", True),
            ("less memory than NNabla's functions", stock.peak / ours.peak, TIMES_STOCK_MEMORY, "×", True),
        ]
    )


def against_openunmix(bench: Bench, repeats: int) -> None:
    """Our functions at batch 16, with the share of each part, and Open-Unmix."""
    python = venvs.openunmix(bench.cache)
    print(f"openunmix: {venvs.versions(python, ['openunmix', 'torch', 'numpy'])}", flush=True)
    ours, peer = alternate(
        repeats, lambda: bench.ours("cpu", FULL, 4), lambda: bench.openunmix(python, FULL, 4)
    )
    header = [f"hidden {HIDDEN}, batch {FULL[0]} of {FULL[1]:g} s", "step", "CPU", "peak memory"]
    print("\n" + table(header, [ours.row("X-UMX"), peer.row("4 × Open-Unmix on PyTorch")]), "\n")
    goals(
        [
            ("time of four steps of Open-Unmix", ours.wall / peer.wall, TIMES_OPENUNMIX, "×", False),
            ("peak memory", ours.peak, MEMORY_LIMIT, "MB", False),
        ]
    )
    rows = [[name, f"{s:.3f} s", f"{100 * s / ours.wall:.0f} %"] for name, s in ours.parts.items()]
    print(table(["part of a step of X-UMX", "time", "share"], rows), "\n")


def goals(rows: Sequence[tuple[str, float, float, str, bool]]) -> None:
    """Print what is wanted (at least, or at most) and what is measured."""
    cells = [
        [
            name,
            f"{'≥' if at_least else '≤'} {limit:g} {unit}",
            f"{value:.4g} {unit}",
            "yes" if (value >= limit if at_least else value <= limit) else "no",
        ]
        for name, value, limit, unit, at_least in rows
    ]
    print(table(["target", "wanted", "measured", "met"], cells), "\n")


PARTS: dict[str, Callable[[Bench, int], None]] = {"stock": against_stock, "openunmix": against_openunmix}


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 1 if anything that was asked for could not be measured."""
    args = _parser().parse_args(argv)
    bench = Bench(args.cache.expanduser().resolve(), args.patience)
    print(machine(["nnabla", "numpy", "scipy", "numba"]), f"({cores()} cores)", flush=True)
    failed = False
    for name in args.parts:
        try:
            PARTS[name](bench, args.repeats)
        except BenchError as error:
            failed = True
            print(f"{name} is left out: {error}", file=sys.stderr, flush=True)
    return int(failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Time and memory of a training step on the CPU, in one run on one machine.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    option = parser.add_argument
    option("--parts", nargs="+", choices=tuple(PARTS), default=tuple(PARTS), help="what to compare with")
    option("--repeats", type=_count, default=3, help="processes of each kind, for medians")
    option("--patience", type=float, default=60.0, help="seconds to wait for other programs to end")
    option("--cache", type=Path, default="~/.cache/xumx-bench", help="folder of environments and files")
    return parser


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {text}")
    return value


if __name__ == "__main__":
    sys.exit(main())
