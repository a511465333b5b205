"""Cores that this process may use, and threads for them: whatever divides work among threads asks here.

Nothing here imports NumPy, whose BLAS takes its number of threads from the environment when it is loaded.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Cores(NamedTuple):
    """Cores by number, of which ``granted`` may be busy at a time by all processes of the same ``group``.

    A launcher or ``taskset`` binds a process to some cores; a container grants a share of the time of all.
    """

    numbers: frozenset[int]
    granted: float = math.inf
    group: object = None


def threads(processes: int = 1) -> int:
    """Threads for this process, or for each of several that share its cores: 1 or more.

    ``OMP_NUM_THREADS`` wins, which BLAS heeds too. By it ranks and pools tell their processes their share.
    """
    told = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # a list is for nested loops
    if told.isdecimal() and int(told):
        return max(int(told) // processes, 1)
    return max(share(usable_cores(), [usable_cores()]) // processes, 1)


def share(mine: Cores, local: Sequence[Cores]) -> int:
    """Threads for a process with the cores ``mine``, beside those of its machine, itself included.

    Each core is divided among those that may use it, whether the launcher has bound them to cores or not.
    """
    bound = sum(1 / sum(core in cores.numbers for cores in local) for core in mine.numbers)
    granted = mine.granted / sum(cores.group == mine.group for cores in local)
    return max(int(min(bound, math.ceil(granted) if granted < math.inf else bound) + 1e-9), 1)


def usable_cores() -> Cores:
    """Those of this process: what the system binds it to, and what its container grants."""
    try:
        numbers = frozenset(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        numbers = frozenset(range(os.cpu_count() or 1))
    return Cores(numbers, *_quota())


def _quota(
    root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> tuple[float, object]:
    """The least time, in cores, that a control group of this process grants, and which group that is.

    Of Linux, in versions 1 and 2; inf where there is none. Within a container the group's path may be one of
    the machine's, and only the root is there.
    """
    found: tuple[float, object] = (math.inf, None)
    try:
        groups = [line.split(":", 2) for line in own.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return found
    for _, controllers, path in groups:
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / "cpu" if controllers else root
        folder = top / path.lstrip("/")
        for group in (folder, *folder.parents):
            granted = _granted(group)
            if granted < found[0]:
                status = group.stat()
                found = granted, (status.st_dev, status.st_ino)
            if group == top:
                break
    return found


def _granted(group: Path) -> float:
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text(encoding="utf-8")
            period = (group / "cpu.cfs_period_us").read_text(encoding="utf-8")
        return int(quota) / int(period) if int(quota) > 0 else math.inf  # -1 of version 1: none
    except (OSError, ValueError, ZeroDivisionError):  # "max" of version 2: none
        return math.inf
