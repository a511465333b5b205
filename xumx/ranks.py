"""Which of how many processes this is, that mpirun or srun started together.

Those that train talk to each other by MPI (:mod:`xumx.training.communicator`). Those that separate or score
need no MPI: they share songs, and meet in a folder to tell rank 0 what failed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from xumx.errors import XumxError
from xumx.files import locked, replacing

T = TypeVar("T")

# Open MPI, MPICH and its kin (Hydra), a step of Slurm.
_RANK = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")
_SIZE = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")
_LOCAL_RANK = ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID")
_LOCAL_SIZE = ("OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS")
_PAUSE = 0.1


@dataclass(frozen=True)
class Rank:
    """One process among ``size``; on this machine it is ``local_rank`` among ``local_size``.

    Slurm gives each of its processes its own cores: there ``local_size`` stays 1.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @classmethod
    def detect(cls, environment: Mapping[str, str] = os.environ) -> Rank:
        """From the variables that launchers set; alone if there are none."""
        for names in zip(_RANK, _SIZE, strict=True):
            if all(name in environment for name in names):
                rank, size = (int(environment[name]) for name in names)
                local_rank = (environment[name] for name in _LOCAL_RANK if name in environment)
                local_size = (environment[name] for name in _LOCAL_SIZE if name in environment)
                return cls(rank, size, int(next(local_rank, 0)), int(next(local_size, 1)))
        return cls()

    def __str__(self) -> str:
        return f"rank {self.rank} of {self.size} on {socket.gethostname()}"

    @property
    def threads(self) -> int:
        """This process's share of the cores that the machine lets it use."""
        return max(len(usable_cores()) // self.local_size, 1)

    def share(self, items: Sequence[T]) -> list[T]:
        """This instance's part of items that all instances have in the same order."""
        return list(items[self.rank :: self.size])

    def meet(self, folder: Path, work: Callable[[], list[str]]) -> list[str] | None:
        """Do this process's share of the work.

        All processes must come here, or none: what can fail before must fail for all of them.

        Parameters
        ----------
        folder : path
            One that all processes see.
        work : callable
            Returns a line for each failure. What it raises is raised by rank 0, when the others are done;
            of another rank it is printed, and is a line.

        Returns
        -------
        list of str or None
            To rank 0 the lines of all, to the others nothing: rank 0 answers for all.

        Raises
        ------
        UsageError
            If the same command is at work in the folder.
        XumxError
            If several processes cannot meet in the folder.
        """
        if self.size == 1:
            return work()
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise XumxError(f"{folder}: {self.size} processes meet there, but it cannot be written")
        # A lock a rank: those of a second job must not deliver to the first.
        with locked(folder, f".run-{self._job}-{self.rank}.lock", "folder"):
            if self.rank == 0:
                return self._lead(folder, work)
            self.deliver(folder, self._follow(work))
        return None

    def _lead(self, folder: Path, work: Callable[[], list[str]]) -> list[str]:
        name = self.announce(folder)
        try:
            lines = work()
        except Exception:  # an interrupt does not wait: it has reached the others too
            self.collect(folder, name, [])  # or they would wait for ever
            raise
        return self.collect(folder, name, lines)

    def _follow(self, work: Callable[[], list[str]]) -> list[str]:
        """Nothing is raised: launchers end the other processes when one exits with an error."""
        try:
            return work()
        except XumxError as error:
            line = f"{self}: {error}"
            print(f"error: {line}", file=sys.stderr)
        except Exception as error:
            line = f"{self}: {type(error).__name__}: {error}"
            traceback.print_exc()
        return [line]

    @property
    def _job(self) -> str:
        """Keeps apart jobs that meet in the same folder: short, and the same for all processes of a job."""
        job = json.dumps([sys.argv[1:], os.getcwd(), self.size])
        return hashlib.blake2b(job.encode(), digest_size=4).hexdigest()

    def announce(self, folder: Path) -> str:
        """Called first by rank 0: makes known that this run has begun, and returns its name."""
        name = f"{self._job}-{secrets.token_hex(8)}"
        _write(folder / f".run-{self._job}", name)
        return name

    def collect(self, folder: Path, name: str, lines: Sequence[str]) -> list[str]:
        """Called last by rank 0: waits for the others and returns the lines of all."""
        lines = list(lines)
        paths = [folder / f".rank-{name}-{rank}" for rank in range(1, self.size)]
        while not all(path.exists() for path in paths):
            time.sleep(_PAUSE)
        for path in paths:
            lines += json.loads(path.read_text())
        for path in folder.glob(f".rank-{self._job}-*"):  # those for a run that was killed too
            path.unlink()
        (folder / f".run-{self._job}").unlink(missing_ok=True)
        return lines

    def deliver(self, folder: Path, lines: Sequence[str]) -> None:
        """Called last by the other ranks: returns when rank 0 has the lines.

        A run that was killed leaves its name behind. So the lines wait under the name that is there, and
        again under the next, until rank 0 takes them.
        """
        name, path = "", folder
        while True:
            run = _read(folder / f".run-{self._job}")
            if run and run != name:
                name, path = run, folder / f".rank-{run}-{self.rank}"
                _write(path, json.dumps(list(lines)))
            elif name and not path.exists():
                return
            time.sleep(_PAUSE)


def usable_cores() -> set[int]:
    """Numbers of the cores that this process may use."""
    try:
        return os.sched_getaffinity(0)
    except AttributeError:  # macOS and Windows
        return set(range(os.cpu_count() or 1))


def _write(path: Path, text: str) -> None:
    with replacing(path) as aside:
        aside.write_text(text)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
