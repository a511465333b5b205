"""All of a run in one file, whole or not at all.

The file is HDF5: ``parameters/<name>``, ``solver/<name>/<state>`` and ``statistics/{mean,scale}`` are arrays,
and ``run`` holds everything else as JSON.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from xumx.config import ModelConfig
from xumx.errors import UsageError, XumxError
from xumx.hdf5 import writing

NAME = "checkpoint.h5"
FORMAT = 2


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
    """

    config: ModelConfig
    parameters: dict[str, np.ndarray]
    solver: dict[str, dict[str, np.ndarray]]
    solver_steps: int
    statistics: dict[str, np.ndarray]
    progress: dict[str, Any]


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, which takes the place of the one before only when it is whole.

    Raises
    ------
    XumxError
        If it cannot be written; the one before is still there.
    """
    run = {
        "format": FORMAT,
        "config": dataclasses.asdict(checkpoint.config),
        "solver_steps": checkpoint.solver_steps,
        "progress": checkpoint.progress,
    }
    try:
        with writing(path) as file:
            # An attribute would end at 64 KiB.
            file["run"] = json.dumps(run)
            _write(file, "parameters", checkpoint.parameters)
            _write(file, "statistics", checkpoint.statistics)
            for name, states in checkpoint.solver.items():
                _write(file, f"solver/{name}", states)
    except OSError as error:
        kept = "; the one before is kept" if path.exists() else ""
        raise XumxError(
            f"{path}: the checkpoint cannot be written ({error.strerror or error}){kept}"
        ) from None


def load(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    UsageError
        If there is none.
    XumxError
        If the file is broken, or no checkpoint that this version knows.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such file; --model takes the folder of a run, or weights")
    try:
        with h5py.File(path, "r") as file:
            run = json.loads(file["run"][()])
            if run["format"] != FORMAT:
                raise XumxError(
                    f"{path}: is of format {run['format']}, which this version of xumx does not know"
                )
            run["config"]["sources"] = tuple(run["config"]["sources"])
            return Checkpoint(
                config=ModelConfig(**run["config"]),
                parameters=_read(file["parameters"]),
                solver=_states(_read(file["solver"])),
                solver_steps=run["solver_steps"],
                statistics=_read(file["statistics"]),
                progress=run["progress"],
            )
    except (OSError, KeyError, TypeError, ValueError, UsageError) as error:
        raise XumxError(f"{path}: is no whole checkpoint ({str(error).splitlines()[0]})") from None


def find(model: str) -> Path | None:
    """The checkpoint that ``--model`` names, a file or a run's folder; None if it names something else."""
    path = Path(model)
    if path.is_dir() and (path / NAME).exists():
        return path / NAME
    return path if path.name == NAME else None


def tidy(folder: Path) -> None:
    """Remove the unfinished files that a killed process left in a run's folder."""
    for path in folder.glob(".*-" + 8 * "[0-9a-f]" + ".*"):  # as xumx.files.replacing names them
        path.unlink(missing_ok=True)


def _write(file: h5py.File, group: str, arrays: dict[str, np.ndarray]) -> None:
    target = file.require_group(group)
    for name, array in arrays.items():
        target.create_dataset(name, data=array)


def _read(group: h5py.Group) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}

    def visit(name: str, node: h5py.HLObject) -> None:
        if isinstance(node, h5py.Dataset):
            arrays[name] = node[()]

    group.visititems(visit)
    return arrays


def _states(arrays: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    states: dict[str, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        parameter, _, state = name.rpartition("/")
        states.setdefault(parameter, {})[state] = array
    return states
