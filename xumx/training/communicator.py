"""The processes that train together. So far there is one; its communicator does nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable

import nnabla as nn
import numpy as np

from xumx.errors import XumxError

# Set for every process by Open MPI, by MPICH and its kin, and by Slurm's srun.
_WORLD_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")


class Communicator:
    """One process: the interface through which the trainer meets the others.

    Attributes
    ----------
    rank, size : int
        Which of how many processes this is. Rank 0 alone writes files and talks to the user.
    """

    rank = 0
    size = 1

    def backward(self, loss: nn.Variable, gradients: Iterable[nn.NdArray]) -> None:
        """Run the backward pass; afterwards the gradients are the means over all processes."""
        loss.backward(clear_buffer=True)

    def average(self, arrays: Iterable[nn.NdArray]) -> None:
        """Replace arrays, such as parameters or running statistics, by their means over all processes."""

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum of a small array over all processes, float64."""
        return np.asarray(values, np.float64)

    def broadcast(self, values: np.ndarray | None) -> np.ndarray:
        """The array that rank 0 has; the others may give None."""
        assert values is not None
        return values

    def barrier(self) -> None:
        """Wait until all processes are here."""


def communicator() -> Communicator:
    """The communicator of this process.

    Raises
    ------
    XumxError
        If it was started as one of several, which would all train the same alone.
    """
    for name in _WORLD_SIZES:
        size = os.environ.get(name, "1")
        if size.isdigit() and int(size) > 1:
            raise XumxError(
                f"started as one of {size} processes ({name}), which needs a communicator that this version "
                "lacks; start one process"
            )
    return Communicator()
