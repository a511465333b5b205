"""``python tools/widen.py WEIGHTS WIDER HIDDEN``: a network of more hidden units, which computes the same.

So that what has been learned is not lost when a larger network is trained on (Chen et al. 2016, Net2Net,
arXiv:1511.05641, though new units are not copies here). New units listen to everything, with random weights
like those of a new network, but nobody listens to them yet: what leads from them to others is 0. These zeros
get gradients from the first step on.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from xumx.network import weights as weights_file
from xumx.network.config import ModelConfig
from xumx.network.weights import Weights, parameter_shapes


def widen(weights: Weights, hidden_size: int, rng: np.random.Generator) -> Weights:
    """Make a network of ``hidden_size`` hidden units, at least as many as ``weights`` has."""
    config = replace(weights.config, hidden_size=hidden_size)
    shapes = parameter_shapes(config)
    made: dict[tuple[str, int], np.ndarray] = {}  # what sources share stays shared

    def widened(name: str, old: np.ndarray) -> np.ndarray:
        if (name, id(old)) not in made:
            made[name, id(old)] = _widened(name, old, shapes[name], weights.config, config, rng)
        return made[name, id(old)]

    return Weights(
        config,
        {
            source: {name: widened(name, p[name]) for name in shapes}
            for source, p in weights.parameters.items()
        },
    )


def _widened(
    name: str,
    old: np.ndarray,
    shape: tuple[int, ...],
    before: ModelConfig,
    after: ModelConfig,
    rng: np.random.Generator,
) -> np.ndarray:
    if old.shape == shape:
        return old
    layer, _, part = name.partition("/")
    units = np.arange(before.hidden_size)
    state = np.arange(before.lstm_size)
    # The outputs of an LSTM's directions lie one behind the other.
    recurrent = np.concatenate([k * after.lstm_size + state for k in range(after.directions)])
    if part.startswith("bn/"):
        new = np.full(shape, 1.0 if part in ("bn/gamma", "bn/var") else 0.0)
        new[..., units] = old
    elif layer == "lstm" and part.endswith("bias"):
        new = np.zeros(shape)
        new[..., state] = old
    elif layer == "lstm":  # (..., 4, to the state, from the input and the state)
        inputs = units if part.endswith("l0") else recurrent
        listens = np.concatenate([inputs, shape[-1] - after.lstm_size + state])
        new = _random(shape, shape[-1] + shape[-2], rng)
        new[..., state, :] = 0
        new[..., state[:, None], listens] = old
    else:  # a matrix (from, to)
        listens = {"fc1": np.arange(len(old)), "fc3": units}.get(
            layer, np.concatenate([units, after.hidden_size + recurrent])  # fc2: encoder and LSTM
        )  # fmt: skip
        to = np.arange(old.shape[1])
        new = _random(shape, sum(shape), rng)
        new[:, to] = 0
        new[np.ix_(listens, to)] = old
    return new.astype(np.float32)


def _random(shape: tuple[int, ...], fans: int, rng: np.random.Generator) -> np.ndarray:
    """Glorot's uniform distribution."""
    bound = np.sqrt(6 / fans)
    return rng.uniform(-bound, bound, shape)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit("usage: python tools/widen.py WEIGHTS WIDER HIDDEN")
    loaded = weights_file.load(sys.argv[1])
    weights_file.save(sys.argv[2], widen(loaded, int(sys.argv[3]), np.random.default_rng(0)))
