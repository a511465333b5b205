"""Weights from PyTorch's checkpoints, and to them. PyTorch is imported here alone, when it is needed."""

from __future__ import annotations

from pathlib import Path

from xumx.base.errors import UsageError, WeightsError
from xumx.network.pytorch import asteroid, openunmix
from xumx.network.pytorch.checkpoint import pytorch, read
from xumx.network.weights import Weights, join

SUFFIXES = (".pth", ".pt")
"""Of the checkpoints in a folder; a file that is named outright may have any."""

__all__ = ["SUFFIXES", "asteroid", "load", "openunmix", "pytorch"]

_OURS = "xumx's weights already; `to` openunmix writes PyTorch's from them"


def load(path: Path) -> Weights:
    """Read a network from PyTorch's files, without running anything that stands in them.

    Parameters
    ----------
    path : Path
        A checkpoint of Open-Unmix (``<target>.pth`` or ``<target>-<hash>.pth``, with ``separator.json``
        and ``<target>.json`` beside it or not), a folder of them, or a checkpoint of asteroid's X-UMX.

    Returns
    -------
    Weights
        UMX of the targets, or X-UMX.

    Raises
    ------
    XumxError
        Without a PyTorch that loads safely.
    UsageError
        For weights that are xumx's own already.
    WeightsError
        For what is no such checkpoint, lacks a tensor, or contradicts its JSON files. The message names
        the file and the key.
    """
    if not path.exists():
        raise WeightsError(f"{path}: no such file")
    if not path.is_dir():
        if path.suffix == ".h5":
            raise UsageError(f"{path} holds {_OURS}")
        return _load_file(path)
    files: dict[str, Path] = {}
    for file in sorted(file for file in path.iterdir() if file.suffix in SUFFIXES):
        target = openunmix.target_of(file)
        if target in files:
            raise WeightsError(f"{path}: both {files[target].name} and {file.name} are of {target}; name one")
        files[target] = file
    if files:
        return join(files, _load_file)
    if any(path.glob("*.h5")):
        raise UsageError(f"{path} holds {_OURS}")
    raise WeightsError(f"{path}: holds no .pth file; give a checkpoint or a folder of <target>.pth files")


def _load_file(path: Path) -> Weights:
    content = read(path)
    if "model_args" in content:
        return asteroid.weights(path, content)
    return openunmix.weights(path, content)
