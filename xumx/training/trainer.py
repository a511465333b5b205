"""The training loop: steps, validation, checkpoints."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import nnabla as nn
import nnabla.solvers as S
import numpy as np
from nnabla.ext_utils import get_extension_context
from tqdm import tqdm

from xumx import weights
from xumx.errors import UsageError, XumxError
from xumx.graph import losses, model
from xumx.graph.losses.adversarial import SCOPE, create_discriminators
from xumx.graph.losses.features import Encoders
from xumx.graph.objective import Objective
from xumx.training import checkpoint
from xumx.training.adversary import Adversary
from xumx.training.checkpoint import Checkpoint
from xumx.training.communicator import Communicator
from xumx.training.data_iterator import StreamIterator
from xumx.training.datasets import Datasets
from xumx.training.options import Options, fields
from xumx.training.record import Record, results, versions
from xumx.training.schedule import EarlyStopping, Plateau
from xumx.training.validation import Validation
from xumx.weights import Weights

BEST = "best.h5"


@dataclass
class Position:
    """Where a run is.

    Parameters
    ----------
    epoch : int
        The one that is under way, from 0.
    samples : int
        Samples of it that all ranks together have learned from.
    sums : dict of str to float
        Over the batches of this rank: the loss and each of its terms, times the size of the batch.
    seconds : float
        That the epoch has taken so far.
    history : list of dict
        What each epoch before came to.
    """

    epoch: int = 0
    samples: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)


class Trainer:
    """A run; :meth:`run` trains until it is over.

    Parameters
    ----------
    options : Options
        Those of the resumed run if there is one.
    data : Datasets
    communicator : Communicator
    context : str
        'cpu' or 'cudnn'.
    ops : module
        See :func:`xumx.graph.ops_for`.
    start : Checkpoint or Weights, optional
        What to resume, or what to start from in place of random weights.
    encoders : list, optional
        Those of a frozen network, for deep features.
    """

    def __init__(
        self,
        options: Options,
        data: Datasets,
        communicator: Communicator,
        context: str,
        ops: ModuleType,
        start: Checkpoint | Weights | None = None,
        encoders: Encoders | None = None,
    ) -> None:
        self._options, self._data, self._communicator, self._ops = options, data, communicator, ops
        self._context = get_extension_context(context, device_id=options.device_id)
        self._config = start.config if start else options.config
        self._output = Path(options.output)
        self._scope: OrderedDict[str, Any] = OrderedDict()
        self._rng = np.random.default_rng([options.seed, communicator.rank])
        self._plateau = Plateau(options.lr, options.lr_decay_gamma, options.lr_decay_patience)
        self._stopping = EarlyStopping(options.patience)
        self._statistics: dict[str, np.ndarray] = {}
        self.position = Position()
        terms = losses.terms(losses.parse(options.loss), options.mcoef)
        judged = [term.label for term in terms if term.loss.adversarial]
        with self._entered():
            if isinstance(start, Checkpoint):
                for name, values in start.parameters.items():
                    model.set_parameter(name, values)
            elif start:
                model.set_weights(start)
            else:
                self._statistics = data.statistics()._asdict()
                model.create_parameters(self._config, np.random.RandomState(options.seed), **self._statistics)
            if judged and not isinstance(start, Checkpoint):
                create_discriminators(self._config, np.random.RandomState([options.seed, 1]))
            self._parameters = {n: p for n, p in nn.get_parameters().items() if not n.startswith(SCOPE)}
            self._solver = S.Adam(options.lr)
            self._solver.set_parameters(self._parameters)
            self._objective = Objective(
                self._config,
                options.batch_size,
                data.stream.samples,
                ops,
                rng=self._rng,
                terms=terms,
                encoders=encoders,
            )
            args = self._config, self._objective, ops, communicator, data.unpaired, options.nb_workers
            self._adversary = Adversary(judged[0], *args) if judged else None
            self._solvers = [self._solver, *([self._adversary.solver] if self._adversary else [])]
            if isinstance(start, Checkpoint):
                self._restore(start)
        self._validation = Validation(data.validation, self._config, ops, terms, communicator, encoders)

    def run(self) -> dict[str, Any]:
        """Train to the last epoch or until early stopping; the results in a few numbers.

        Raises
        ------
        UsageError
            If there is nothing left to do.
        XumxError
            If the loss is no number any more, data cannot be read, or files cannot be written; the last
            checkpoint is kept.
        """
        options, at, size = self._options, self.position, self._communicator.size
        if at.epoch >= options.epochs:
            raise UsageError(f"--epochs {options.epochs}: the run has trained {at.epoch} already; give more")
        if self._stopping.over:
            raise UsageError(f"--patience {options.patience}: the run was stopped by it; give more")
        leads = self._communicator.rank == 0
        stream = StreamIterator(
            self._data.stream,
            options.batch_size,
            workers=options.nb_workers,
            epoch=at.epoch,
            step=at.samples // (options.batch_size * size),
        )
        quiet = options.quiet or not leads
        epochs = tqdm(total=options.epochs, initial=at.epoch, desc="epochs", unit="epoch", disable=quiet)
        reading = self._adversary.reading() if self._adversary else contextlib.nullcontext()
        with self._entered(), stream, epochs, reading:
            record = Record(self._output, fields(options), at.history) if leads else None
            while at.epoch < options.epochs and not self._stopping.over:
                self._train(stream, quiet)
                best = self._end_epoch(quiet)
                if record:
                    if best:
                        weights.save(self._output / BEST, model.get_weights(self._config))
                    self.save()
                    record.update(at.history, self._state())
                if not quiet:
                    epochs.update()
                    epochs.write(_line(at.history[-1], best))
        return results(at.history)

    def save(self) -> None:
        """Write the checkpoint.

        Raises
        ------
        XumxError
            If it cannot be written, or a parameter is no finite number; the one before is kept.
        """
        with self._entered():
            parameters = {name: p.d for name, p in nn.get_parameters(grad_only=False).items()}
        for name, values in parameters.items():
            if not np.isfinite(values).all():
                self._diverged(f"{name} holds values that are not finite")
        states = {name: state for solver in self._solvers for name, state in solver.get_states().items()}
        progress = {
            "options": fields(self._options),
            "position": dataclasses.asdict(self.position),
            "plateau": dataclasses.asdict(self._plateau),
            "stopping": dataclasses.asdict(self._stopping),
            "random": self._rng.bit_generator.state,
            "versions": versions(),
        }
        whole = Checkpoint(
            self._config,
            parameters,
            {name: {key: v.d for key, v in state.pstate.items()} for name, state in states.items()},
            max(state.t for state in states.values()),
            self._statistics,
            progress,
        )
        checkpoint.save(self._output / checkpoint.NAME, whole)

    def _state(self) -> str:
        if self._stopping.over:
            return "stopped early"
        return "training" if self.position.epoch < self._options.epochs else "done"

    def _restore(self, saved: Checkpoint) -> None:
        """All but the parameters."""
        options, progress = self._options, saved.progress
        for solver in self._solvers:
            states = solver.get_states()
            for name, state in states.items():
                state.t = saved.solver_steps
                for key, variable in state.pstate.items():
                    variable.d = saved.solver[name][key]
            solver.set_states(states)
        self._statistics = saved.statistics
        self.position = Position(**progress["position"])
        self._plateau = Plateau(**progress["plateau"])
        self._plateau.factor, self._plateau.patience = options.lr_decay_gamma, options.lr_decay_patience
        if options.lr != progress["options"]["lr"]:
            self._plateau.rate = options.lr
        self._stopping = EarlyStopping(**{**progress["stopping"], "patience": options.patience})
        self._rng.bit_generator.state = progress["random"]

    def _train(self, stream: StreamIterator, quiet: bool) -> None:
        """The rest of the epoch."""
        at, options, data = self.position, self._options, self._data
        self._solver.set_learning_rate(self._plateau.rate)
        steps, batch = data.stream.steps(options.batch_size), options.batch_size * self._communicator.size
        done = at.samples // batch
        began = saved = time.monotonic()
        before = at.seconds
        bar = tqdm(
            total=steps * batch,
            initial=done * batch,
            desc=f"epoch {at.epoch}",
            unit="sample",
            leave=False,
            disable=quiet,
        )
        with bar:
            for step in range(done, steps):
                mixture, target = stream.next()
                shape = (len(target), len(self._config.sources), *mixture.shape[1:])
                values = self._step(mixture, target.reshape(shape))
                for name, value in values.items():
                    at.sums[name] = at.sums.get(name, 0.0) + value * options.batch_size
                at.samples += batch
                at.seconds = before + time.monotonic() - began
                bar.set_postfix({name: f"{value:.4g}" for name, value in values.items()}, refresh=False)
                bar.update(batch)
                due = time.monotonic() - saved >= 60 * options.checkpoint_every
                if due and step + 1 < steps and self._communicator.rank == 0:
                    self.save()
                    saved = time.monotonic()

    def _step(self, mixture: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """One update; the loss before it, and its terms."""
        self._solver.zero_grad()
        self._objective.feed(mixture, targets)
        loss = self._objective.forward()
        if not math.isfinite(loss):
            self._diverged(f"the loss is {loss}")
        values = {"loss": loss, **self._objective.values()}
        self._communicator.backward(self._objective.loss, [p.grad for p in self._parameters.values()])
        self._ops.adam_step(self._solver, weight_decay=self._options.weight_decay)
        if self._adversary:
            values["discriminator"] = self._adversary.step(self._plateau.rate)
        return values

    def _end_epoch(self, quiet: bool) -> bool:
        """Validate, and move on to the next epoch; whether this one was the best."""
        at = self.position
        began = time.monotonic()
        # Running statistics, which each rank has of its own samples.
        self._communicator.average(
            p.data for p in nn.get_parameters(grad_only=False).values() if not p.need_grad
        )
        valid = self._validation.run(progress=not quiet)
        if not math.isfinite(valid["loss"]):
            self._diverged(f"the validation loss is {valid['loss']}")
        rate = self._plateau.rate
        self._plateau.step(valid["loss"])
        best = self._stopping.step(at.epoch, valid["loss"])
        sums = self._communicator.sum(np.array(list(at.sums.values())))
        training = dict(zip(at.sums, (sums / at.samples).tolist(), strict=True))
        at.history.append(
            {
                "epoch": at.epoch,
                **_named("training", training),
                **_named("validation", valid),
                "learning_rate": rate,
                "best_epoch": self._stopping.best_epoch,
                "seconds": at.seconds + time.monotonic() - began,
                "samples_per_second": at.samples / at.seconds,
            }
        )
        at.epoch, at.samples, at.sums, at.seconds = at.epoch + 1, 0, {}, 0.0
        return best

    def _diverged(self, what: str) -> NoReturn:
        path = self._output / checkpoint.NAME
        advice = f"resume {path} with a smaller --lr" if path.exists() else "try a smaller --lr"
        raise XumxError(f"training diverged in epoch {self.position.epoch}: {what}; {advice}")

    @contextlib.contextmanager
    def _entered(self) -> Iterator[None]:
        """The run's own context and parameters, as NNabla's are global."""
        with nn.context_scope(self._context), nn.auto_forward(False), nn.parameter_scope("run", self._scope):
            yield


def _named(kind: str, losses: dict[str, float]) -> dict[str, float]:
    """'loss' becomes 'training_loss', 'time' becomes 'training_time_loss'."""
    return {f"{kind}_{name.removesuffix('loss')}_loss".replace("__", "_"): v for name, v in losses.items()}


def _line(epoch: dict[str, Any], best: bool) -> str:
    return (
        f"epoch {epoch['epoch']}: training loss {epoch['training_loss']:.5g}, validation loss "
        f"{epoch['validation_loss']:.5g}{' (best)' if best else ''}, rate {epoch['learning_rate']:g}, "
        f"{epoch['samples_per_second']:.3g} samples/s"
    )
