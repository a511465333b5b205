"""All of a run in one file, whole or not at all.

The file is HDF5: ``parameters/<name>``, ``average/<name>``, ``solver/<name>/<state>`` and
``statistics/{mean,scale}`` are arrays, and ``run`` holds everything else as JSON.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypedDict

import h5py
import nnabla.solvers as S
import numpy as np
from msgspec import Meta

from xumx.base.errors import UsageError, XumxError
from xumx.base.hdf5 import reading, writing
from xumx.base.jsonfile import check, parse
from xumx.graph.losses import CRITICS
from xumx.graph.losses import parse as parse_losses
from xumx.graph.losses.adversarial import discriminator_shapes
from xumx.graph.model import parameter_name
from xumx.network.config import ModelConfig
from xumx.network.weights import parameter_shapes
from xumx.train.options import TrainOptions, fields
from xumx.train.record import versions
from xumx.train.schedule import EarlyStopping, Plateau

NAME = "checkpoint.h5"
FORMAT = 2


class _Epoch(TypedDict):
    epoch: int
    training_loss: float
    validation_loss: float
    learning_rate: float
    best_epoch: int
    seconds: float
    samples_per_second: float


Number = Annotated[int, Meta(ge=0, le=2**53)]
"""Of epochs, steps or samples."""


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
        Over the batches of all ranks: the loss and each of its terms, times the size of the batch.
    seconds : float
        That the epoch has taken so far.
    history : list of dict
        What each epoch before came to.
    skipped : int
        Steps of the epoch that changed nothing.
    failing : int
        Steps that changed nothing since the last one that did.
    """

    epoch: Number = 0
    samples: Number = 0
    sums: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    skipped: Number = 0
    failing: Number = 0


class _Progress(TypedDict):
    options: dict[str, Any]
    position: Position
    plateau: Plateau
    stopping: EarlyStopping
    random: list[dict[str, Any]]


class _Format(TypedDict):
    format: int


class _Run(TypedDict):
    config: dict[str, Any]
    solver_steps: Number
    progress: _Progress


@dataclass(frozen=True)
class Checkpoint:
    """A run at a moment between two steps.

    Attributes
    ----------
    config : ModelConfig
    parameters : dict of str to array
        All of the network, the running statistics of batch norm among them.
    solver : dict of str to dict of str to array
        For each parameter that is trained, what the solver remembers of it.
    solver_steps : int
        Updates so far.
    statistics : dict of str to array
        Of the training mixtures; empty for a run that started from weights.
    progress : dict
        The rest, as JSON takes it: options, epoch, position, schedule, history, random states, versions.
    average : dict of str to array
        Of the network's parameters over steps; empty for a run without.
    """

    config: ModelConfig
    parameters: dict[str, np.ndarray]
    solver: dict[str, dict[str, np.ndarray]]
    solver_steps: int
    statistics: dict[str, np.ndarray]
    progress: dict[str, Any]
    average: dict[str, np.ndarray] = field(default_factory=dict)


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, which takes the place of the one before only when it is whole.

    Raises
    ------
    WriteError
        If it cannot be written; the one before is still there.
    """
    run = {
        "format": FORMAT,
        "config": dataclasses.asdict(checkpoint.config),
        "solver_steps": checkpoint.solver_steps,
        "progress": checkpoint.progress,
    }
    with writing(path) as file:
        # An attribute would end at 64 KiB.
        file["run"] = json.dumps(run)
        _write(file, "parameters", checkpoint.parameters)
        _write(file, "statistics", checkpoint.statistics)
        _write(file, "average", checkpoint.average)
        for name, states in checkpoint.solver.items():
            _write(file, f"solver/{name}", states)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint, whole: what it holds is a run that can go on.

    Raises
    ------
    UsageError
        If there is none.
    XumxError
        If the file is broken, or no checkpoint that this version knows.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such file; `model` takes the folder of a run, or weights")
    try:
        with reading(path) as (_, datasets):
            return _checkpoint(datasets)
    except XumxError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise XumxError(
            f"{path}: is no whole checkpoint ({reason}); a new run can start from the best weights so far: "
            f"`model` {path.with_name('best.h5')} `output` NEW"
        ) from None


def find(model: str) -> Path | None:
    """The checkpoint that ``--model`` names, a file or a run's folder; None if it names something else."""
    path = Path(model)
    if path.is_dir() and (path / NAME).exists():
        return path / NAME
    return path if path.name == NAME else None


def _write(file: h5py.File, group: str, arrays: dict[str, np.ndarray]) -> None:
    target = file.require_group(group)
    for name, array in arrays.items():
        target.create_dataset(name, data=array)


