#!/usr/bin/env python3
"""Separation speed of xumx, Sony's X-UMX code and Open-Unmix, in one run on one machine.

    python bench/separate.py                         everything, on 3 minutes of music
    python bench/separate.py --seconds 30 --peers xumx openunmix --repeats 1

Every program runs as its users run it, as a fresh process from the shell to the stems' files, on the same
music, the same random weights of the published sizes and the same cores. The peers get environments of
their own in the cache folder. At the end come tables in Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.common import ROOT, BenchError, Run, cores, machine, measure, median, table, wait_until_quiet
from bench.peers import venvs

CLIP_SECONDS = 6.0
SONY_SECONDS = 30.0
SONY_CHUNK = 10

# What the project wants to reach.
TIMES_SONY = 105
TIMES_OPENUNMIX = 5
TIMES_IDEAL = 1.6
CLIP_LIMIT = 2.5


@dataclass(frozen=True)
class Bench:
    """Folders and options of one run of the benchmark."""

    cache: Path
    seconds: float
    repeats: int
    patience: float

    @property
    def work(self) -> Path:
        return self.cache / "run"

    @property
    def kept(self) -> Path:
        """What xumx keeps from one process to the next: its graph."""
        return self.work / "kept"

    @property
    def sony_seconds(self) -> float:
        return min(self.seconds, SONY_SECONDS)

    def run(self, name: str, *command: str | Path, cwd: Path | None = None) -> Run:
        """Run one process. By default it starts in an empty folder, where it finds no other's code."""
        neutral = self.work / "empty"
        neutral.mkdir(exist_ok=True)
        env = {"XUMX_HOME": str(self.kept)}
        return measure(command, log=self.log(name), cwd=cwd or neutral, env=env)

    def measure(
        self,
        name: str,
        *command: str | Path,
        cwd: Path | None = None,
        before: Callable[[], None] | None = None,
    ) -> Run:
        """Run one process when the machine is quiet, and again until a run is calm, while patience lasts."""
        end = time.perf_counter() + self.patience
        runs: list[Run] = []
        while not runs or (not runs[-1].calm and time.perf_counter() < end):
            wait_until_quiet(end - time.perf_counter())
            if before:
                before()
            run = self.run(name, *command, cwd=cwd)
            times = f"{run.wall:.2f} s, CPU {run.cpu:.2f} s, {run.peak:.0f} MB"
            print(f"{name}: {times}, others took {100 * run.others:.0f} % of the cores", flush=True)
            runs.append(run)
        return median(runs)

    def log(self, name: str) -> Path:
        """What a process printed."""
        return self.work / f"{name}.log"

    def answer(self, name: str) -> Any:
        """The JSON that a process printed."""
        return json.loads(self.log(name).read_text().splitlines()[-1])


@dataclass(frozen=True)
class Result:
    """A row of the first table."""

    name: str
    run: Run
    seconds: float

    def row(self) -> list[str]:
        return [
            self.name,
            f"{self.run.wall:.2f} s",
            f"{self.run.cpu:.1f} s",
            f"{self.run.wall / self.seconds:.4f}",
            f"{self.seconds / self.run.wall:.1f} ×",
            f"{self.run.peak:.0f} MB",
        ]


def xumx(bench: Bench) -> dict[str, Result]:
    """This project's command with its default options: mp3 to wav files."""

    def separate(name: str, song: str, before: Callable[[], None] | None = None) -> Run:
        paths = (
            "--inputs",
            bench.work / song,
            "--model",
            bench.work / "x-umx.h5",
            "--outdir",
            bench.work / name,
        )
        return bench.measure(name, sys.executable, "-m", "xumx.test", *paths, cwd=ROOT, before=before)

    def forget() -> None:
        shutil.rmtree(bench.kept, ignore_errors=True)

    first = separate("xumx-first", "song.mp3", forget)
    song = median(separate("xumx", "song.mp3") for _ in range(bench.repeats))
    clip = median(separate("xumx-clip", "clip.mp3") for _ in range(bench.repeats))
    return {
        "xumx": Result("xumx", song, bench.seconds),
        "first": Result("xumx, the very first time", first, bench.seconds),
        "clip": Result(f"xumx, a clip of {CLIP_SECONDS:g} s", clip, CLIP_SECONDS),
    }


