"""The training loop: steps, validation, checkpoints."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import nnabla as nn
import nnabla.random
import nnabla.solvers as S
import numpy as np
from nnabla.ext_utils import get_extension_context, import_extension_module

from xumx.base.console import Bar, say
from xumx.base.errors import UsageError, XumxError
from xumx.base.files import size
from xumx.engines.nnabla import out_of_memory
from xumx.graph import losses, model
from xumx.graph.losses.adversarial import SCOPE, create_discriminators
from xumx.graph.losses.features import Encoders
from xumx.graph.memory import step_bytes
from xumx.graph.objective import Objective
from xumx.network import weights
from xumx.network.weights import Weights
from xumx.parallel.communicator import Communicator
from xumx.train import checkpoint
from xumx.train.adversary import Adversary
from xumx.train.average import Average
from xumx.train.checkpoint import Checkpoint, State, restore_solver, solver_arrays
from xumx.train.datasets import Datasets
from xumx.train.iterator import StreamIterator
from xumx.train.metrics import Metrics
from xumx.train.options import TrainOptions, fields
from xumx.train.record import Record, columns, entry, line_of, results, setting, write_examples
from xumx.train.schedule import cosine, scale, warmth
from xumx.train.step import SKIPS, Batch, Stepper
from xumx.train.validation import Validation, judge

logger = logging.getLogger(__name__)

BEST = "best.h5"


class Trainer:
    """A run; :meth:`run` trains until it is over.

    Parameters
    ----------
    options : TrainOptions
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

    Attributes
    ----------
    position : Position
        Where the run is.
    stopped : int
        What it was stopped with before its end; 0 if it was not.
    """

    def __init__(
        self,
        options: TrainOptions,
        data: Datasets,
        communicator: Communicator,
        context: str,
        ops: ModuleType,
        start: Checkpoint | Weights | None = None,
        encoders: Encoders | None = None,
    ) -> None:
        self._options, self._data, self._communicator, self._ops = options, data, communicator, ops
        self._device, self._context = context, get_extension_context(context, device_id=options.device_id)
        self._config = start.config if start else options.config
        self._output = Path(options.output)
        self._scope: OrderedDict[str, Any] = OrderedDict()
        if isinstance(start, Checkpoint):
            self._state = State.resumed(start, options, communicator.rank, communicator.size)
        else:
            statistics = {} if start else data.statistics()._asdict()
            self._state = State.new(options, communicator.rank, statistics)
        self.position = self._state.position
        self.stopped = 0
        self._stop: Callable[[], int] = lambda: 0
        several = communicator.size > 1 or self._state.before > 1
        self._scaling = options.lr_scaling or ("linear" if several else "none")
        self._samples = options.batch_size * options.accumulate * communicator.size  # of a step
        self._steps = data.stream.steps(options.batch_size) // options.accumulate  # of an epoch
        self._scale = scale(self._scaling, self._samples)
        terms = losses.terms(losses.parse(options.loss), options.mcoef)
        judged = [term.label for term in terms if term.loss.adversarial]
        self._seed()
        with self._entered():
            self._parameters = self._begin(start, bool(judged))
            self._separator = {n: p for n, p in self._parameters.items() if not n.startswith(SCOPE)}
            self._solver = S.Adam(options.lr)
            self._solver.set_parameters({n: p for n, p in self._separator.items() if p.need_grad})
            self._objective = Objective(
                self._config,
                options.batch_size,
                data.stream.samples,
                ops,
                rng=self._state.rng,
                terms=terms,
                encoders=encoders,
                through_filter=options.through_filter,
            )
            args = self._config, self._objective, ops, communicator, data.unpaired, options.nb_workers
            self._adversary = Adversary(judged[0], *args) if judged else None
            self._solvers = [self._solver, *([self._adversary.solver] if self._adversary else [])]
            if isinstance(start, Checkpoint):
                for solver in self._solvers:
                    restore_solver(solver, start)
            self._average = self._averaged(start) if options.ema else None
            learns = self._objective, self._solver, self._separator
            self._stepper = Stepper(options, *learns, ops, communicator, self._adversary, self._average)
        self._validation = self._validator(terms, encoders)
        self._columns = columns(losses.labels(terms), bool(judged), options)

    def _validator(self, terms: Sequence[losses.Term], encoders: Encoders | None) -> Validation:
        return Validation(
            self._data.validation,
            self._config,
            self._ops,
            terms,
            self._communicator,
            encoders,
            separate=self._options.validate_sdr or self._options.examples > 0,
            through_filter=self._options.through_filter,
        )

    def _begin(self, start: Checkpoint | Weights | None, judged: bool) -> dict[str, nn.Variable]:
        """Make the parameters, with the values of rank 0 on all of them."""
        if isinstance(start, Checkpoint):
            for name, values in start.parameters.items():
                model.set_parameter(name, values)
        elif start:
            model.set_weights(start)
        else:
            rng = np.random.RandomState(self._options.seed)
            model.create_parameters(self._config, rng, **self._state.statistics)
        if judged and not isinstance(start, Checkpoint):
            create_discriminators(self._config, np.random.RandomState([self._options.seed, 1]))
        parameters: dict[str, nn.Variable] = nn.get_parameters(grad_only=False)
        first = self._communicator.broadcast({name: p.d for name, p in parameters.items()})
        for name, p in parameters.items():
            p.d = first[name]
        return parameters

    def _averaged(self, start: Checkpoint | Weights | None) -> Average:
        """What follows the separator's parameters: as at the checkpoint, or from here on."""
        saved = (start.average, start.solver_steps) if isinstance(start, Checkpoint) else ()
        assert self._options.ema is not None
        return Average(self._options.ema, self._separator, self._ops, *saved)

    def run(self, stop: Callable[[], int] | None = None) -> dict[str, Any]:
        """Train to the last epoch or until early stopping; the results in a few numbers.

        Parameters
        ----------
        stop : callable, optional
            Asked at each step, and within validation: of what else than 0 it gives on any rank, the run takes
            note in :attr:`stopped` and ends, with a checkpoint from which it goes on as if nothing had been.

        Raises
        ------
        UsageError
            If there is nothing left to do.
        XumxError
            If the loss is no number any more, data cannot be read, or files cannot be written; the last
            checkpoint is kept.
        """
        options, at, stopping = self._options, self.position, self._state.stopping
        ranks, self.stopped = self._communicator, 0
        self._stop = stop or self._stop
        if at.epoch >= options.epochs:
            raise UsageError(f"`epochs` {options.epochs}: the run has trained {at.epoch} already; give more")
        if stopping.over:
            raise UsageError(f"`patience` {options.patience}: the run was stopped by it; give more")
        stream = StreamIterator(
            self._data.stream,
            options.batch_size,
            workers=options.nb_workers,
            epoch=at.epoch,
            step=at.samples // self._samples * options.accumulate,
        )
        leads = ranks.rank == 0
        quiet = options.quiet or not leads
        epochs = Bar(options.epochs, "epochs", unit="epochs", done=at.epoch, quiet=quiet)
        reading = self._adversary.reading() if self._adversary else contextlib.nullcontext()
        with self._entered(), stream, epochs, reading, contextlib.ExitStack() as stack:
            args = fields(options), at.history, ranks.size, self._device
            record = Record(self._output, *args, stack.enter_context(self._metrics())) if leads else None
            if not quiet:
                rate = self._state.plateau.rate * self._scale
                for line in setting(options, self._device, ranks, rate, self._scaling):
                    say(line)
                say(f"a step takes about {size(self._needs())} of memory")
            while at.epoch < options.epochs and not stopping.over:
                self._train(stream, quiet, record)
                best = None if self.stopped else self._end_epoch(quiet)
                if best is None:
                    self.save()
                    break
                if record and best:
                    self._save_best()
                self.save()
                if record:
                    record.update(at.history, self._progress())
                if not quiet:
                    epochs.update()
                    say(line_of(at.history[-1], best))
        return results(at.history) if at.history else {}

    def save(self) -> None:
        """Write the checkpoint. All processes call it, and rank 0 writes.

        Raises
        ------
        XumxError
            If it cannot be written, or a parameter is no finite number; the one before is kept.
        """
        random = self._communicator.gather(self._state.rng.bit_generator.state)
        if self._communicator.rank > 0:
            return
        parameters = {name: p.d for name, p in self._parameters.items()}
        for name, values in parameters.items():
            if not np.isfinite(values).all():
                self._diverged(f"{name} holds values that are not finite")
        progress = self._state.progress(self._options, random)
        whole = Checkpoint(
            self._config,
            parameters,
            *solver_arrays(self._solvers),
            self._state.statistics,
            progress,
            self._average.arrays if self._average else {},
        )
        checkpoint.save(self._output / checkpoint.NAME, whole)

    def _metrics(self) -> Metrics:
        at, options = self.position, self._options
        done = at.samples // self._samples
        return Metrics(self._output, self._columns, at.epoch, done, self._steps, options.tensorboard)

    def _save_best(self) -> None:
        averaged = self._average if self.position.history[-1].get("averaged") else None
        with averaged.in_place() if averaged else contextlib.nullcontext():
            weights.save(self._output / BEST, model.get_weights(self._config))

    def _progress(self) -> str:
        if self._state.stopping.over:
            return "stopped early"
        return "training" if self.position.epoch < self._options.epochs else "done"

    def _train(self, stream: StreamIterator, quiet: bool, record: Record | None) -> None:
        """The rest of the epoch."""
        at, options = self.position, self._options
        steps, batch = self._steps, self._samples
        done = at.samples // batch
        began = saved = time.monotonic()
        before = at.seconds
        label = f"epoch {at.epoch + 1}"
        with Bar(steps * batch, label, unit="samples", done=done * batch, leave=False, quiet=quiet) as bar:
            for step in range(done, steps):
                self._solver.set_learning_rate(self._rate(at.samples + batch))
                values = self._step(stream.next() for _ in range(options.accumulate))
                due = time.monotonic() - saved >= 60 * options.checkpoint_every
                values, due, self.stopped = self._meet(values, due)
                self._count(bool(values))
                if record:
                    seconds = before + time.monotonic() - began - at.seconds
                    measured = self._stepper.norm, self._solver.learning_rate(), seconds
                    record.step(at.epoch, step, values, *measured)
                for name, value in values.items():
                    at.sums[name] = at.sums.get(name, 0.0) + value * batch
                at.samples += batch
                at.seconds = before + time.monotonic() - began
                bar.note(", ".join(f"{name}={value:.4g}" for name, value in values.items()))
                bar.update(batch)
                if self.stopped:
                    return
                if due and step + 1 < steps:
                    self.save()
                    saved = time.monotonic()

    def _step(self, batches: Iterable[Batch]) -> dict[str, float]:
        """One update; the loss before it, and its terms. Nothing if it was skipped."""
        self._seed()
        try:
            return self._stepper.take(batches)
        except (MemoryError, RuntimeError) as error:
            needs = f"; a step takes about {size(self._needs())}"
            raise out_of_memory(error, "a smaller `batch_size` or `seq_dur`", needs) or error from None

    def _count(self, taken: bool) -> None:
        """Take note whether a step was one; too many in a row that are none end the run."""
        at = self.position
        at.failing = 0 if taken else at.failing + 1
        at.skipped += not taken
        if at.failing >= SKIPS:
            self._diverged(f"{self._stepper.problem}, and {SKIPS} steps in a row could not be taken")
        if not taken and self._communicator.rank == 0:
            logger.warning("a step in epoch %d is left out: %s", at.epoch + 1, self._stepper.problem)

    def _needs(self) -> int:
        return step_bytes(self._objective.loss, self._parameters.values())

    def _seed(self) -> None:
        """Let what NNabla draws, such as dropout on a GPU, follow from the seed, the rank and the step."""
        at = self.position
        words = [self._options.seed, self._communicator.rank, at.epoch, at.samples]
        nnabla.random.set_function_seed(int(np.random.SeedSequence(words).generate_state(1)[0] >> 1))

    def _meet(self, values: dict[str, float], due: bool) -> tuple[dict[str, float], bool, int]:
        """After each step: all ranks' mean losses; if rank 0 holds a checkpoint due; if any is to stop."""
        found = self._communicator.gather((values, due, self._stop()))
        means = {name: sum(theirs[0][name] for theirs in found) / len(found) for name in values}
        return means, found[0][1], max(theirs[2] for theirs in found)

    def _rate(self, samples: int) -> float:
        """The learning rate of the step that ends at a number of samples of the epoch."""
        epochs = self.position.epoch + samples / self._data.stream.size
        rate = self._state.plateau.rate * self._scale * warmth(epochs, self._options.warmup)
        return rate * (cosine(epochs, self._options.epochs) if self._options.lr_schedule == "cosine" else 1)

    def _end_epoch(self, quiet: bool) -> bool | None:
        """Validate, and move on to the next epoch; whether this one was the best. None: stopped before."""
        at, state = self.position, self._state
        began = time.monotonic()
        if self._communicator.size > 1:
            self._compare()
        learned = at.samples - at.skipped * self._samples
        if not learned:
            self._diverged("none of its steps could be taken")
        options, how = self._options, {"progress": not quiet, "stop": self._stop}
        verdict = judge(self._validation, self._average, options.select, self._clear_cache, **how)
        if verdict is None:
            self.stopped = max(self._communicator.gather(self._stop()))
            return None
        loss = verdict.found[0]["loss"]
        if not math.isfinite(loss):
            self._diverged(f"the validation loss is {loss}")
        rate = self._rate(at.samples)
        if options.lr_schedule == "plateau":
            state.plateau.step(loss)
        best = state.stopping.step(at.epoch, min(verdict.marks))
        seconds = at.seconds + time.monotonic() - began
        at.history.append(entry(at, learned, verdict, rate, state.stopping.best_epoch, seconds))
        if options.examples and self._communicator.rank == 0 and (1 + at.epoch) % options.examples == 0:
            write_examples(self._output, 1 + at.epoch, verdict.examples[verdict.averaged], self._config)
        at.epoch, at.samples, at.sums, at.seconds, at.skipped = at.epoch + 1, 0, {}, 0.0, 0
        return best

    def _clear_cache(self) -> None:
        """Give back the memory that NNabla keeps for arrays of the same size to come."""
        import_extension_module(self._device).clear_memory_cache()

    def _compare(self) -> None:
        """See that all ranks have the same parameters: they would drift apart unseen."""
        digest = hashlib.blake2b()
        for name in sorted(self._parameters):
            digest.update(self._parameters[name].d.tobytes())
        if others := self._communicator.differing(digest.digest()):
            raise XumxError(
                f"after epoch {self.position.epoch + 1} the parameters of {others} are not those of rank 0: "
                "a network or a memory that errs, or different versions; the last checkpoint is kept"
            )

    def _diverged(self, what: str) -> NoReturn:
        path = self._output / checkpoint.NAME
        advice = f"resume {path} with a smaller `lr`" if path.exists() else "try a smaller `lr`"
        raise XumxError(f"training diverged in epoch {self.position.epoch + 1}: {what}; {advice}")

    @contextlib.contextmanager
    def _entered(self) -> Iterator[None]:
        """The run's own context and parameters, as NNabla's are global."""
        with nn.context_scope(self._context), nn.auto_forward(False), nn.parameter_scope("run", self._scope):
            yield
