"""Small training runs for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xumx.network import weights
from xumx.train import checkpoint
from xumx.train.__main__ import main

_NETWORK = "--hidden-size 8 --nfft 256 --nhop 128 --bandwidth 12000"
_STEPS = "--seq-dur 0.2 --samples-per-track 4 --batch-size 3 --epochs 1 --nb-workers 0"
NETWORK, STEPS = _NETWORK.split(), _STEPS.split()


def arguments(root: Path, output: Path, *changes: object, small: list[str] | None = None) -> list[str]:
    """Of a run of 4 steps on a set of three wav tracks; changes come last and win."""
    wav = ["--is-wav"] if any(path.is_dir() for path in root.glob("train/*")) else []
    return [
        "--root",
        str(root),
        *wav,
        "--output",
        str(output),
        "--quiet",
        *(small or NETWORK + STEPS),
        *map(str, changes),
    ]


def train(root: Path, output: Path, *changes: object) -> checkpoint.Checkpoint:
    """Run to the end and give what it left."""
    code = main(arguments(root, output, *changes))
    assert code == 0, f"{changes} ended with {code}"
    return load(output)


def load(output: Path) -> checkpoint.Checkpoint:
    return checkpoint.load(output / checkpoint.NAME)


def best(output: Path) -> weights.Weights:
    return weights.load(output / "best.h5")


def content(saved: checkpoint.Checkpoint) -> dict[str, Any]:
    """All that two runs that did the same have in common: everything but times and where it was written."""
    progress = dict(saved.progress)
    for name in ("options", "versions"):
        progress.pop(name)
    position = dict(progress.pop("position"))
    position.pop("seconds")
    timed = ("seconds", "samples_per_second")
    position["history"] = [{k: v for k, v in e.items() if k not in timed} for e in position["history"]]
    return {
        "position": position,
        **progress,
        "solver_steps": saved.solver_steps,
        "parameters": saved.parameters,
        "solver": saved.solver,
        "statistics": saved.statistics,
        "average": saved.average,
    }


def assert_same(found: Any, wanted: Any, where: str = "run") -> None:
    """To the last bit."""
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys(), where
        for name in wanted:
            assert_same(found[name], wanted[name], f"{where}/{name}")
    elif isinstance(wanted, np.ndarray):
        np.testing.assert_array_equal(found, wanted, err_msg=where)
    else:
        assert found == wanted, where