def openunmix(bench: Bench) -> dict[str, Result]:
    """Open-Unmix on PyTorch, four targets: wav to wav files."""
    python = venvs.openunmix(bench.cache)
    print(f"openunmix: {venvs.versions(python, ['openunmix', 'torch', 'numpy'])}", flush=True)
    driver = ROOT / "bench" / "peers" / "umx_torch.py"
    model, stems = bench.work / "openunmix-model", bench.work / "openunmix"
    bench.run("openunmix-convert", python, driver, "convert", bench.work / "umx", model)
    run = median(
        bench.measure("openunmix", python, driver, "separate", bench.work / "song.wav", model, stems)
        for _ in range(bench.repeats)
    )
    return {"openunmix": Result("Open-Unmix on PyTorch, 4 targets, from wav", run, bench.seconds)}


def sony(bench: Bench) -> dict[str, Result]:
    """Sony's command: mp3 to wav files. Its start is measured apart, the rest grows with the song."""
    python = venvs.sony(bench.cache)
    print(f"sony: {venvs.versions(python, ['xumx-spleeterweb', 'nnabla', 'norbert', 'numpy'])}", flush=True)
    command = (python, "-m", "xumx.test")
    start = bench.measure("sony-start", *command, "--help")
    run = bench.measure(
        "sony",
        *command,
        *("--inputs", bench.work / "sony.mp3", "--model", bench.work / "x-umx.h5"),
        *("--out-dir", bench.work / "sony", "--chunk-dur", str(SONY_CHUNK), "--context", "cpu"),
    )
    name = f"Sony's X-UMX on NNabla, chunks of {SONY_CHUNK} s"
    if bench.sony_seconds < bench.seconds:
        name += f", scaled from {bench.sony_seconds:g} s"
        factor = bench.seconds / bench.sony_seconds
        run = replace(run, wall=scaled(start.wall, run.wall, factor), cpu=scaled(start.cpu, run.cpu, factor))
    return {"sony": Result(name, run, bench.seconds)}


PEERS: dict[str, Callable[[Bench], dict[str, Result]]] = {"xumx": xumx, "openunmix": openunmix, "sony": sony}


def scaled(start: float, whole: float, factor: float) -> float:
    """Time for ``factor`` times as much music: what a program takes to start does not grow."""
    return start + factor * max(whole - start, 0.0)


def targets(results: dict[str, Result], ideals: dict[str, float], calm: bool = True) -> list[list[str]]:
    """Rows of the second table: what is wanted, what is measured, and whether that will do.

    Parameters
    ----------
    results : dict of str to Result
        With those of :func:`xumx`.
    ideals : dict of str to float
        Seconds that the network's matrix products alone take, by what multiplies.
    calm : bool
        Whether ``ideals`` were measured undisturbed.
    """
    rows: list[list[str]] = []

    def row(name: str, wanted: str, measured: str, met: bool, calm: bool) -> None:
        rows.append([name, wanted, measured, ("yes" if met else "no") if calm else "disturbed"])

    mine, clip = results["xumx"].run, results["clip"].run
    for peer, limit in (("sony", TIMES_SONY), ("openunmix", TIMES_OPENUNMIX)):
        if peer in results:
            its = results[peer].run
            times = its.wall / mine.wall
            name = f"faster than {results[peer].name}"
            row(name, f"≥ {limit} ×", f"{times:.2f} ×", times >= limit, mine.calm and its.calm)
    for name, ideal in ideals.items():
        times = mine.wall / ideal
        name = f"time over its matrix products in {name}, {ideal:.2f} s"
        row(name, f"≤ {TIMES_IDEAL} ×", f"{times:.2f} ×", times <= TIMES_IDEAL, mine.calm and calm)
    name = f"{results['clip'].name}, shell to files"
    row(name, f"≤ {CLIP_LIMIT:g} s", f"{clip.wall:.2f} s", clip.wall <= CLIP_LIMIT, clip.calm)
    return rows


