"""PyTorch's files as plain arrays. Nothing that stands in them is run."""

from __future__ import annotations

import importlib.util
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from xumx.base.errors import WeightsError, XumxError, install

_SAFE = (2, 10)
"""PyTorch's ``weights_only`` could be made to run code before 2.6 (CVE-2025-32434) and to spoil memory
before 2.10 (CVE-2026-24747)."""


def pytorch() -> ModuleType:
    """Import the package ``torch``.

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
    """Read the dictionary of a checkpoint, its tensors on the CPU.

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
        _check_archive(path)
        with warnings.catch_warnings(), torch.serialization.safe_globals(_harmless(torch)):
            warnings.simplefilter("ignore")  # what matters comes as an error
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from None
    except XumxError:
        raise
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


def state_dict(path: Path, content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Find the ``state_dict`` in what a training wrote, alone or beside its optimizer and its options.

    Raises
    ------
    WeightsError
        If what should be one is no dictionary.
    """
    for _ in _WRAPPERS:  # they stand in each other at times
        wrapper = next((name for name in _WRAPPERS if name in content), None)
        if wrapper is None:
            break
        content = content[wrapper]
        if not isinstance(content, Mapping):
            raise WeightsError(f"{path}: its {wrapper} is no dictionary of tensors; not a checkpoint")
    return content


def shown(value: object) -> str:
    """Show a value of any kind and size in a line of at most 60 characters.

    >>> shown("umx"), shown([1, 2]), len(shown("x" * 1000))
    ("'umx'", 'a value of type list', 58)
    """
    plain = value is None or isinstance(value, (str, bytes, float, np.number))
    plain = plain or (isinstance(value, int) and abs(value) < 10**60)
    text = ascii(value) if plain else f"a value of type {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}…"


def _check_archive(path: Path) -> None:
    """Refuse an archive that unpacks to more than it is: PyTorch stores tensors as they are."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        sizes = [entry.file_size for entry in archive.infolist()]
        packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist())
    if packed or sum(sizes) > path.stat().st_size:
        raise WeightsError(f"{path}: is compressed, which PyTorch's checkpoints are not; unpack it first")


def _harmless(torch: ModuleType) -> list[Any]:
    """What asteroid's checkpoints hold beside tensors: PyTorch's version, a string, and NumPy's numbers."""
    scalar = np.float64(0).__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")  # in NumPy 1 and 2
    dtypes = {type(np.dtype(code)) for code in "?bhilqBHILQefd"}
    return [torch.torch_version.TorchVersion, np.dtype, *dtypes, *((scalar, name) for name in names)]


_WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which trainings save a network beside other things."""

_PREFIX = re.compile(r"(?:module\.|_orig_mod\.)+")
"""What DataParallel and torch.compile put before every key."""


class State:
    """The tensors of one network, each to be taken once, and none copied before its shape is right.

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
        self.path = path
        self._tensors: dict[str, Any] = {}
        for name, tensor in tensors.items():
            if not isinstance(name, str) or not name.isprintable() or len(name) > 200:
                raise WeightsError(f"{path}: {shown(name)} is not how a parameter is called")
            key = _PREFIX.sub("", name, count=1) if _PREFIX.match(name) else name
            if re.fullmatch(ignored, key):
                continue
            if key in self._tensors:
                raise WeightsError(f"{path}: holds {key} twice, with a prefix and without or with another")
            self._tensors[key] = _checked(path, key, tensor)

    def __contains__(self, key: str) -> bool:
        return key in self._tensors

    def shape(self, key: str, rank: int) -> tuple[int, ...]:
        """Return the shape of a tensor that must have ``rank`` axes.

        Raises
        ------
        WeightsError
            If it is missing, or has another number of axes.
        """
        if key not in self._tensors:
            raise WeightsError(f"{self.path}: lacks {key}")
        shape = tuple(self._tensors[key].shape)
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
        array = self._array(key)
        if not np.isfinite(array).all():
            raise WeightsError(f"{self.path}: {key} holds values that are not finite")
        return array

    def scalar(self, key: str) -> float | None:
        """Remove a tensor of one number and return that; None where there is none.

        Raises
        ------
        WeightsError
            If it is of more than one number.
        """
        if key not in self._tensors:
            return None
        tensor = self._tensors[key]
        if tensor.numel() != 1:
            raise WeightsError(f"{self.path}: {key} has shape {tuple(tensor.shape)}, not that of one number")
        return float(self._array(key).item())

    def _array(self, key: str) -> np.ndarray:
        array: np.ndarray = self._tensors.pop(key).detach().float().numpy()
        return array

    def finish(self, network: str) -> None:
        """Refuse what is left over.

        Raises
        ------
        WeightsError
            If a tensor was not taken: it belongs to another network than ``network``.
        """
        if self._tensors:
            raise WeightsError(f"{self.path}: {min(self._tensors)} belongs to no {network} network")


def _checked(path: Path, key: str, tensor: Any) -> Any:
    """A tensor whose values are real numbers, and all there."""
    torch = pytorch()
    plain = type(tensor) in (torch.Tensor, torch.nn.Parameter)
    if not plain or tensor.layout != torch.strided or tensor.is_complex() or tensor.is_quantized:
        raise WeightsError(f"{path}: {key} is no tensor of real numbers; not a parameter")
    if tensor.is_meta:
        raise WeightsError(f"{path}: {key} has a shape but no values (a meta tensor)")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise WeightsError(f"{path}: {key} repeats its values (an expanded tensor); not a parameter")
    return tensor
