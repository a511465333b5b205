"""One source's parameters between PyTorch's layout and the official one.

Keys are Open-Unmix's (``fc1.weight``, ``bn1.running_var``, ``lstm.weight_ih_l0_reverse`` …). Matrices are
transposed. The gates of PyTorch's LSTM stand in the official order (input, forget, cell, output), but it
has two biases where the official layout has their sum, and keeps apart the weights of input and state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xumx.base.errors import WeightsError
from xumx.network.config import ModelConfig, from_shapes
from xumx.network.pytorch.checkpoint import State, shown
from xumx.network.weights import parameter_shapes

_SCALES = ("input_mean", "input_scale", "output_mean", "output_scale")
_BATCH_NORM = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "var": "running_var"}

Key = Callable[[str], str]
"""From a key of Open-Unmix to the key of the same tensor in a file."""


def infer(
    state: State, key: Key, *, arch: str, sources: tuple[str, ...], sample_rate: int, n_hop: int | None
) -> ModelConfig:
    """Infer the configuration from the shapes of one source.

    Parameters
    ----------
    state : State
    key : callable
    arch, sources, sample_rate, n_hop
        What shapes do not tell. A hop of None is n_fft/4.

    Raises
    ------
    WeightsError
        For shapes that make no network.
    """
    (max_bin,) = state.shape(key("input_mean"), 1)
    (bins,) = state.shape(key("output_mean"), 1)
    hidden, rows = state.shape(key("fc1.weight"), 2)
    layers = 0
    while key(f"lstm.weight_ih_l{layers}") in state:
        layers += 1
    unidirectional = key("lstm.weight_ih_l0_reverse") not in state
    return from_shapes(
        state.path, arch=arch, sources=sources, max_bin=max_bin, bins=bins, rows=rows, hidden_size=hidden,
        nb_layers=max(layers, 1), unidirectional=unidirectional, n_hop=n_hop, sample_rate=sample_rate,
    )  # fmt: skip


def take(state: State, key: Key, config: ModelConfig) -> dict[str, np.ndarray]:
    """Take one source's tensors out of ``state``, under the official names.

    Raises
    ------
    WeightsError
        If one is missing, misshapen or not finite.
    """
    shapes = parameter_shapes(config)
    parameters = {name: state.take(key(name), shapes[name]) for name in _SCALES}
    for i in (1, 2, 3):
        rows, columns = shapes[f"fc{i}/affine/W"]
        parameters[f"fc{i}/affine/W"] = state.take(key(f"fc{i}.weight"), (columns, rows)).T
        for ours, theirs in _BATCH_NORM.items():
            values = state.take(key(f"bn{i}.{theirs}"), (columns,))
            if ours == "var" and values.min() < 0:
                raise WeightsError(f"{state.path}: {key(f'bn{i}.{theirs}')} holds a negative variance")
            parameters[f"fc{i}/bn/{ours}"] = values.reshape(1, 1, -1)

    h, directions = config.lstm_size, config.directions
    weights, biases = [], []
    for layer in range(config.nb_layers):
        inputs = directions * h if layer else config.hidden_size
        of_layer = []
        for end in _ends(layer, directions):
            from_input = state.take(key(f"lstm.weight_ih{end}"), (4 * h, inputs))
            from_state = state.take(key(f"lstm.weight_hh{end}"), (4 * h, h))
            of_layer.append(np.concatenate([from_input, from_state], axis=1).reshape(4, h, -1))
            bias, more = (state.take(key(f"lstm.bias_{part}{end}"), (4 * h,)) for part in ("ih", "hh"))
            biases.append((bias + more).reshape(4, h))
        weights.append(np.stack(of_layer))
    parameters["lstm/lstm/weight_l0"] = weights[0]
    if config.nb_layers > 1:
        parameters["lstm/lstm/weight"] = np.stack(weights[1:])
    parameters["lstm/lstm/bias"] = np.stack(biases).reshape(shapes["lstm/lstm/bias"])
    return {name: np.ascontiguousarray(parameters[name]) for name in shapes}


def give(parameters: dict[str, np.ndarray], config: ModelConfig) -> dict[str, np.ndarray]:
    """Rename and reshape one source's parameters to Open-Unmix's keys and PyTorch's shapes: `take` undone.

    Parameters
    ----------
    parameters : dict of str to float32 array
        By plain name, see :func:`xumx.network.weights.parameter_shapes`.
    config : ModelConfig

    Returns
    -------
    dict of str to array
        float32; ``num_batches_tracked`` is a 0 in int64. One of an LSTM's two biases is zero.
    """
    state = {name: parameters[name] for name in _SCALES}
    for i in (1, 2, 3):
        state[f"fc{i}.weight"] = np.ascontiguousarray(parameters[f"fc{i}/affine/W"].T)
        for ours, theirs in _BATCH_NORM.items():
            state[f"bn{i}.{theirs}"] = parameters[f"fc{i}/bn/{ours}"].ravel()
        state[f"bn{i}.num_batches_tracked"] = np.zeros((), np.int64)
    h = config.lstm_size
    for layer in range(config.nb_layers):
        name, place = ("lstm/lstm/weight", layer - 1) if layer else ("lstm/lstm/weight_l0", ...)
        for direction, end in enumerate(_ends(layer, config.directions)):
            weight = parameters[name][place][direction].reshape(4 * h, -1)
            state[f"lstm.weight_ih{end}"] = np.ascontiguousarray(weight[:, :-h])
            state[f"lstm.weight_hh{end}"] = np.ascontiguousarray(weight[:, -h:])
            state[f"lstm.bias_ih{end}"] = parameters["lstm/lstm/bias"][layer, direction].ravel()
            state[f"lstm.bias_hh{end}"] = np.zeros(4 * h, np.float32)
    return state


def number(file: Path, content: Mapping[str, Any], name: str) -> int | None:
    """Return the positive whole number that ``file`` gives for ``name``; None where it gives none.

    Raises
    ------
    WeightsError
        If it is something else.

    Examples
    --------
    >>> number(Path("separator.json"), {"nhop": 1024.0}, "nhop")
    1024
    """
    value = content.get(name)
    if value is None:
        return None
    numeric = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not numeric or not 1 <= value < 2**63 or int(value) != value:
        raise WeightsError(f"{file}: {name} is {shown(value)}, not a positive whole number")
    return int(value)


def _ends(layer: int, directions: int) -> list[str]:
    """How PyTorch ends the names of a layer's tensors."""
    return [f"_l{layer}", f"_l{layer}_reverse"][:directions]
