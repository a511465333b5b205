"""Parametric functions against NNabla's own of the same names, and what creating a network draws."""

from __future__ import annotations

import nnabla as nn
import nnabla.functions as F
import nnabla.parametric_functions as PF
import numpy as np
import pytest

from tests.graph.variables import variable
from tests.networks import small_config
from xumx.graph import model, parametric
from xumx.graph.ops import cpu as cpu_ops
from xumx.graph.ops import stock as stock_ops


@pytest.fixture(autouse=True)
def fresh_scope():
    nn.clear_parameters()
    yield
    nn.clear_parameters()


def built(build) -> tuple[np.ndarray, dict[str, tuple[bool, np.ndarray]]]:
    """The value of a graph in a scope of its own; by name its parameters' need of a gradient and values."""
    with nn.parameter_scope("", {}):
        y = build()
        y.forward()
        found = nn.get_parameters(grad_only=False).items()
        return y.d.copy(), {name: (p.need_grad, p.d.copy()) for name, p in found}


def ours_and_nnablas(kind: str, x: nn.Variable, ops):
    rng = np.random.RandomState
    if kind == "affine":
        return (
            lambda: parametric.affine(x, 5, ops, rng=rng(1)),
            lambda: PF.affine(x, 5, base_axis=2, rng=rng(1), with_bias=False),
        )
    if kind == "bn":
        return (
            lambda: parametric.batch_normalization(x, ops, "tanh"),
            lambda: F.tanh(PF.batch_normalization(x, axes=[2])),
        )
    layers, directions = {"lstm1": (1, 2), "lstm3": (3, 1)}[kind]
    state = nn.Variable((layers, directions, x.shape[1], 7))
    state.d = 0
    return (
        lambda: parametric.lstm(x, 7, ops, layers, directions == 2, rng=rng(1)),
        lambda: PF.lstm(x, state, state, num_layers=layers, bidirectional=directions == 2, rng=rng(1))[0],
    )


@pytest.mark.parametrize("ops", [cpu_ops, stock_ops], ids=["cpu", "stock"])
@pytest.mark.parametrize("kind", ["affine", "bn", "lstm1", "lstm3"])
def test_they_are_nnablas(kind, ops):
    """The same parameters by name, order, need of a gradient and initial value, and the same result."""
    x = variable(np.random.RandomState(0), 6, 3, 4)
    (y, found), (wanted, theirs) = map(built, ours_and_nnablas(kind, x, ops))
    np.testing.assert_allclose(y, wanted, atol=1e-5)
    assert list(found) == list(theirs)
    for name, (need_grad, values) in theirs.items():
        assert found[name][0] == need_grad, name
        if kind == "bn" and name in ("bn/mean", "bn/var"):  # moved by the forward
            np.testing.assert_allclose(found[name][1], values, rtol=1e-5, atol=1e-7, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name][1], values, err_msg=name)


def test_fixed_parameters_get_no_gradient():
    x = nn.Variable((6, 3, 4))
    mixture, row = nn.Variable((6, 3, 1, 4)), nn.Variable((4,))
    fixed = {"ops": cpu_ops, "fix_parameters": True}
    functions = [
        parametric.affine(x, 4, **fixed),
        parametric.normalized_affine(mixture, row, row, 4, **fixed),
        parametric.batch_normalization(x, activation="relu", **fixed),
        parametric.mask(x, row, row, mixture, **fixed),
        parametric.lstm(x, 4, num_layers=2, **fixed),
    ]
    assert [y.need_grad for y in functions] == [False] * 5
    found = nn.get_parameters(grad_only=False)
    assert {name for name, p in found.items() if not p.need_grad} == {"bn/mean", "bn/var"}


ONE = [
    *("input_mean", "input_scale", "output_scale", "output_mean"),
    *("fc1/affine/W", "fc1/bn/beta", "fc1/bn/gamma", "fc1/bn/mean", "fc1/bn/var"),
    *("lstm/lstm/weight_l0", "lstm/lstm/weight", "lstm/lstm/bias"),
    *("fc2/affine/W", "fc2/bn/beta", "fc2/bn/gamma", "fc2/bn/mean", "fc2/bn/var"),
    *("fc3/affine/W", "fc3/bn/beta", "fc3/bn/gamma", "fc3/bn/mean", "fc3/bn/var"),
]


