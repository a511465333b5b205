"""The processes of a job, as commands meet them; one process alone has nothing to do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from xumx.base.errors import listing

if TYPE_CHECKING:
    import nnabla as nn

T = TypeVar("T")


class Communicator:
    """One process: the interface through which a command meets the others.

    All processes call the same methods in the same order. What the library logs in a process goes to rank 0
    with what it gathers and when it asks for work (:mod:`xumx.base.log`).

    Attributes
    ----------
    rank, size : int
        Which of how many processes this is. Rank 0 alone writes files and talks to the user.
    local_rank : int
        Which of those on this machine.
    machines : int
        On how many machines they are.

    Examples
    --------
    One process has all the work, and its values are the means:

    >>> alone = Communicator()
    >>> list(alone.share(["a long song", "a short one"])), alone.gather(3), alone.sum(np.ones(2)).tolist()
    (['a long song', 'a short one'], [3], [1.0, 1.0])
    """

    rank = 0
    size = 1
    local_rank = 0
    machines = 1

    def backward(self, loss: nn.Variable, parameters: Mapping[str, nn.Variable], scale: float = 1) -> None:
        """Run the backward pass, after which all processes have means over all of them.

        Of parameters that need a gradient that is the mean of their gradients, of the others, the running
        statistics of batch norm, that of their values. ``scale`` multiplies what this pass adds to the
        gradients, and not what is in them already.
        """
        loss.backward(grad=scale, clear_buffer=True)

    def share(self, items: Sequence[T], passed: Callable[[T], object] = lambda item: None) -> Iterator[T]:
        """Hand out items to work on, each when it is asked for: a slow process holds nobody up.

        Parameters
        ----------
        items : sequence
            The same for all processes, in the same order, best the longest work first. Each item goes to one
            process; all must take items until none is left, and then :meth:`gather` what became of them.
        passed : callable
            Called in another thread of rank 0 with each item of another process that asks for the next.

        Yields
        ------
        item
            The next that falls to this process.
        """
        yield from items

    def after_first(self, make: Callable[[], T]) -> T:
        """Call ``make`` after rank 0 has, and return what it makes: rank 0 says for all what is wrong."""
        if self.rank == 0:
            made = make()
            self.barrier()
            return made
        self.barrier()
        return make()

    def leave(self, code: int) -> None:
        """End all processes at once, with this exit code."""
        os._exit(code)

    def gather(self, value: T) -> list[T]:
        """Return what each process has, by rank."""
        return [value]

    def broadcast(self, value: T | None) -> T:
        """Return what rank 0 has; the others may give None."""
        assert value is not None
        return value

    def differing(self, value: object) -> str:
        """Name the ranks whose value is not that of rank 0: ``ranks 1 and 3``; empty if all have the same."""
        found = self.gather(value)
        others = [str(rank) for rank, theirs in enumerate(found) if theirs != found[0]]
        return f"rank{'s' * (len(others) > 1)} {listing(others)}" if others else ""

    def barrier(self) -> None:
        """Wait until all processes are here."""
        self.gather(None)

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum a small array over all processes in float64; the same on all of them to the last bit."""
        return np.sum(self.gather(np.asarray(values, np.float64)), axis=0)
