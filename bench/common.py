"""What benchmarks share: measured processes, the machine in words, tables.

Imports nothing heavy: a child's peak memory is never reported as less than that of the process which
started it.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

CALM = 0.05
"""The part of the cores that others may take."""

_THREADS = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA")


class BenchError(Exception):
    """A step that failed, in one line."""


@dataclass(frozen=True)
class Run:
    """One whole process: elapsed and CPU seconds, and peak memory in MB (10⁶ bytes).

    The CPU seconds include the programs it started, the peak is that of its largest process. ``others`` is
    the part of the cores that the machine gave to anything else meanwhile; 0 where it does not tell.
    """

    wall: float
    cpu: float
    peak: float
    others: float = 0.0

    @property
    def calm(self) -> bool:
        """Whether nothing else took enough to make the figures doubtful."""
        return self.others <= CALM


def measure(
    command: Sequence[str | Path], *, log: Path, cwd: Path, env: Mapping[str, str] | None = None
) -> Run:
    """Run a command to its end, its output in ``log``.

    Parameters
    ----------
    command : sequence of str or path
    log : path
        Is overwritten.
    cwd : path
    env : mapping of str, optional
        Added to :func:`clean_environment`.

    Raises
    ------
    BenchError
        With the last line of the output if the exit code is not 0.
    """
    with open(log, "wb") as output:
        busy, began = _busy(), time.perf_counter()
        process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**clean_environment(), **(env or {})},
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        wall, busy_after = time.perf_counter() - began, _busy()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        lines = log.read_text(errors="replace").splitlines()
        said = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
        raise BenchError(f"{Path(command[0]).name} ended with {process.returncode}: {said} (see {log})")
    unit = 1 if sys.platform == "darwin" else 1024
    cpu = usage.ru_utime + usage.ru_stime
    others = 0.0
    if busy is not None and busy_after is not None:
        others = max(busy_after - busy - cpu, 0.0) / (wall * cores())
    return Run(wall, cpu, usage.ru_maxrss * unit / 1e6, others)


def wait_until_quiet(patience: float) -> None:
    """Return when other programs leave the cores alone, or after ``patience`` seconds.

    Libraries whose threads wait for each other by spinning take many times as long when one of them loses
    its core, so that a busy machine does not slow all programs alike.
    """
    now = time.perf_counter()
    end = now + patience
    while now < end:
        before, began = _busy(), now
        time.sleep(2)
        after, now = _busy(), time.perf_counter()
        if before is None or after is None or after - before < CALM * (now - began) * cores():
            return


def median(runs: Iterable[Run]) -> Run:
    """Median times and the highest peak of the calm runs, or the calmest run if others disturbed them all."""
    runs = sorted(runs, key=lambda run: run.others)
    runs = [run for run in runs if run.calm] or runs[:1]
    return Run(
        statistics.median(run.wall for run in runs),
        statistics.median(run.cpu for run in runs),
        max(run.peak for run in runs),
        max(run.others for run in runs),
    )


def clean_environment() -> dict[str, str]:
    """The user's environment without what changes imports or the number of threads."""
    drop = {"PYTHONPATH", "PYTHONHOME", *(f"{name}_NUM_THREADS" for name in _THREADS)}
    return {name: value for name, value in os.environ.items() if name not in drop}


def cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        return os.cpu_count() or 1


def machine(packages: Iterable[str]) -> str:
    """Processor, cores, system, Python and the versions of those packages that are there, in one line."""
    there = {name: found for name in packages for found in _version(name)}
    versions = ", ".join(f"{name} {version}" for name, version in there.items())
    python = f"Python {platform.python_version()}"
    return f"{_processor()}, {cores()} cores; {platform.platform()}; {python}, {versions}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are numbers, to the right."""
    cells = [list(header), *map(list, rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        first, *rest = zip(row, widths, strict=True)
        texts = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in rest)]
        return f"| {' | '.join(texts)} |"

    rule = [("-" * (w - 1) + ":") if i else "-" * w for i, w in enumerate(widths)]
    return "\n".join([line(cells[0]), line(rule), *map(line, cells[1:])])


def _version(package: str) -> list[str]:
    try:
        return [metadata.version(package)]
    except metadata.PackageNotFoundError:
        return []


def _busy() -> float | None:
    """CPU seconds that the machine has spent so far on all processes."""
    try:
        with open("/proc/stat") as file:
            user, nice, system, _idle, _waiting, irq, softirq, steal = map(int, file.readline().split()[1:9])
    except OSError:
        return None
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
