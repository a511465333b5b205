"""``python -m bench.step OPS BATCH SECONDS HIDDEN STEPS [ARCH]``: steps of training (X-UMX) on a CPU.

OPS is ``cpu`` (our functions) or ``stock`` (NNabla's), ARCH ``x-umx`` if not given. The audio is noise, since
no time here depends on what is heard. Prints JSON: ``wall`` and ``cpu``, the median seconds of a step after
the first, and ``parts``, the median seconds by part: spectra, forward and backward by kind of function,
update.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import nnabla as nn
import nnabla.solvers as S
import numpy as np

from xumx.graph import ops_for
from xumx.graph.model import create_parameters
from xumx.graph.objective import Objective
from xumx.network.config import ModelConfig

KINDS = {
    "NormalizedAffine": "affine layers",
    "Affine": "affine layers",
    "LSTM": "LSTM",
    "Norm": "batch norm, tanh, relu, mask",
    "Synthesis": "loss: waveforms",
    "Gram": "loss: products",
    "ErrorGram": "loss: products",
}


class Parts:
    """Seconds by part of a step, by the clock on the wall."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def time(self, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call a function and charge its time to a part."""
        began = time.perf_counter()
        function(*args, **kwargs)
        self.seconds[name] += time.perf_counter() - began

    def graph(self, direction: str, function: Callable[..., Any], **kwargs: Any) -> None:
        """Go through a graph and charge the time of its functions to their kinds."""
        began = time.perf_counter()

        def before(_: Any) -> None:
            nonlocal began
            began = time.perf_counter()

        def after(f: Any) -> None:
            kind = KINDS.get(f.info.type_name, "the rest")
            self.seconds[f"{direction}, {kind}"] += time.perf_counter() - began

        function(function_pre_hook=before, function_post_hook=after, **kwargs)


def main(
    ops_name: str, batch: int, seconds: float, hidden: int, steps: int, arch: str = "x-umx"
) -> dict[str, Any]:
    """Take ``steps`` steps of the default recipe and time all but the first."""
    config = ModelConfig(arch, hidden_size=hidden)
    ops = ops_for("cpu", stock=ops_name == "stock")
    rng = np.random.RandomState(0)
    create_parameters(config, rng)
    samples = round(seconds * config.sample_rate)
    objective = Objective(config, batch, samples, ops, rng=np.random.default_rng(0))
    solver = S.Adam(1e-3)
    solver.set_parameters(nn.get_parameters())
    targets = rng.randn(batch, len(config.sources), samples, config.nb_channels).astype(np.float32) / 10
    mixture = targets.sum(axis=1)

    walls, cpus, parts = [], [], []
    for _ in range(steps):
        step = Parts()
        began, cpu = time.perf_counter(), time.process_time()
        step.time("spectra", objective.feed, mixture, targets)
        step.graph("forward", objective.loss.forward, clear_no_need_grad=True)
        solver.zero_grad()
        step.graph("backward", objective.loss.backward, clear_buffer=True)
        step.time("update", ops.adam_step, solver, weight_decay=1e-5)
        for parameter in solver.get_parameters().values():  # as in training
            parameter.grad.clear()
        walls.append(time.perf_counter() - began)
        cpus.append(time.process_time() - cpu)
        parts.append(step.seconds)
    assert np.isfinite(objective.loss.d), "the loss is not finite"
    medians = {name: statistics.median(p[name] for p in parts[1:]) for name in parts[0]}
    return {"wall": statistics.median(walls[1:]), "cpu": statistics.median(cpus[1:]), "parts": medians}


if __name__ == "__main__":
    name, batch, seconds, hidden, steps, *arch = sys.argv[1:]
    print(json.dumps(main(name, int(batch), float(seconds), int(hidden), int(steps), *arch)))
