"""Processes with a GPU each, whose gradients NNabla averages by NCCL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nnabla as nn
import nnabla.communicators as C

from xumx.base.errors import XumxError
from xumx.parallel.mpi import BUCKET, MpiCommunicator


class NcclCommunicator(MpiCommunicator):
    """Gradients and running statistics stay on the GPUs; all else goes by MPI.

    Parameters
    ----------
    world : mpi4py.MPI.Intracomm
        All processes.
    context : nnabla.Context
        With this process's GPU.

    Raises
    ------
    XumxError
        If NNabla cannot make its communicator.
    """

    def __init__(self, world: Any, context: nn.Context) -> None:
        super().__init__(world)
        self._repeats: dict[int, bool] = {}
        try:
            self._nccl = C.MultiProcessDataParallelCommunicator(context)
            self._nccl.init()
            found = self._nccl.rank, self._nccl.size
            local_rank = self._nccl.local_rank
        except Exception as error:  # NNabla raises RuntimeError, and whatever loading its libraries did
            raise XumxError(
                f"NNabla has no communicator for GPUs ({str(error).splitlines()[0]}): install NCCL, Open MPI "
                "and mpi4py for it, as environment-gpu.yml does, and set NCCL_HOME and OMPI_HOME"
            ) from None
        if found != (self.rank, self.size):
            raise XumxError(
                f"NNabla finds itself to be rank {found[0]} of {found[1]}: it uses another MPI than mpirun; "
                "set OMPI_HOME to the folder of the Open MPI that mpirun is of"
            )
        if local_rank != self.local_rank:  # it computes on the GPU of this number, whatever the context says
            raise XumxError(
                f"NNabla takes rank {self.rank} for number {local_rank} of its machine, which is number "
                f"{self.local_rank}: NNabla tells machines by their names; give each its own"
            )

    def backward(self, loss: nn.Variable, parameters: Mapping[str, nn.Variable], scale: float = 1) -> None:
        gradients = [p.grad for p in parameters.values() if p.need_grad]
        statistics = [p.data for p in parameters.values() if not p.need_grad]
        if statistics:  # discriminators have none
            self._nccl.all_reduce(statistics, division=True, inplace=False)
        if hash(loss) not in self._repeats:
            self._repeats[hash(loss)] = _repeats(loss, gradients)
        # NNabla's callback does what `xumx.parallel.mpi.Mean` does, but it counts no uses.
        if self._repeats[hash(loss)]:  # the callback would send a gradient when only a part of it is there
            loss.backward(grad=scale, clear_buffer=True)
            self._nccl.all_reduce(gradients, division=True, inplace=False)
            return
        callback = self._nccl.all_reduce_callback(gradients, BUCKET // 4, division=True)
        loss.backward(grad=scale, clear_buffer=True, communicator_callbacks=callback)


def _repeats(loss: nn.Variable, gradients: list[nn.NdArray]) -> bool:
    """Whether a parameter has several functions in the graph, as those of discriminators have."""
    uses = dict.fromkeys(map(hash, gradients), 0)

    def visit(function: Any) -> None:
        for variable in function.inputs:
            if hash(variable.grad) in uses:
                uses[hash(variable.grad)] += 1

    loss.visit(visit)
    return any(count > 1 for count in uses.values())
