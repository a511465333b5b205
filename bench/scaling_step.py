"""``python -m bench.scaling_step BATCH SECONDS HIDDEN STEPS``: steps of training X-UMX, of one rank.

The audio is noise. Rank 0 prints JSON: ``ranks``; the median seconds of a step after the first (``step``) and
of its backward pass (``backward``), and of these what goes into means over the ranks (``reduce``: packing,
sending, receiving) and into waiting for the others (``wait``); the ``bytes`` that a rank adds to the means of
a step, and in how many ``buckets``.
"""

from __future__ import annotations

import json
import logging
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import nnabla as nn
import nnabla.solvers as S
import numpy as np
from mpi4py import MPI

from xumx.graph.model import create_parameters
from xumx.graph.objective import Objective
from xumx.graph.ops import cpu as cpu_ops
from xumx.network.config import ModelConfig
from xumx.parallel.communicator import Communicator
from xumx.parallel.mpi import Mean, MpiCommunicator


def main(batch: int, seconds: float, hidden: int, steps: int) -> dict[str, Any]:
    """Take ``steps`` steps of the default recipe, in which each rank hears something else."""
    spent: dict[str, float] = defaultdict(float)

    def time_of(owner: Any, name: str, part: str) -> None:
        function: Callable[..., Any] = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                spent[part] += time.perf_counter() - began

        setattr(owner, name, timed)

    for name in ("begin", "after", "end"):
        time_of(Mean, name, "reduce")
    time_of(MpiCommunicator, "barrier", "wait")
    for owner in (Communicator, MpiCommunicator):
        time_of(owner, "backward", "backward")
    ranks = MpiCommunicator(MPI.COMM_WORLD) if MPI.COMM_WORLD.size > 1 else Communicator()

    config = ModelConfig(hidden_size=hidden)
    create_parameters(config, np.random.RandomState(0))
    samples = round(seconds * config.sample_rate)
    objective = Objective(config, batch, samples, cpu_ops, rng=np.random.default_rng(ranks.rank))
    solver = S.Adam(1e-3)
    solver.set_parameters(nn.get_parameters())
    parameters = nn.get_parameters(grad_only=False)
    rng = np.random.default_rng(ranks.rank)
    shape = (batch, len(config.sources), samples, config.nb_channels)
    targets = rng.standard_normal(shape, np.float32) / 10
    mixture = targets.sum(axis=1)

    taken = []
    for _ in range(steps):
        ranks.barrier()
        spent.clear()
        began = time.perf_counter()
        objective.feed(mixture, targets)
        objective.forward()
        solver.zero_grad()
        ranks.backward(objective.loss, parameters)
        cpu_ops.adam_step(solver, weight_decay=1e-5)
        taken.append({"step": time.perf_counter() - began, **spent})
    names = ("step", "backward", "reduce", "wait")
    medians = {name: statistics.median(step.get(name, 0.0) for step in taken[1:]) for name in names}
    mean = Mean(MPI.COMM_WORLD, objective.loss, parameters)
    return {"ranks": ranks.size, **medians, "bytes": mean.bytes, "buckets": mean.buckets}


if __name__ == "__main__":
    logging.disable(logging.INFO)
    batch, seconds, hidden, steps = sys.argv[1:]
    answer = main(int(batch), float(seconds), int(hidden), int(steps))
    if MPI.COMM_WORLD.rank == 0:
        print(json.dumps(answer), flush=True)
