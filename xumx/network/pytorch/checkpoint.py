"""PyTorch's files as plain arrays, without PyTorch. Nothing that stands in them is run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xumx.base.errors import WeightsError
from xumx.network.pytorch import tensors
from xumx.network.pytorch.tensors import Foreign, Tensor
from xumx.network.pytorch.unpickler import Broken, Refused


def read(path: Path) -> dict[str, Any]:
    """Read the dictionary of a checkpoint, its tensors as :class:`xumx.network.pytorch.tensors.Tensor`.

    Parameters
    ----------
    path : Path
        Written by ``torch.save``, in the zip format or in the one before it.

    Raises
    ------
    WeightsError
        For a file that is none, or that holds more than tensors and plain values.
    """
    try:
        content = tensors.read(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from None
    except WeightsError:
        raise
    except Refused as error:
        raise WeightsError(
            f"{path}: refused, since it carries code or objects ({shown(str(error))[1:-1]}), and a "
            "checkpoint needs tensors alone; nothing of it was run"
        ) from None
    except Exception as error:  # a broken file fails in as many ways as there are places to break it
        what = f" ({error})" if isinstance(error, Broken) else ""
        raise WeightsError(f"{path}: no checkpoint of PyTorch's, or a broken one{what}") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise WeightsError(f"{path}: holds a {type(content).__name__}, not the parameters of a network")
    return content


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


_WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which trainings save a network beside other things."""

_SHARED = 8
"""How many times the size of its file a network may have, whose sources share tensors."""

_PREFIX = re.compile(r"(?:module\.|_orig_mod\.)+")
"""What DataParallel and torch.compile put before every key."""


class State:
    """The tensors of one network, each to be taken once, and none copied before its shape is right.

    Parameters
    ----------
    path : Path
        The file, for messages.
    tensors : mapping of str to Tensor
        A ``state_dict``.
    ignored : regular expression
        Keys that say nothing: windows, counters.
    """

    def __init__(self, path: Path, tensors: Mapping[str, Any], ignored: str) -> None:
        self.path = path
        self._tensors: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            if not isinstance(name, str) or not name.isprintable() or len(name) > 200:
                raise WeightsError(f"{path}: {shown(name)} is not how a parameter is called")
            key = _PREFIX.sub("", name, count=1) if _PREFIX.match(name) else name
            if re.fullmatch(ignored, key):
                continue
            if key in self._tensors:
                raise WeightsError(f"{path}: holds {key} twice, with a prefix and without or with another")
            self._tensors[key] = _checked(path, key, tensor)
        taken = sum(tensor.size * tensor.storage.dtype.itemsize for tensor in self._tensors.values())
        if taken > _SHARED * path.stat().st_size:
            raise WeightsError(f"{path}: its tensors share their values so often that they would fill memory")

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
        shape = self._tensors[key].shape
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
        if tensor.size != 1:
            raise WeightsError(f"{self.path}: {key} has shape {tensor.shape}, not that of one number")
        return float(self._array(key).item())

    def _array(self, key: str) -> np.ndarray:
        with np.errstate(over="ignore"):  # what is too large for float32 is said as not finite
            return self._tensors.pop(key).array().astype(np.float32)

    def finish(self, network: str) -> None:
        """Refuse what is left over.

        Raises
        ------
        WeightsError
            If a tensor was not taken: it belongs to another network than ``network``.
        """
        if self._tensors:
            raise WeightsError(f"{self.path}: {min(self._tensors)} belongs to no {network} network")


def _checked(path: Path, key: str, tensor: Any) -> Tensor:
    """A tensor whose values are real numbers, and all there."""
    if isinstance(tensor, Foreign):
        raise WeightsError(f"{path}: {key} {tensor.kind}")
    if not isinstance(tensor, Tensor) or not tensor.real:
        raise WeightsError(f"{path}: {key} is no tensor of real numbers; not a parameter")
    if tensor.expanded:
        raise WeightsError(f"{path}: {key} repeats its values (an expanded tensor); not a parameter")
    return tensor
