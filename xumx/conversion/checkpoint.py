"""PyTorch's files as plain arrays. Nothing that stands in them is run."""

from __future__ import annotations

import importlib.util
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from xumx.errors import WeightsError, XumxError, install

_SAFE = (2, 10)
"""PyTorch's ``weights_only`` could be made to run code before 2.6 (CVE-2025-32434) and to spoil memory
before 2.10 (CVE-2026-24747)."""


def pytorch() -> ModuleType:
    """The package ``torch``.

    Raises
    ------
    XumxError
        If it is not installed, or so old that a checkpoint could harm.
    """
    if importlib.util.find_spec("torch") is None:
        raise XumxError(f"PyTorch, which reads such checkpoints, is not installed: {install('torch')}")
    import torch

    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < _SAFE:
        raise XumxError(
            f"PyTorch {torch.__version__} does not load checkpoints safely: pip install -U 'torch>=2.10'"
        )
    return torch


def read(path: Path) -> dict[str, Any]:
    """The dictionary of a checkpoint, its tensors on the CPU.

    Parameters
    ----------
    path : Path
        Written by ``torch.save``, in the zip format or in the one before it.

    Raises
    ------
    XumxError
        Without a PyTorch that loads safely.
    WeightsError
        For a file that is none, or that holds more than tensors and plain values.
    """
    torch = pytorch()
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_harmless(torch)):
            warnings.simplefilter("ignore")  # what matters comes as an error
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from None
    except Exception as error:  # a broken file fails in as many ways as there are places to break it
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        if isinstance(error, pickle.UnpicklingError) and named:
            raise WeightsError(
                f"{path}: refused, since it carries code or objects ({named[1]}), and a checkpoint needs "
                "tensors alone; nothing of it was run"
            ) from None
        raise WeightsError(f"{path}: no checkpoint of PyTorch's, or a broken one") from None
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        raise WeightsError(f"{path}: holds a {type(content).__name__}, not the parameters of a network")
    return dict(content)


def _harmless(torch: ModuleType) -> list[Any]:
    """What asteroid's checkpoints hold beside tensors: PyTorch's version, a string, and NumPy's numbers."""
    scalar = np.float64(0).__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")  # in NumPy 1 and 2
    dtypes = {type(np.dtype(code)) for code in "?bhilqBHILQefd"}
    return [torch.torch_version.TorchVersion, np.dtype, *dtypes, *((scalar, name) for name in names)]


class State:
    """The tensors of one network, each to be taken once.

    Parameters
    ----------
    path : Path
        The file, for messages.
    tensors : mapping of str to torch.Tensor
        A ``state_dict``.
    ignored : regular expression
        Keys that say nothing: windows, counters.
    """

    def __init__(self, path: Path, tensors: Mapping[str, Any], ignored: str) -> None:
        torch = pytorch()
        self.path = path
        self._arrays: dict[str, np.ndarray] = {}
        for key, tensor in tensors.items():
            if re.fullmatch(ignored, str(key)):
                continue
            if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided or tensor.is_complex():
                raise WeightsError(f"{path}: {key} is no tensor of real numbers; not a parameter")
            self._arrays[key] = tensor.detach().to(torch.float32).numpy()

    def __contains__(self, key: str) -> bool:
        return key in self._arrays

    def shape(self, key: str, rank: int) -> tuple[int, ...]:
        """Shape of a tensor that has ``rank`` axes."""
        if key not in self._arrays:
            raise WeightsError(f"{self.path}: lacks {key}")
        shape = self._arrays[key].shape
        if len(shape) != rank:
            raise WeightsError(f"{self.path}: {key} has {len(shape)} axes, not {rank}")
        return shape

    def take(self, key: str, shape: tuple[int, ...]) -> np.ndarray:
        """Remove a tensor and return it as a float32 array.

        Raises
        ------
        WeightsError
            If it is missing, has another shape, or holds what is not finite.
        """
        found = self.shape(key, len(shape))
        if found != shape:
            raise WeightsError(f"{self.path}: {key} has shape {found}, not {shape}")
        array = self._arrays.pop(key)
        if not np.isfinite(array).all():
            raise WeightsError(f"{self.path}: {key} holds values that are not finite")
        return array

    def scalar(self, key: str) -> float | None:
        """Remove a tensor of one number and return that; None where there is none."""
        if key not in self._arrays:
            return None
        array = self._arrays.pop(key)
        if array.size != 1:
            raise WeightsError(f"{self.path}: {key} has shape {array.shape}, not that of one number")
        return float(array.item())

    def finish(self, network: str) -> None:
        """Refuse what is left over: it belongs to another network."""
        if self._arrays:
            raise WeightsError(f"{self.path}: {min(self._arrays)} belongs to no {network} network")
