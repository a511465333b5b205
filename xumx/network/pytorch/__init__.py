"""Weights from PyTorch's checkpoints, which need no PyTorch, and to them, which do."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from xumx.base.errors import UsageError, WeightsError
from xumx.network.catalogue import SUFFIXES, target_of
from xumx.network.pytorch import asteroid, openunmix
from xumx.network.pytorch.checkpoint import read
from xumx.network.weights import Weights, join

__all__ = ["SUFFIXES", "asteroid", "load", "openunmix"]

_OURS = "xumx's weights already; `to` openunmix writes PyTorch's from them"


def load(path: Path, *, n_hop: int | None = None, sample_rate: int | None = None) -> Weights:
    """Read a network from PyTorch's files, without running anything that stands in them.

    Parameters
    ----------
    path : Path
        A checkpoint of Open-Unmix (``<target>.pth`` or ``<target>-<hash>.pth``, with ``separator.json``
        and ``<target>.json`` beside it or not), a folder of them, or a checkpoint of asteroid's X-UMX.
    n_hop, sample_rate : int, optional
        What no shape tells, for files that do not say it either: n_fft/4 and 44100 Hz if not given.

    Returns
    -------
    Weights
        UMX of the targets, or X-UMX.

    Raises
    ------
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
        return _load_file(path, n_hop, sample_rate)
    files: dict[str, Path] = {}
    for file in sorted(file for file in path.iterdir() if file.suffix in SUFFIXES):
        target = target_of(file)
        if target in files:
            raise WeightsError(f"{path}: both {files[target].name} and {file.name} are of {target}; name one")
        files[target] = file
    if files:
        return join(files, partial(_load_file, n_hop=n_hop, sample_rate=sample_rate))
    if any(path.glob("*.h5")):
        raise UsageError(f"{path} holds {_OURS}")
    raise WeightsError(f"{path}: holds no .pth file; give a checkpoint or a folder of <target>.pth files")


def _load_file(path: Path, n_hop: int | None, sample_rate: int | None) -> Weights:
    content = read(path)
    of = asteroid if "model_args" in content else openunmix
    return of.weights(path, content, n_hop=n_hop, sample_rate=sample_rate)
