"""Several instances of the command, started by mpirun or srun, that meet in a folder."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from xumx.files import replacing

T = TypeVar("T")

# Open MPI, MPICH (Hydra), Slurm.
_RANK = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")
_SIZE = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS")
_LOCAL_SIZE = ("OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS")
_PAUSE = 0.1


@dataclass(frozen=True)
class Rank:
    """One instance among ``size``; ``local_size`` of them are on this machine."""

    rank: int = 0
    size: int = 1
    local_size: int = 1

    @classmethod
    def detect(cls, environment: Mapping[str, str] = os.environ) -> Rank:
        """From the variables that launchers set; alone if there are none."""
        for names in zip(_RANK, _SIZE, strict=True):
            if all(name in environment for name in names):
                rank, size = (int(environment[name]) for name in names)
                local = (environment[name] for name in _LOCAL_SIZE if name in environment)
                return cls(rank, size, int(next(local, 1)))
        return cls()

    def share(self, items: Sequence[T]) -> list[T]:
        """This instance's part of items that all instances have in the same order."""
        return list(items[self.rank :: self.size])

    def announce(self, folder: Path) -> str:
        """Called first by rank 0: makes known that this run has begun, and returns its name."""
        name = secrets.token_hex(8)
        if self.size > 1:
            _write(folder / ".run", name)
        return name

    def collect(self, folder: Path, name: str, lines: Sequence[str]) -> list[str]:
        """Called last by rank 0: waits for the others and returns the lines of all."""
        lines = list(lines)
        for rank in range(1, self.size):
            path = folder / f".rank-{name}-{rank}"
            while not path.exists():
                time.sleep(_PAUSE)
            lines += json.loads(path.read_text())
            path.unlink()
        if self.size > 1:
            (folder / ".run").unlink(missing_ok=True)
        return lines

    def deliver(self, folder: Path, lines: Sequence[str]) -> None:
        """Called last by the other ranks: returns when rank 0 has the lines.

        A run that was killed leaves its name behind. So the lines wait under the name that is there, and
        again under the next, until rank 0 takes them.
        """
        name, path = "", folder
        while True:
            run = _read(folder / ".run")
            if run and run != name:
                name, path = run, folder / f".rank-{run}-{self.rank}"
                _write(path, json.dumps(list(lines)))
            elif name and not path.exists():
                return
            time.sleep(_PAUSE)


def _write(path: Path, text: str) -> None:
    with replacing(path) as aside:
        aside.write_text(text)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
