"""Real processes under mpirun."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def start(processes: int, *command: object, **variables: object) -> subprocess.Popen[str]:
    """``mpirun -n processes python command``, by the mpirun of this environment."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    mpirun = shutil.which("mpirun", path=path)
    assert mpirun, "no mpirun beside Python or on the path: pip install '.[mpi]'"
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    environment |= {name: str(value) for name, value in variables.items()}
    return subprocess.Popen(
        [mpirun, "-n", str(processes), sys.executable, *map(str, command)],
        env=environment, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def mpirun(processes: int, *command: object, **variables: object) -> tuple[int, str, str]:
    """Exit code, output and errors of a job that must end within two minutes."""
    with start(processes, *command, **variables) as job:
        try:
            out, err = job.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            job.kill()
            raise
        return job.returncode, out, err


def ranks_of(job: subprocess.Popen[str]) -> list[int]:
    """Process numbers of the ranks: mpirun has a proxy, which has a process a rank, which has the rank."""

    def children(pid: int) -> list[int]:
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    (proxy,) = children(job.pid)
    return [rank for parent in children(proxy) for rank in children(parent)]
