"""One step of training: the gradients of all its batches and ranks, then one update, or none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import chain
from types import ModuleType

import nnabla as nn
import nnabla.solvers as S
import numpy as np

from xumx.graph.objective import Objective
from xumx.parallel.communicator import Communicator
from xumx.train.adversary import Adversary
from xumx.train.average import Average
from xumx.train.options import TrainOptions

Batch = tuple[np.ndarray, np.ndarray]
"""Mixture (batch, samples, channels) and targets (batch, sources, samples, channels)."""

SKIPS = 5
"""Steps in a row without a number: bad data give one now and then, a network that diverges gives no other."""


class Stepper:
    """Takes steps with the parameters of the current scope.

    Parameters
    ----------
    options : TrainOptions
        Their weight decay, accumulation and clipping count.
    objective : Objective
    solver : nnabla.solvers.Adam
        Of the separator's parameters that are trained.
    parameters : mapping of str to Variable
        The separator's, running statistics included.
    ops : module
        See :func:`xumx.graph.ops_for`.
    communicator : Communicator
    adversary : Adversary, optional
        Takes a step of its own after each.
    average : Average, optional
        Follows the parameters.

    Attributes
    ----------
    norm : float
        Of the gradient of the last step, before it was clipped.
    problem : str
        Why the last step that changed nothing did not.
    """

    def __init__(
        self,
        options: TrainOptions,
        objective: Objective,
        solver: S.Adam,
        parameters: Mapping[str, nn.Variable],
        ops: ModuleType,
        communicator: Communicator,
        adversary: Adversary | None = None,
        average: Average | None = None,
    ) -> None:
        self._options, self._objective, self._solver, self._ops = options, objective, solver, ops
        self._communicator, self._adversary, self._average = communicator, adversary, average
        self._parameters = parameters
        self._trained = {name: p for name, p in parameters.items() if p.need_grad}
        self._statistics = [p for p in parameters.values() if not p.need_grad]
        self.norm, self.problem = 0.0, ""

    def take(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Learn from the batches as from one that holds them all; the loss before the update, and its terms.

        Each batch is normalised by statistics of its own, as that of each rank is, and moves the running
        ones. All ranks meet in the last one. Where on any of them the loss or the gradient is not finite,
        nothing changes, running statistics included, and nothing is returned.
        """
        before = [p.d.copy() for p in self._statistics]
        sums = self._accumulate(batches)
        found = self._communicator.gather((self._ops.gradient_norm(self._trained), sums["loss"]))
        self.norm = found[0][0]  # on different processors the same sum may round differently
        if not all(map(math.isfinite, chain.from_iterable(found))):
            for parameter, values in zip(self._statistics, before, strict=True):
                parameter.d = values
            losses = [loss for _, loss in found if not math.isfinite(loss)]
            self.problem = f"the loss is {losses[0]}" if losses else f"the gradient's norm is {self.norm}"
            return {}
        clip = self._options.clip_norm
        if clip and self.norm > clip:
            self._ops.scale_gradients(self._trained, clip / self.norm)
        self._ops.adam_step(self._solver, weight_decay=self._options.weight_decay)
        for parameter in self._trained.values():  # until they come anew, what is computed has their memory
            parameter.grad.clear()
        if self._average:
            self._average.follow()
        if self._adversary:
            sums["discriminator"] = self._adversary.step(self._solver.learning_rate())
        return sums

    def _accumulate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """The mean gradient of all batches and ranks, into the parameters; the mean loss of this rank."""
        share, sums = 1 / self._options.accumulate, dict[str, float]()
        self._solver.zero_grad()
        for number, batch in enumerate(batches, 1):
            self._objective.feed(*batch)
            values = {"loss": self._objective.forward(), **self._objective.values()}
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + value * share
            loss = self._objective.loss
            if number < self._options.accumulate:
                loss.backward(share, clear_buffer=True)
            else:
                self._communicator.backward(loss, self._parameters, share)
        return sums
