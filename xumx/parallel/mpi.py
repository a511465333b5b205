"""Processes of one machine or of many that meet by MPI."""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from xumx.base import log
from xumx.base.errors import XumxError
from xumx.base.memory import aligned
from xumx.parallel.communicator import Communicator

if TYPE_CHECKING:
    import nnabla as nn

T = TypeVar("T")
Array = NDArray[np.float32]

BUCKET = 4 << 20
"""Bytes of gradients that are sent together: latency no longer counts, and backward is still running."""

_PAUSE = 2e-4  # seconds between looks whether the others are there; waiting in MPI itself would take a core
_ASKING, _PATIENCE = 1, 1e-2  # the tag of who asks rank 0 for work, and seconds between its looks


class MpiCommunicator(Communicator):
    """One of several processes; the methods are those of :class:`xumx.parallel.communicator.Communicator`.

    Parameters
    ----------
    world : mpi4py.MPI.Intracomm
        All processes.
    """

    def __init__(self, world: Any) -> None:
        self._world = world
        self.rank, self.size = world.rank, world.size
        local = world.Split_type(MPI.COMM_TYPE_SHARED)
        self.local_rank = local.rank
        local.Free()
        self.machines = world.allgather(self.local_rank).count(0)
        self._means: dict[int, Mean] = {}
        self._handing: threading.Thread | None = None

    def backward(self, loss: nn.Variable, parameters: Mapping[str, nn.Variable], scale: float = 1) -> None:
        if hash(loss) not in self._means:
            self._means[hash(loss)] = Mean(self._world, loss, parameters)
        mean = self._means[hash(loss)]
        mean.begin()
        loss.backward(grad=scale, clear_buffer=True, function_post_hook=mean.after)
        self.barrier()
        mean.end()

    def share(self, items: Sequence[T], passed: Callable[[T], object] = lambda item: None) -> Iterator[T]:
        """Hand out items one by one; see :meth:`Communicator.share`.

        A thread of rank 0 tells who asks which item is next, so that rank 0 works too, and takes its items
        from the same counter. (MPI's own executor keeps rank 0 from work. A counter that all reach in its
        memory would need no thread, but many networks reach it only while rank 0 is in a call of MPI.)

        Raises
        ------
        XumxError
            If MPI bears no calls from another thread.
        """
        if MPI.Query_thread() < MPI.THREAD_SERIALIZED:
            raise XumxError("this MPI takes calls from one thread only; sharing out work needs another MPI")
        if self.rank:
            while (index := self._asked()) is not None:
                yield items[index]
            return
        lock, indices = threading.Lock(), iter(range(len(items)))

        def following() -> int | None:
            with lock:
                return next(indices, None)

        self._handing = threading.Thread(
            target=self._hand_out, args=(following, lambda index: passed(items[index])), daemon=True
        )
        self._handing.start()
        while (index := following()) is not None:
            yield items[index]

    def _asked(self) -> int | None:
        """The next item that rank 0 gives; it gets the lines that have come up."""
        index: int | None = self._world.sendrecv(log.take(), 0, _ASKING, source=0, recvtag=_ASKING)
        return index

    def _hand_out(self, following: Callable[[], int | None], passed: Callable[[int], object]) -> None:
        """Answer the others until each has been told that nothing is left."""
        try:
            left = dict.fromkeys(range(1, self.size))  # and what each has got last
            status = MPI.Status()
            while left:
                if not self._world.Iprobe(MPI.ANY_SOURCE, _ASKING, status):
                    time.sleep(_PATIENCE)
                    continue
                rank, index = status.Get_source(), following()
                log.show(self._world.recv(None, rank, _ASKING))
                self._world.send(index, rank, _ASKING)
                if (before := left[rank]) is not None:
                    passed(before)
                left[rank] = index
                if index is None:
                    del left[rank]
        except BaseException:  # or the others would wait for ever
            traceback.print_exc()
            self._world.Abort(1)

    def leave(self, code: int) -> None:
        self._world.Abort(code)

    def gather(self, value: T) -> list[T]:
        self.barrier()
        found = self._world.allgather((value, log.take()))
        for _, lines in found:
            log.show(lines)
        return [theirs for theirs, _ in found]

    def broadcast(self, value: T | None) -> T:
        self.barrier()
        return self._world.bcast(value)

    def barrier(self) -> None:
        if self._handing is not None:
            self._handing.join()
            self._handing = None
        request = self._world.Ibarrier()
        while not request.Test():
            time.sleep(_PAUSE)