def suffixed(source: str, names: list[str]) -> list[str]:
    parts = (name.partition("/") for name in names)
    return [f"{head}_{source}{slash}{tail}" for head, slash, tail in parts]


OFFICIAL = {
    "x-umx": suffixed("a", ONE) + suffixed("b", ONE),
    "umx": [f"{source}/{name}" for source in "ab" for name in ONE],
    "joint": ONE[:17] + suffixed("a", ONE[17:]) + suffixed("b", ONE[17:]),
}


@pytest.mark.parametrize("arch", OFFICIAL)
def test_a_new_network_has_the_official_names(arch):
    model.create_parameters(small_config(arch=arch, sources=("a", "b")), np.random.RandomState(0))
    found = nn.get_parameters(grad_only=False)
    assert list(found) == OFFICIAL[arch]
    assert [n for n, p in found.items() if not p.need_grad] == [
        n for n in OFFICIAL[arch] if n.endswith(("/bn/mean", "/bn/var"))
    ]


@pytest.mark.parametrize("arch", OFFICIAL)
@pytest.mark.parametrize("layers", [1, 3])
def test_a_graph_makes_what_it_lacks_and_keeps_what_there_is(arch, layers):
    config = small_config(arch=arch, sources=("a", "b"), nb_layers=layers)
    shape = (3, 1, 2, config.bins)
    model.estimates(nn.Variable(shape), config, cpu_ops)
    made = nn.get_parameters(grad_only=False)
    assert set(made) == {name for name in OFFICIAL[arch] if layers > 1 or not name.endswith("lstm/weight")}
    before = {name: p.d.copy() for name, p in made.items()}
    model.estimates(nn.Variable(shape), config, stock_ops, rng=np.random.default_rng(0))
    model.create_parameters(config, np.random.RandomState(0))
    for name, p in nn.get_parameters(grad_only=False).items():
        np.testing.assert_array_equal(p.d, before[name], err_msg=name)


@pytest.mark.parametrize("arch", OFFICIAL)
def test_what_a_seed_draws(arch):
    """A seed means the same network in every version: the draws, in their order, worked out by hand."""
    config = small_config(arch=arch, sources=("a", "b"))
    model.create_parameters(config, np.random.RandomState(3))
    found, rng = model.get_weights(config).parameters, np.random.RandomState(3)

    def draw(*shape: int, fan: tuple[int, int]) -> np.ndarray:
        limit = (6 / sum(fan)) ** 0.5
        return rng.uniform(-limit, limit, shape).astype(np.float32)

    def gates(*front: int, width: int) -> np.ndarray:
        hidden = config.lstm_size
        return np.concatenate([draw(*front, hidden, n, fan=(n, hidden)) for n in (width, hidden)], axis=-1)

    size = config.hidden_size
    for source in "ab":
        wanted = {}
        if source == "a" or arch != "joint":
            rows = 2 * config.max_bin
            wanted["fc1/affine/W"] = draw(rows, size, fan=(rows, size))
            wanted["lstm/lstm/weight_l0"] = gates(2, 4, width=size)
            wanted["lstm/lstm/weight"] = gates(2, 2, 4, width=size)
            wanted["fc2/affine/W"] = draw(2 * size, size, fan=(2 * size, size))
        wanted["fc3/affine/W"] = draw(size, 2 * config.bins, fan=(size, 2 * config.bins))
        for name, values in wanted.items():
            np.testing.assert_allclose(found[source][name], values, rtol=1e-6, err_msg=f"{name} of {source}")
        for name, values in found[source].items():
            if not name.endswith("/W") and "/weight" not in name:
                ones = name.endswith(("gamma", "var")) or name in ONE[1:4]
                np.testing.assert_array_equal(values, float(ones), err_msg=name)
