"""What changes as a run goes on, and the way to and from its checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import nnabla.solvers as S
import numpy as np

from xumx.training.checkpoint import Checkpoint, Position
from xumx.training.options import Options, fields
from xumx.training.record import versions
from xumx.training.schedule import EarlyStopping, Plateau


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
    def new(cls, options: Options, rank: int, statistics: dict[str, np.ndarray]) -> State:
        """Of a run that begins."""
        plateau = Plateau(options.lr, options.lr_decay_gamma, options.lr_decay_patience)
        rng = np.random.default_rng([options.seed, rank])
        return cls(Position(), plateau, EarlyStopping(options.patience), rng, statistics)

    @classmethod
    def resumed(cls, saved: Checkpoint, options: Options, rank: int, size: int) -> State:
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

    def progress(self, options: Options, random: Sequence[Any]) -> dict[str, Any]:
        """For :class:`xumx.training.checkpoint.Checkpoint`; ``random`` has the random state of each rank."""
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
