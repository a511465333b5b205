"""The joint network as its equations say, in NumPy and double precision, from its file alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

Get = Callable[[str], np.ndarray]


def joint_estimates(path: Path, sources: tuple[str, ...], magnitude: np.ndarray) -> np.ndarray:
    """From (frames, batch, channels, bins) to (sources, frames, batch, channels, bins)."""
    with h5py.File(path) as file:
        arrays: dict[str, np.ndarray] = {}
        file.visititems(lambda n, d: arrays.update({n: d[()].astype(float)}) if hasattr(d, "shape") else None)
    get = arrays.__getitem__
    frames, batch, channels, bins = magnitude.shape
    x = magnitude[..., : len(get("input_mean"))].astype(float)
    x = (x + get("input_mean")) * get("input_scale")
    encoded = np.tanh(_norm(x.reshape(frames, batch, -1) @ get("fc1/affine/W"), get, "fc1"))
    both = np.concatenate([encoded, _lstm(encoded, get)], axis=2)
    hidden = np.maximum(_norm(both @ get("fc2/affine/W"), get, "fc2"), 0)
    masks = [_norm(hidden @ get(f"fc3_{s}/affine/W"), get, f"fc3_{s}") for s in sources]
    masks = [m.reshape(frames, batch, channels, bins) for m in masks]
    return np.stack([np.maximum(m * get("output_scale") + get("output_mean"), 0) * magnitude for m in masks])


def _norm(x: np.ndarray, get: Get, layer: str) -> np.ndarray:
    mean, var, gamma, beta = (get(f"{layer}/bn/{part}") for part in ("mean", "var", "gamma", "beta"))
    return gamma * (x - mean) / np.sqrt(var + 1e-5) + beta


def _lstm(x: np.ndarray, get: Get) -> np.ndarray:
    bias = get("lstm/lstm/bias")
    layers, directions, _, size = bias.shape
    for layer in range(layers):
        weight = get("lstm/lstm/weight")[layer - 1] if layer else get("lstm/lstm/weight_l0")
        outputs = np.zeros((directions, *x.shape[:2], size))
        for direction in range(directions):
            state = cell = np.zeros((x.shape[1], size))
            for t in range(len(x))[:: -1 if direction else 1]:
                seen = np.concatenate([x[t], state], axis=1)
                gates = [seen @ w.T + b for w, b in zip(weight[direction], bias[layer, direction])]
                let_in, forget, let_out = (1 / (1 + np.exp(-gates[i])) for i in (0, 1, 3))
                cell = forget * cell + let_in * np.tanh(gates[2])
                state = let_out * np.tanh(cell)
                outputs[direction, t] = state
        x = np.concatenate(list(outputs), axis=2)
    return x
