"""Our arithmetic of Adam against NNabla's, on one solver's states."""

from __future__ import annotations

import nnabla as nn
import nnabla.solvers as S
import numpy as np
import pytest

from tests.graph.variables import variable
from xumx.graph.ops import cpu as cpu_ops
from xumx.graph.ops import stock as stock_ops

SHAPES = {"small": (3, 4), "odd": (5001,), "shared out": (300_001,)}


def parameters() -> dict[str, nn.Variable]:
    rng = np.random.RandomState(0)
    return {name: variable(rng, *shape) for name, shape in SHAPES.items()}


@pytest.mark.parametrize("weight_decay", [0.0, 0.03])
def test_equals_nnabla(weight_decay):
    """Over steps that switch between the two, with a learning rate that changes.

    A step is at most about the learning rate, 1e-2; where moments cancel, rounding shows in it.
    """
    ours, theirs = parameters(), parameters()
    solvers = [S.Adam(1e-2), S.Adam(1e-2)]
    for solver, values in zip(solvers, (ours, theirs), strict=True):
        solver.set_parameters(values)
    rng = np.random.RandomState(1)
    for step in range(6):
        for name, v in ours.items():
            v.g = rng.randn(*v.shape) * 10.0 ** rng.randint(-6, 2)
            theirs[name].g = v.g
        for solver in solvers:
            solver.set_learning_rate(1e-2 / (1 + step // 2))
        before = {name: v.g.copy() for name, v in ours.items()}
        (stock_ops if step == 3 else cpu_ops).adam_step(solvers[0], weight_decay=weight_decay)
        stock_ops.adam_step(solvers[1], weight_decay=weight_decay)
        for name, v in ours.items():
            np.testing.assert_allclose(
                v.d, theirs[name].d, rtol=1e-5, atol=3e-5, err_msg=f"{name}, step {step}"
            )
            if step != 3:
                np.testing.assert_array_equal(v.g, before[name])
        states = [solver.get_states() for solver in solvers]
        for name in ours:
            assert states[0][name].t == states[1][name].t == step + 1
            for moment in ("mean", "var"):
                a, b = (s[name].pstate[moment].d for s in states)
                np.testing.assert_allclose(
                    a, b, rtol=1e-3, atol=1e-5, err_msg=f"{moment} of {name}, step {step}"
                )


def test_states_are_saved_and_loaded(tmp_path):
    """A solver with the states that another has saved goes on as that one would."""
    path, ours = str(tmp_path / "states.h5"), parameters()
    solver = S.Adam(1e-2)
    solver.set_parameters(ours)
    rng = np.random.RandomState(1)
    gradients = {name: rng.randn(*v.shape) for name, v in ours.items()}

    def step(solver: S.Adam, values: dict[str, nn.Variable]) -> None:
        for name, v in values.items():
            v.g = gradients[name]
        cpu_ops.adam_step(solver, weight_decay=0.01)

    for _ in range(3):
        step(solver, ours)
    solver.save_states(path)
    copies = parameters()
    for name, v in copies.items():
        v.d = ours[name].d
    other = S.Adam(1e-2)
    other.set_parameters(copies)
    other.load_states(path)
    step(solver, ours)
    step(other, copies)
    for name, v in ours.items():
        np.testing.assert_array_equal(v.d, copies[name].d, err_msg=name)
