"""``python -m bench.losses [LOSS ...]``: CPU time of a training step of X-UMX with each loss.

An adversarial loss is measured beside L2freq, with the step of its discriminators; deep features are those
of a network of the same size. The audio is noise, since no time here depends on what is heard. Each loss
takes a few steps between steps of the default one, in one process; the first, which compiles and allocates,
does not count. The table, in Markdown, holds medians.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import nnabla as nn
import nnabla.solvers as S
import numpy as np

from bench.common import machine, table
from xumx.graph import losses, ops_for
from xumx.graph.losses.adversarial import create_discriminators
from xumx.graph.losses.features import frozen_encoders
from xumx.graph.model import create_parameters, get_weights
from xumx.graph.objective import Objective
from xumx.network.config import ModelConfig
from xumx.parallel.communicator import Communicator
from xumx.train.adversary import Adversary

BATCH, SECONDS = 4, 3.0


class Step:
    """Training steps with a sum of losses; calling it takes one and gives its CPU seconds."""

    def __init__(self, weights: dict[str, float], config: ModelConfig) -> None:
        nn.clear_parameters()
        rng = np.random.RandomState(0)
        create_parameters(config, rng)
        self._ops, self._solver = ops_for("cpu"), S.Adam(1e-3)
        self._solver.set_parameters(nn.get_parameters())
        encoders = frozen_encoders(get_weights(config), config, "the network")
        create_discriminators(config, rng)
        samples = round(SECONDS * config.sample_rate)
        terms, dropout = losses.terms(weights, 10.0), np.random.default_rng(0)
        self._objective = Objective(
            config, BATCH, samples, self._ops, rng=dropout, terms=terms, encoders=encoders
        )
        judged = [term.label for term in terms if term.loss.adversarial]
        self._adversary = (
            Adversary(judged[0], config, self._objective, self._ops, Communicator()) if judged else None
        )
        shape = BATCH, len(config.sources), samples, config.nb_channels
        self._targets = rng.standard_normal(shape).astype(np.float32) / 10
        self._mixture = self._targets.sum(axis=1)

    def __call__(self) -> float:
        began = time.process_time()
        self._objective.feed(self._mixture, self._targets)
        self._solver.zero_grad()
        self._objective.forward()
        self._objective.loss.backward(clear_buffer=True)
        self._ops.adam_step(self._solver, weight_decay=1e-5)
        if self._adversary:
            self._adversary.step(1e-3)
        return time.process_time() - began


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="CPU time of a training step with each loss.")
    names = [*losses.LOSSES, "MultiDomain"]
    parser.add_argument("names", nargs="*", default=names, metavar="LOSS", help="which; all if none is named")
    parser.add_argument("--steps", type=int, default=4, help="of each loss, and of the default between them")
    args = parser.parse_args(argv)
    config, rows = ModelConfig(), []
    usual = Step(losses.default(config.arch), config)
    for name in args.names:
        step = Step(losses.parse(["L2freq", name] if name in losses.CRITICS else [name]), config)
        times = [(step(), usual()) for _ in range(args.steps + 1)][1:]
        own, default = (statistics.median(column) for column in zip(*times, strict=True))
        rows.append([f"`{name}`", f"{own:.2f} s", f"{own / default:.2f}"])
        print(*rows[-1], flush=True)
    print(machine(["nnabla", "numpy", "scipy", "numba"]))
    print(f"hidden size {config.hidden_size}, batch {BATCH} of {SECONDS:g} s\n")
    print(table(["loss", "CPU a step", "of the default's"], rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
