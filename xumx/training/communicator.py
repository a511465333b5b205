"""The processes that train together, as the trainer meets them; one process alone has nothing to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import nnabla as nn
import numpy as np

from xumx.data.track import listing

T = TypeVar("T")


class Communicator:
    """One process: the interface through which the trainer meets the others.

    All processes call the same methods in the same order.

    Attributes
    ----------
    rank, size : int
        Which of how many processes this is. Rank 0 alone writes files and talks to the user.
    local_rank : int
        Which of those on this machine.
    machines : int
        On how many machines they are.
    """

    rank = 0
    size = 1
    local_rank = 0
    machines = 1

    def backward(self, loss: nn.Variable, parameters: Mapping[str, nn.Variable]) -> None:
        """Run the backward pass, after which all processes have means over all of them.

        Of parameters that need a gradient that is the mean of their gradients, of the others, the running
        statistics of batch norm, that of their values.
        """
        loss.backward(clear_buffer=True)

    def gather(self, value: T) -> list[T]:
        """What each process has, by rank."""
        return [value]

    def broadcast(self, value: T | None) -> T:
        """What rank 0 has; the others may give None."""
        assert value is not None
        return value

    def differing(self, value: object) -> str:
        """The ranks, in words, whose value is not that of rank 0; nothing if all have the same."""
        found = self.gather(value)
        others = [str(rank) for rank, theirs in enumerate(found) if theirs != found[0]]
        return f"rank{'s' * (len(others) > 1)} {listing(others)}" if others else ""

    def barrier(self) -> None:
        """Wait until all processes are here."""
        self.gather(None)

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum of a small array over all processes, float64; the same on all of them to the last bit."""
        return np.sum(self.gather(np.asarray(values, np.float64)), axis=0)
