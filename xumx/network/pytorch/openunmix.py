"""Open-Unmix's checkpoints: a UMX network a file, with its sizes in JSON files beside it.

A folder holds ``<target>.pth`` or ``<target>-<hash>.pth`` for each target, ``<target>.json`` with the options
of its training under ``args``, and ``separator.json`` with what all targets share. The published checkpoints
come without the JSON files: shapes tell everything but the hop and the sample rate.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from xumx.base import jsonfile
from xumx.base.errors import UsageError, WeightsError, XumxError, install
from xumx.base.files import replacing
from xumx.network.catalogue import target_of
from xumx.network.config import ModelConfig
from xumx.network.pytorch import layout
from xumx.network.pytorch.checkpoint import State, state_dict
from xumx.network.weights import Weights

_IGNORED = r"bn[123]\.num_batches_tracked|stft\.window|transform\.0\.window"


def weights(
    path: Path, content: Mapping[str, Any], *, n_hop: int | None = None, sample_rate: int | None = None
) -> Weights:
    """Take the UMX network out of what :func:`xumx.network.pytorch.checkpoint.read` returned for ``path``.

    ``n_hop`` and ``sample_rate`` count where neither it nor its JSON files say them.

    Raises
    ------
    WeightsError
        If it is another network, or contradicts its JSON files.
    """
    target = target_of(path)
    tensors = state_dict(path, content)  # <target>.chkpnt has them beside the optimizer's
    shared, own = path.with_name("separator.json"), path.with_name(f"{target}.json")
    common, args = _object(shared), _object(own).get("args", {})
    if not isinstance(args, dict):
        raise WeightsError(f"{own}: args is no object; Open-Unmix writes the options of the training there")
    hop = layout.number(shared, common, "nhop") or layout.number(own, args, "nhop")
    rate = layout.number(shared, common, "sample_rate")

    state = State(path, tensors, _IGNORED)
    buffered = layout.number(path, {"sample_rate": state.scalar("sample_rate")}, "sample_rate")
    config = layout.infer(
        state,
        str,
        arch="umx",
        sources=(target,),
        sample_rate=rate or buffered or sample_rate or 44100,
        n_hop=hop or n_hop,
    )
    found = {"nfft": config.n_fft, "nb_channels": config.nb_channels, "hidden_size": config.hidden_size}
    for file, said in ((shared, common), (own, args)):
        for name, value in found.items():
            if layout.number(file, said, name) not in (None, value):
                raise WeightsError(f"{path}: its tensors have {name} {value}, {file.name} says {said[name]}")
    parameters = layout.take(state, str, config)
    state.finish("Open-Unmix")
    return Weights(config, {target: parameters})


def save(folder: Path, weights: Weights) -> None:
    """Write a folder that ``openunmix.utils.load_separator`` and ``umx --model`` load.

    Files appear under their names only when they are whole, ``separator.json`` last.

    Parameters
    ----------
    folder : Path
        Made where it is not.
    weights : Weights
        UMX or joint, of which each target gets a whole copy of what they share.

    Raises
    ------
    XumxError
        Without PyTorch.
    UsageError
        For a network or names that openunmix does not load.
    WriteError
        If a file cannot be written.
    """
    torch, config = _pytorch(), weights.config
    _check(config)
    sizes = {"nfft": config.n_fft, "nhop": config.n_hop, "nb_channels": config.nb_channels}
    for target, parameters in weights.parameters.items():
        state = {key: torch.from_numpy(a.copy()) for key, a in layout.give(parameters, config).items()}
        with replacing(folder / f"{target}.pth") as aside:
            torch.save(state, aside)
        _write(folder / f"{target}.json", {"args": {**sizes, "hidden_size": config.hidden_size}})
    _write(folder / "separator.json", {**sizes, "sample_rate": config.sample_rate})


def _pytorch() -> ModuleType:
    """The package ``torch``, which is imported here alone."""
    if importlib.util.find_spec("torch") is None:
        raise XumxError(f"PyTorch, which writes such checkpoints, is not installed: {install('torch')}")
    import torch

    return torch


def _check(config: ModelConfig) -> None:
    if config.crossing:
        raise UsageError(f"`to` openunmix takes UMX or joint: Open-Unmix has no {config.arch} network")
    if config.unidirectional or config.nb_layers != 3:
        raise UsageError("`to` openunmix: openunmix builds bidirectional networks of 3 LSTM layers only")
    if "separator" in config.sources:
        raise UsageError("`to` openunmix: separator.json is of all targets, so that none can be called so")
    for target in config.sources:
        longer = [s for s in config.sources if s != target and s.startswith(target)]
        if longer:
            raise UsageError(
                f"`to` openunmix: openunmix looks for {target}*.pth and would take {longer[0]} for {target}; "
                "convert them one by one"
            )


def _object(path: Path) -> dict[str, Any]:
    """A JSON file's object; an empty one where there is no file."""
    try:
        return jsonfile.read(path, dict[str, Any])
    except FileNotFoundError:
        return {}
    except jsonfile.JsonError as error:
        raise WeightsError(f"{error}; Open-Unmix writes an object there") from None


def _write(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as aside:
        aside.write_text(json.dumps(content, indent=4) + "\n")
