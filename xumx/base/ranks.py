"""Which of how many processes this is, that mpirun or srun started together; they meet in `xumx.parallel`."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from xumx.base.errors import UsageError

# Open MPI, MPICH and its kin (Hydra), a step of Slurm.
_RANK = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")
_SIZE = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")
_LOCAL_RANK = ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID")


@dataclass(frozen=True)
class Rank:
    """One process among ``size``; ``local_rank`` is its number on this machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @classmethod
    def detect(cls, environment: Mapping[str, str] = os.environ) -> Rank:
        """From the variables that launchers set; alone if there are none.

        Raises
        ------
        UsageError
            If they are no numbers, or those of no rank.
        """
        for names in zip(_RANK, _SIZE, strict=True):
            if all(name in environment for name in names):
                found = {name: environment[name] for name in (*names, *_LOCAL_RANK) if name in environment}
                try:
                    rank, size, *local = map(int, found.values())
                except ValueError:
                    rank, size, local = -1, 0, []
                if not 0 <= rank < size or min(local, default=0) < 0:
                    told = ", ".join(f"{name}={value!r}" for name, value in found.items())
                    raise UsageError(
                        f"the environment tells of no rank of a job: {told}; these are set by mpirun and "
                        f"srun, and must be unset to run alone"
                    )
                return cls(rank, size, local[0] if local else 0)
        return cls()

    def __str__(self) -> str:
        return f"rank {self.rank} of {self.size} on {socket.gethostname()}"


def speaks() -> bool:
    """Whether this process says what all of a job would say: one alone, rank 0, or where there is no rank."""
    try:
        return Rank.detect().rank == 0
    except UsageError:
        return True
