"""asteroid's X-UMX: one file of a dictionary ``model_name``, ``model_args`` and ``state_dict``.

It is Sony's network, averages included, under other names. For mono, asteroid averages the magnitudes of
the channels where xumx averages the channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xumx.base.errors import WeightsError
from xumx.network.pytorch import layout
from xumx.network.pytorch.checkpoint import State, shown
from xumx.network.weights import Weights

_IGNORED = r"(encoder\.0|decoder)\.window|.*\.num_batches_tracked"

_LAYERS = {
    "fc1": "layer_enc.{}.enc.0",
    "bn1": "layer_enc.{}.enc.1",
    "lstm": "layer_lstm.{}",
    "fc2": "layer_dec.{}.dec.0",
    "bn2": "layer_dec.{}.dec.1",
    "fc3": "layer_dec.{}.dec.3",
    "bn3": "layer_dec.{}.dec.4",
}


def weights(
    path: Path, content: Mapping[str, Any], *, n_hop: int | None = None, sample_rate: int | None = None
) -> Weights:
    """Take the X-UMX network out of what :func:`xumx.network.pytorch.checkpoint.read` returned for ``path``.

    ``n_hop`` and ``sample_rate`` count where it does not say them.

    Raises
    ------
    WeightsError
        If it is another network, or one that xumx cannot run.
    """
    name, args, tensors = (content.get(part) for part in ("model_name", "model_args", "state_dict"))
    if not isinstance(name, str) or name != "XUMX":
        raise WeightsError(
            f"{path}: a checkpoint of {shown(name)}; of asteroid's networks xumx has XUMX only"
        )
    if not isinstance(args, Mapping) or not isinstance(tensors, Mapping):
        raise WeightsError(f"{path}: model_args or state_dict is no dictionary; not asteroid's checkpoint")
    sources = args.get("sources")
    if not isinstance(sources, (list, tuple)) or not sources or not all(isinstance(s, str) for s in sources):
        raise WeightsError(f"{path}: model_args names no sources, but {shown(sources)}")
    power = args.get("spec_power", 1)
    if not isinstance(power, (int, float, np.number)) or power != 1:
        raise WeightsError(
            f"{path}: reads spectra to the power of {shown(power)}; xumx's networks read magnitudes"
        )

    state = State(path, tensors, _IGNORED)
    config = layout.infer(
        state,
        _key(sources[0]),
        arch="x-umx",
        sources=tuple(sources),
        sample_rate=layout.number(path, args, "sample_rate") or sample_rate or 44100,
        n_hop=layout.number(path, args, "n_hop") or n_hop,
    )
    found = {
        "in_chan": config.n_fft,
        "window_length": config.n_fft,
        "hidden_size": config.hidden_size,
        "nb_channels": config.nb_channels,
        "nb_layers": config.nb_layers,
        "max_bin": config.max_bin,
    }
    for size, value in found.items():
        if layout.number(path, args, size) not in (None, value):
            raise WeightsError(f"{path}: its tensors have {size} {value}, model_args says {args[size]}")
    parameters = {source: layout.take(state, _key(source), config) for source in sources}
    state.finish("X-UMX")
    return Weights(config, parameters)


def _key(source: str) -> layout.Key:
    def key(theirs: str) -> str:
        layer, dot, rest = theirs.partition(".")
        return f"{_LAYERS[layer].format(source)}.{rest}" if dot else f"mean_scale.{theirs}_{source}"

    return key