def _checkpoint(datasets: dict[str, h5py.Dataset]) -> Checkpoint:
    run = _run(datasets)
    config: ModelConfig = check(run["config"], ModelConfig)
    shapes = {
        parameter_name(config, source, name): shape
        for source in config.sources
        for name, shape in parameter_shapes(config).items()
    }
    network = dict(shapes)
    options = run["progress"]["options"]
    if CRITICS.keys() & parse_losses(options.get("loss", ())).keys():
        shapes.update(discriminator_shapes(config))
    statistics = any(name.startswith("statistics/") for name in datasets)

    def array(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name not in datasets:
            raise XumxError(f"lacks {name}")
        if datasets[name].shape != shape or datasets[name].dtype.kind != "f":
            raise XumxError(f"{name} is no array of {' x '.join(map(str, shape))} real numbers")
        values: np.ndarray = datasets[name][()]
        if not np.isfinite(values).all():
            raise XumxError(f"{name} holds values that are not finite")
        return values

    return Checkpoint(
        config=config,
        parameters={name: array(f"parameters/{name}", shape) for name, shape in shapes.items()},
        solver={
            name: {state: array(f"solver/{name}/{state}", shape) for state in ("mean", "var")}
            for name, shape in shapes.items()
            if not name.endswith(("/bn/mean", "/bn/var"))
        },
        solver_steps=run["solver_steps"],
        statistics={
            name: array(f"statistics/{name}", (config.bins,)) for name in ("mean", "scale") if statistics
        },
        progress=run["progress"],
        average={
            name: array(f"average/{name}", shape) for name, shape in network.items() if options.get("ema")
        },
    )


def _run(datasets: dict[str, h5py.Dataset]) -> dict[str, Any]:
    """All that is no array."""
    text = datasets["run"][()] if "run" in datasets else None
    if not isinstance(text, bytes):
        raise XumxError("holds no run")
    run = parse(text, dict[str, Any])
    if check(run, _Format)["format"] != FORMAT:
        raise XumxError(f"is of format {run['format']}, which this version of xumx does not know")
    progress = check(run, _Run)["progress"]
    ended = progress["position"].history
    check(ended, list[_Epoch])
    if progress["position"].epoch != len(ended) or progress["stopping"].best_epoch >= len(ended):
        raise XumxError("does not agree with itself how many epochs have ended")
    if any(epoch["epoch"] != at or not 0 <= epoch["best_epoch"] <= at for at, epoch in enumerate(ended)):
        raise XumxError("does not hold its epochs in their order")
    for state in progress["random"]:
        _check_random(state)
    return run


def _check_random(state: dict[str, Any]) -> None:
    try:
        np.random.default_rng(0).bit_generator.state = state
    except (ValueError, TypeError, KeyError, OverflowError, AttributeError):
        raise XumxError("holds no random state of NumPy's") from None


@dataclass
class State:
    """All that a run needs to go on, but for the parameters and what the solver remembers of them.

    Parameters
    ----------
    position : Position
    plateau : Plateau
        Its rate is that of one process: it knows neither scaling nor warm-up.
    stopping : EarlyStopping
    rng : Generator
        Draws this rank's dropout.
    statistics : dict of str to array
        Of the training mixtures; empty for a run that started from weights.
    before : int
        How many processes the run had when it was saved.
    """

    position: Position
    plateau: Plateau
    stopping: EarlyStopping
    rng: np.random.Generator
    statistics: dict[str, np.ndarray]
    before: int = 1

    @classmethod
    def new(cls, options: TrainOptions, rank: int, statistics: dict[str, np.ndarray]) -> State:
        """Of a run that begins."""
        plateau = Plateau(options.lr, options.lr_decay_gamma, options.lr_decay_patience)
        rng = np.random.default_rng([options.seed, rank])
        return cls(Position(), plateau, EarlyStopping(options.patience), rng, statistics)

    @classmethod
    def resumed(cls, saved: Checkpoint, options: TrainOptions, rank: int, size: int) -> State:
        """Of a run that goes on, with as many processes as before or others.

        As many have the random states that they had; others have new ones, which follow from where the run
        is. What of its epoch the others do not divide evenly among them is drawn again.
        """
        progress = saved.progress
        position = Position(**progress["position"])
        plateau = Plateau(**progress["plateau"])
        plateau.factor, plateau.patience = options.lr_decay_gamma, options.lr_decay_patience
        if options.lr != progress["options"]["lr"]:
            plateau.rate = options.lr
        stopping = EarlyStopping(**{**progress["stopping"], "patience": options.patience})
        rng = np.random.default_rng([options.seed, rank, position.epoch, position.samples])
        if len(progress["random"]) == size:
            rng.bit_generator.state = progress["random"][rank]
        return cls(position, plateau, stopping, rng, saved.statistics, len(progress["random"]))

    def progress(self, options: TrainOptions, random: Sequence[Any]) -> dict[str, Any]:
        """For :class:`xumx.train.checkpoint.Checkpoint`; ``random`` has the random state of each rank."""
        return {
            "options": fields(options),
            "position": dataclasses.asdict(self.position),
            "plateau": dataclasses.asdict(self.plateau),
            "stopping": dataclasses.asdict(self.stopping),
            "random": list(random),
            "versions": versions(),
        }


def solver_arrays(solvers: Sequence[S.Adam]) -> tuple[dict[str, dict[str, np.ndarray]], int]:
    """What solvers, which take turns, remember of each parameter, and their number of updates."""
    states = {name: state for solver in solvers for name, state in solver.get_states().items()}
    arrays = {name: {key: v.d for key, v in state.pstate.items()} for name, state in states.items()}
    return arrays, max(state.t for state in states.values())


def restore_solver(solver: S.Adam, saved: Checkpoint) -> None:
    """Let a solver remember what it did at the checkpoint."""
    states = solver.get_states()
    for name, state in states.items():
        state.t = saved.solver_steps
        for key, variable in state.pstate.items():
            variable.d = saved.solver[name][key]
    solver.set_states(states)
