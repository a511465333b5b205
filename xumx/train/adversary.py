"""The discriminators' side of adversarial training; the separator's is a loss like any other.

After each step of the separator the discriminators take one of their own, with an Adam of their own at the
separator's rate: on the estimates of that step, and on real examples. These are the targets, or excerpts of
recordings that belong to no mixture, for the sources that there are such recordings of.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Generator, Iterator
from functools import partial
from types import ModuleType

import nnabla as nn
import nnabla.solvers as S

from xumx.data.source import Sample, SampleStream, batches
from xumx.graph.inputs import Inputs
from xumx.graph.losses import CRITICS
from xumx.graph.losses.adversarial import SCOPE, discriminate
from xumx.graph.objective import Objective
from xumx.graph.ops import stock as stock_ops
from xumx.network.config import ModelConfig
from xumx.parallel.communicator import Communicator

BETA1 = 0.5
"""Adam's, as Radford et al. 2016 (arXiv:1511.06434) found it steadier for discriminators."""


class Adversary:
    """Trains the discriminators whose parameters are in the current scope.

    Parameters
    ----------
    name : str
        Of the adversarial loss.
    config : ModelConfig
    objective : Objective
        The separator's.
    ops : module
        See :func:`xumx.graph.ops_for`.
    communicator : Communicator
    unpaired : SampleStream, optional
        Recordings of some of the sources, which take the place of their targets.
    workers : int
        Threads that read them ahead.

    Attributes
    ----------
    solver : nnabla.solvers.Adam
        Of the discriminators' parameters.
    """

    def __init__(
        self,
        name: str,
        config: ModelConfig,
        objective: Objective,
        ops: ModuleType,
        communicator: Communicator,
        unpaired: SampleStream | None = None,
        workers: int = 0,
    ) -> None:
        self._ops, self._communicator, self._unpaired, self._workers = ops, communicator, unpaired, workers
        self._batch = objective.inputs.mixture.shape[1]
        self._drawn: Generator[Sample, None, None] | None = None
        real = dict(zip(config.sources, objective.inputs.targets, strict=True))
        if unpaired:
            self._inputs = Inputs(
                dataclasses.replace(config, sources=unpaired.sources),
                self._batch,
                unpaired.samples,
                center=objective.inputs.center,
                by_nnabla=ops is stock_ops,
            )
            real |= dict(zip(unpaired.sources, self._inputs.targets, strict=True))
        for magnitude in objective.magnitudes:
            magnitude.persistent = True  # it is needed after the separator's step
        fake = [magnitude.get_unlinked_variable(need_grad=False) for magnitude in objective.magnitudes]
        for magnitude in fake:
            magnitude.persistent = True
        critics = [partial(discriminate, source=source, frozen=False) for source in config.sources]
        self._loss = CRITICS[name](list(real.values()), fake, critics)
        self._loss.persistent = True
        self._parameters = {n: p for n, p in nn.get_parameters().items() if n.startswith(SCOPE)}
        self.solver = S.Adam(beta1=BETA1)
        self.solver.set_parameters(self._parameters)

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """While this is entered, there are unpaired recordings, from where the solver's steps have got to."""
        if self._unpaired is None:
            yield
            return
        steps = self._unpaired.steps(self._batch)
        taken = max(state.t for state in self.solver.get_states().values())
        epoch, step = divmod(taken, steps)
        with contextlib.closing(
            batches(self._unpaired, self._batch, workers=self._workers, epoch=epoch, step=step)
        ) as self._drawn:
            yield

    def step(self, rate: float) -> float:
        """One update, after a step of the separator; the loss before it."""
        if self._drawn:
            self._inputs.feed(*next(self._drawn))
        self.solver.set_learning_rate(rate)
        self.solver.zero_grad()
        self._loss.forward(clear_no_need_grad=True)
        loss = float(self._loss.d)
        self._communicator.backward(self._loss, self._parameters)
        self._ops.adam_step(self.solver)
        return loss
