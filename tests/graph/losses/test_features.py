"""Distances of activations against NumPy, and the networks that can listen."""

from __future__ import annotations

import numpy as np
import pytest

from tests.graph.losses.numeric import assert_equals, variables
from tests.networks import random_weights, small_config
from xumx.base.errors import UsageError
from xumx.graph.losses.features import deep_features, frozen_encoders
from xumx.graph.ops import cpu as cpu_ops
from xumx.graph.ops import stock as stock_ops
from xumx.network.weights import BN_EPS, Weights

CONFIG = small_config(sources=("a", "b"))


def heard(x: np.ndarray, network: Weights, source: str) -> np.ndarray:
    """(frames, batch, channels, bins) to (frames, batch, hidden)."""
    p = {name: values.astype(np.float64) for name, values in network.parameters[source].items()}
    low = (x[..., : network.config.max_bin] + p["input_mean"]) * p["input_scale"]
    y = low.reshape(*x.shape[:2], -1) @ p["fc1/affine/W"]
    y = (y - p["fc1/bn/mean"]) / np.sqrt(p["fc1/bn/var"] + BN_EPS) * p["fc1/bn/gamma"] + p["fc1/bn/beta"]
    return np.tanh(y)


NETWORKS = {
    "its own encoder of each source": small_config(sources=("b", "c", "a"), hidden_size=6),
    "one for all": small_config(arch="umx", sources=("voice",), max_bin=50),
}


@pytest.mark.parametrize("ops", [cpu_ops, stock_ops], ids=["cpu", "stock"])
@pytest.mark.parametrize("config", NETWORKS.values(), ids=NETWORKS)
def test_equals_its_definition(config, ops):
    network = random_weights(config)
    rng = np.random.RandomState(0)
    x, y = rng.uniform(0, 1, (2, 2, 5, 3, 2, 129))
    estimates = variables(x, need_grad=True)
    encoders = frozen_encoders(network, CONFIG, "it")

    def definition(x: np.ndarray) -> float:
        names = [s if s in config.sources else config.sources[0] for s in CONFIG.sources]
        return sum(
            np.mean((heard(a, network, s) - heard(b, network, s)) ** 2)
            for a, b, s in zip(x, y, names, strict=True)
        )

    loss = deep_features(estimates, variables(y), encoders, ops)
    assert_equals(loss, estimates, definition, config.arch)


@pytest.mark.parametrize(
    "change, named",
    [
        ({"n_fft": 512}, "n_fft 512"),
        ({"nb_channels": 1}, "nb_channels 1"),
        ({"sample_rate": 48000}, "48000"),
        ({"sources": ("a", "c")}, "no encoder of b, only of a, c"),
    ],
)
def test_networks_that_do_not_fit(change, named):
    network = random_weights(small_config(**{"sources": ("a", "b"), **change}))
    with pytest.raises(UsageError, match=f"^it has .*{named}"):
        frozen_encoders(network, CONFIG, "it")