class Mean:
    """Means over all processes, on the way while backward is still running.

    The gradient of the last layer is there long before that of the first. If it is sent at once, the network
    is busy while the processor still computes the others, and at the end of backward little is left to wait
    for. Three things stand in the way of just that:

    - A message costs its latency, however short it is, and a network has hundreds of small parameters. So
      gradients are packed into buckets of some megabytes, and each bucket is one message.
    - Messages of different processes are matched by their order alone: the third one of each is summed. So
      all processes must fill and send the same buckets in the same order, although backward may go through
      branches of the graph in an order of its own.
    - A parameter that several functions use (the weights of a discriminator that hears the estimate and the
      target) gets its gradient in as many parts, and must not leave before the last has been added.

    So the buckets are planned once, from the graph, which all processes have in common: parameters are taken
    in the order in which backward is done with them, the deepest function first. Each bucket counts the uses
    of its parameters that are still to come. It leaves when none is left *and* those before it have left.
    Bucket 0 holds what backward leaves alone, the running statistics, and leaves before it begins.

    Parameters
    ----------
    world : mpi4py.MPI.Intracomm
    loss : Variable
        The graph that :meth:`after` will be called for.
    parameters : mapping of str to Variable
    """

    def __init__(self, world: Any, loss: nn.Variable, parameters: Mapping[str, nn.Variable]) -> None:
        self._world, self.loss = world, loss
        names = {hash(p.grad): name for name, p in parameters.items() if p.need_grad}
        uses, depths = dict.fromkeys(names.values(), 0), dict.fromkeys(names.values(), math.inf)

        # A parameter is known by the array of its gradient: the graph has variables of its own for it, which
        # share that array. `rank` is the place of a function in the graph, 0 at the inputs. Backward goes
        # from the highest to the lowest: the lowest of a parameter's functions is the last to add to its
        # gradient.
        def visit(function: Any) -> None:
            for variable in function.inputs:
                name = names.get(hash(variable.grad))
                if name is not None:
                    uses[name] += 1
                    depths[name] = min(depths[name], function.rank)

        loss.visit(visit)
        # Bucket 0 counts as full from the beginning, so that the first gradient opens bucket 1. Equal depths
        # are told apart by their names, the same in all processes. A parameter larger than a bucket ends it.
        groups = [sorted(name for name, p in parameters.items() if not p.need_grad)]
        sizes = [BUCKET]
        for name in sorted((n for n in uses if uses[n]), key=lambda n: (-depths[n], n)):
            if sizes[-1] >= BUCKET:
                groups.append([])
                sizes.append(0)
            groups[-1].append(name)
            sizes[-1] += parameters[name].size * 4
        self._arrays = [
            [parameters[n].grad if parameters[n].need_grad else parameters[n].data for n in group]
            for group in groups
        ]
        self._buckets = [aligned(sum(array.size for array in arrays)) for arrays in self._arrays]
        self._bucket_of = {key: i for key, n in names.items() for i, g in enumerate(groups) if n in g}
        self._uses = [sum(uses.get(name, 0) for name in group) for group in groups]
        self._left = self._uses.copy()
        self._requests: list[Any] = []

    @property
    def bytes(self) -> int:
        """What each process contributes."""
        return sum(bucket.nbytes for bucket in self._buckets)

    @property
    def buckets(self) -> int:
        """In how many messages."""
        return len(self._buckets)

    def begin(self) -> None:
        """Begin: send what backward leaves alone. To be called before backward."""
        self._left = self._uses.copy()
        self._send()

    def after(self, function: Any) -> None:
        """Count the uses of a function, whose backward is done, and send the buckets that are whole."""
        for variable in function.inputs:
            bucket = self._bucket_of.get(hash(variable.grad))
            if bucket is not None:
                self._left[bucket] -= 1
        self._send()
        MPI.Request.Testall(self._requests)  # MPI works while it is called

    def end(self) -> None:
        """Wait for the sums and put the means into place. To be called after backward."""
        self._left = [0] * len(self._left)  # should backward have left a function out
        self._send()
        MPI.Request.Waitall(self._requests)
        self._requests.clear()
        share = np.float32(1 / self._world.size)
        for arrays, bucket in zip(self._arrays, self._buckets, strict=True):
            for array, part in _parts(arrays, bucket, "w"):
                np.multiply(part, share, out=array)

    def _send(self) -> None:
        # As many requests as buckets have left: the next one is number len(requests), and one that is not
        # whole keeps those behind it waiting, whole or not.
        while len(self._requests) < len(self._buckets) and not self._left[len(self._requests)]:
            number = len(self._requests)
            for array, part in _parts(self._arrays[number], self._buckets[number], "r"):
                part[...] = array
            self._requests.append(self._world.Iallreduce(MPI.IN_PLACE, self._buckets[number]))


def _parts(arrays: list[nn.NdArray], bucket: Array, mode: str) -> list[tuple[Array, Array]]:
    """Each array, flat, and its place in the bucket."""
    parts, start = [], 0
    for array in arrays:
        flat = array.get_data(mode, np.float32).reshape(-1)
        parts.append((flat, bucket[start : start + flat.size]))
        start += flat.size
    return parts
