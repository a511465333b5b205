"""The study's losses against the golden values and gradients; all losses where there is nothing to hear."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from tests.graph.losses.scene import Scene
from tests.networks import DATA
from xumx.graph import losses
from xumx.graph.losses import resolution
from xumx.graph.ops import cpu as cpu_ops
from xumx.graph.ops import stock as stock_ops

OPS = {"cpu": cpu_ops, "stock": stock_ops}

with h5py.File(DATA / "loss-study.h5") as file:
    MASKS, TARGETS = file["masks"][()], file["targets"][()]
    GOLDEN = {name: (node[()], dict(node.attrs)) for name, node in file["gradient"].items()}


@pytest.mark.parametrize("ops", OPS)
@pytest.mark.parametrize("name", GOLDEN)
def test_equals_the_golden_values(name, ops):
    """Gradients at 1000 places, and as a whole along 8 random directions."""
    wanted, whole = GOLDEN[name]
    value, gradient = Scene(MASKS, TARGETS, OPS[ops]).value_and_gradient(name)
    assert value == pytest.approx(whole["value"], rel=1e-3)
    rng = np.random.RandomState(0)
    places = rng.permutation(gradient.size)[:1000]
    np.testing.assert_allclose(gradient.ravel()[places], wanted, rtol=0, atol=1e-5 * whole["peak"])
    directions = rng.standard_normal((8, gradient.size))
    error = directions @ gradient.ravel() - whole["projections"]
    assert np.sqrt(np.mean(error**2)) < 1e-5 * whole["norm"]


def test_the_study_is_whole():
    assert set(list(losses.LOSSES)[:18]) == set(GOLDEN)


def scenes():
    """Masks, targets, and the mixture if it is not their sum."""
    rng = np.random.RandomState(1)
    masks = rng.uniform(0, 1, (4, 11, 2, 2, 129))
    audio = rng.normal(0, 0.2, (4, 2, 2, 700)).astype(np.float32)
    one_silent = audio.copy()
    one_silent[1] = 0
    return {
        "silence": (masks, 0 * audio, None),
        "silent targets": (masks, 0 * audio, audio[0]),
        "one silent target": (masks, one_silent, None),
        "silent estimates": (0 * masks, audio, None),
        "digital black in a part": (masks, audio * (np.arange(700) < 200), None),
        "perfect": (np.ones_like(masks), audio[:1].repeat(4, axis=0) / 4, audio[0] / 4),
        "faint": (masks, 1e-6 * audio, None),
        "loud": (100 * masks, 10 * audio, None),
    }


@pytest.mark.parametrize("scene", scenes())
@pytest.mark.parametrize("ops", OPS)
def test_finite_everywhere(scene, ops, monkeypatch):
    monkeypatch.setattr(resolution, "WINDOWS", (32, 64))  # NNabla's STFT is slow on a CPU
    masks, targets, mixture = scenes()[scene]
    found = Scene(masks, targets, OPS[ops], mixture)
    for name in losses.LOSSES:
        value, gradient = found.value_and_gradient(name)
        assert np.isfinite(value) and np.isfinite(gradient).all(), f"{name}: {value}"


@pytest.mark.parametrize("name", losses.LOSSES)
def test_a_step_against_the_gradient_lowers_it(name):
    value, gradient = Scene(MASKS, TARGETS, cpu_ops).value_and_gradient(name)
    slope = np.sum(gradient.astype(np.float64) ** 2)
    assert slope > 0
    # So far that the loss would fall by a thousandth of its scale if it were straight.
    masks = MASKS - 1e-3 * max(abs(value), 1) / slope * gradient
    lower, _ = Scene(masks, TARGETS, cpu_ops).value_and_gradient(name)
    assert lower < value