def report(bench: Bench, results: dict[str, Result], parts: dict[str, Run]) -> None:
    """Print the tables, and which of all measurements are doubtful."""
    speed = bench.answer("ideal")
    ideals = {name: speed["flops"] * bench.seconds / rate for name, rate in speed["rates"].items()}
    rates = " and ".join(f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in speed["rates"].items())
    music = f"{bench.seconds:g} s of music, file to files"
    header = [music, "time", "CPU", "real-time factor", "times real time", "peak memory"]
    print(table(header, (result.row() for result in results.values())) + "\n")
    print(
        f"The network's matrix products are {speed['flops'] / 1e9:.2f} GFLOP a second of music. "
        f"{cores()} cores reach {rates} in float32 products of 2048 × 2048.\n"
    )
    if "xumx" in results:
        rows = targets(results, ideals, parts["ideal"].calm)
        print(table(["target", "wanted", "measured", "met"], rows) + "\n")
        stages = bench.answer("stages")
        shares = sorted(stages["stages"].items(), key=lambda item: -item[1])
        rows = [[name, f"{cpu:.2f} s", f"{100 * cpu / stages['cpu']:.0f} %"] for name, cpu in shares]
        rows.append(["in all", f"{stages['cpu']:.2f} s", "100 %"])
        print(table(["stage of xumx", "CPU", "share"], rows))
    runs = {**{name: result.run for name, result in results.items()}, **parts}
    if disturbed := [name for name, run in runs.items() if not run.calm]:
        print(f"\nOther programs disturbed {', '.join(disturbed)}: not to be published.")


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 1 if anything that was asked for could not be measured."""
    args = _parser().parse_args(argv)
    bench = Bench(args.cache.expanduser().resolve(), args.seconds, args.repeats, args.patience)
    bench.work.mkdir(parents=True, exist_ok=True)
    print(machine(["numpy", "scipy", "onnxruntime", "llvmlite", "av"]))
    print(f"load average at the beginning: {_load()}", flush=True)
    ours = (sys.executable, "-m")
    results: dict[str, Result] = {}
    failed = False
    try:
        lengths = map(str, (bench.seconds, bench.sony_seconds, CLIP_SECONDS))
        bench.run("inputs", *ours, "bench.inputs", bench.work, *lengths, cwd=ROOT)
        parts = {"ideal": bench.measure("ideal", *ours, "bench.ideal", cwd=ROOT)}
        for name in args.peers:
            try:
                results |= PEERS[name](bench)
            except BenchError as error:
                failed = True
                print(f"{name} is left out: {error}", file=sys.stderr, flush=True)
        if "xumx" in results:
            files = (bench.work / name for name in ("song.mp3", "x-umx.h5", "stages"))
            parts["stages"] = bench.measure("stages", *ours, "bench.stages", *files, cwd=ROOT)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"load average at the end: {_load()}\n", flush=True)
    report(bench, results, parts)
    return int(failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Separation speed of xumx, Sony's X-UMX code and Open-Unmix, in one run.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    option = parser.add_argument
    option("--seconds", type=_seconds, default=180.0, help="of music")
    option("--peers", nargs="+", choices=tuple(PEERS), default=tuple(PEERS), help="which to run")
    option("--repeats", type=_count, default=3, help="of xumx and openunmix, for medians; Sony's runs once")
    option(
        "--patience",
        type=_seconds,
        default=60.0,
        help="seconds a measurement waits and tries again while other programs run",
    )
    option("--cache", type=Path, default="~/.cache/xumx-bench", help="folder of environments and files")
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {text}")
    return value


def _load() -> str:
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


if __name__ == "__main__":
    sys.exit(main())
