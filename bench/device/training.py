"""Checks of a GPU that train there: gradients, steps, runs, and the means of two processes."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.device.plan import Failed, config, plan, sample

STEPS = 20


class Training(NamedTuple):
    """Losses, the gradients of the first step, and the seconds of each step."""

    losses: list[float]
    gradients: dict[str, np.ndarray]
    seconds: list[float]


def trained(context: str, steps: int, batch: int, seconds: float) -> Training:
    """Take steps of the default recipe on noise, all from one seed."""
    import nnabla as nn
    import nnabla.random
    import nnabla.solvers as S

    from xumx.engines.nnabla import open_context
    from xumx.graph import ops_for
    from xumx.graph.model import create_parameters
    from xumx.graph.objective import Objective

    network, ops, data = config(), ops_for(context), np.random.default_rng(0)
    found = Training([], {}, [])
    with nn.context_scope(open_context(context, "0")), nn.auto_forward(False), nn.parameter_scope("gpu", {}):
        create_parameters(network, np.random.RandomState(0))
        samples = round(seconds * network.sample_rate)
        objective = Objective(network, batch, samples, ops, rng=np.random.default_rng(0))
        parameters, solver = nn.get_parameters(), S.Adam(1e-3)
        solver.set_parameters(parameters)
        for step in range(steps):
            targets = sample(batch, seconds, data)
            nnabla.random.set_function_seed(step)
            began = time.perf_counter()
            solver.zero_grad()
            objective.feed(targets.sum(axis=1), targets)
            found.losses.append(objective.forward())
            objective.loss.backward(clear_buffer=True)
            if step == 0:
                found.gradients.update((name, p.g.copy()) for name, p in parameters.items())
            ops.adam_step(solver, weight_decay=1e-5)
            found.seconds.append(time.perf_counter() - began)
    return found


def gradients() -> str:
    """The gradients of a step without dropout, which draws otherwise there, against the CPU's."""
    from unittest import mock

    with mock.patch("xumx.graph.model.LSTM_DROPOUT", 0.0):
        there, here = (
            trained(context, 1, 2, plan().seconds / 3).gradients for context in (plan().nnabla, "cpu")
        )
    largest = {name: max(float(np.abs(g).max()), 1e-12) for name, g in here.items()}
    far = {name: float(np.abs(there[name] - here[name]).max()) / largest[name] for name in here}
    worst = max(far, key=lambda name: far[name])
    if not far[worst] < 1e-2:
        raise Failed(f"the gradient of {worst} differs by {far[worst]:.1e} of its largest")
    return f"{far[worst]:.1e} of the largest ({worst})"


def repeated() -> str:
    """The same steps twice, from one seed: whether the device adds in the same order."""
    first, second = (trained(plan().nnabla, STEPS, plan().batch, plan().seconds).losses for _ in range(2))
    far = max(abs(a - b) / abs(a) for a, b in zip(first, second, strict=True))
    return "bit for bit" if far == 0 else f"losses differ by up to {far:.1e}"


def speed() -> str:
    """Samples a second of the default recipe, and the memory that it has taken after that."""
    before = used()
    rate = plan().batch / statistics.median(
        trained(plan().nnabla, STEPS, plan().batch, plan().seconds).seconds[2:]
    )
    return (
        f"{rate:.3g} samples/s, {plan().seconds * rate:.3g} times real time; {used() - before:.2g} GB taken"
    )


def used() -> float:
    """GB of the first GPU that are in use, by all."""
    if plan().rehearsed:
        return 0.0
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
    return int(subprocess.run(query, capture_output=True, text=True, check=True).stdout) * 2**20 / 1e9


def split() -> str:
    """Where the time of a step goes, by NNabla's own profiler: shares of functions, forward and backward."""
    import nnabla as nn
    from nnabla.utils.profiler import GraphProfiler

    from xumx.engines.nnabla import open_context
    from xumx.graph import ops_for
    from xumx.graph.model import create_parameters
    from xumx.graph.objective import Objective

    network, targets = config(), sample(plan().batch, plan().seconds, np.random.default_rng(0))
    with nn.context_scope(open_context(plan().nnabla, "0")), nn.parameter_scope("split", {}):
        create_parameters(network, np.random.RandomState(0))
        ops = ops_for(plan().nnabla)
        objective = Objective(network, plan().batch, targets.shape[2], ops, rng=np.random.default_rng(0))
        objective.feed(targets.sum(axis=1), targets)
        profiler = GraphProfiler(objective.loss, device_id="0", ext_name=plan().nnabla, n_run=10)
        profiler.run()
    sums: dict[str, float] = {}
    for direction in ("forward", "backward"):
        for one in profiler.result[direction]:
            sums[one.function_name] = sums.get(one.function_name, 0.0) + float(one.mean_time)
    largest = sorted(sums.items(), key=lambda item: -item[1])[:6]
    return ", ".join(f"{name} {100 * value / sum(sums.values()):.0f} %" for name, value in largest)


def resumed() -> str:
    """A run of two epochs against one that was stopped after the first, by the command."""
    from tests.musdb_set import make_musdb
    from xumx.train import checkpoint
    from xumx.train.__main__ import main as train

    with tempfile.TemporaryDirectory() as folder:
        root = make_musdb(Path(folder, "set"), 3, 1.7, stems=False, valid=2)
        small = "--is-wav --quiet --hidden-size 8 --nfft 256 --nhop 128 --seq-dur 0.2 --batch-size 3"
        where = ["--root", str(root), "--context", plan().nnabla, "--samples-per-track", "4", *small.split()]
        for name, epochs in (("whole", "2"), ("part", "1")):
            if train([*where, "--output", f"{folder}/{name}", "--epochs", epochs]):
                raise Failed(f"the run of {epochs} epochs failed")
        if train(["--model", f"{folder}/part", "--epochs", "2", "--quiet", "--context", plan().nnabla]):
            raise Failed("the run cannot be resumed")
        a, b = (checkpoint.load(Path(folder, name, checkpoint.NAME)).parameters for name in ("whole", "part"))
    far = max(float(np.abs(a[name] - b[name]).max()) for name in a)
    return "bit for bit" if far == 0 else f"parameters differ by up to {far:.1e}"


def means() -> str:
    """Gradients of two processes by NCCL against those that MPI gives: the same mean on both."""
    import nnabla as nn
    import nnabla.functions as F

    from xumx.base.ranks import Rank
    from xumx.engines.nnabla import open_context
    from xumx.parallel.job import together
    from xumx.parallel.nccl import NcclCommunicator

    with together(Rank.detect()) as world:
        context = open_context("cudnn", str(world.rank))
        ranks = NcclCommunicator(world, context)
        with nn.context_scope(context):
            w = nn.Variable.from_numpy_array(np.arange(6, dtype=np.float32), need_grad=True)
            loss = F.sum(w**2) * (1 + ranks.rank)
            loss.forward()
            w.grad.zero()
            ranks.backward(loss, {"w": w})
            found = w.g.copy()
        far = float(np.abs(found - 3 * np.arange(6)).max())
        if far > 1e-5 or ranks.differing(found.tobytes()):
            raise Failed(f"the means differ by {far:.1e}")
    return "equal on both"
