"""PyTorch's files, written without PyTorch: as it writes them, and as it never would."""

from __future__ import annotations

import io
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from xumx.network.pytorch import layout
from xumx.network.weights import Weights

STORAGES = {"f8": "Double", "f4": "Float", "f2": "Half", "i8": "Long", "u1": "Byte"}
MAGIC = 0x1950A86A20F9469CFC6C


def _named(module: str, name: str) -> Any:
    """What a pickle names so, though no such module is installed."""
    return type(name, (), {"__module__": module, "__qualname__": name})


REBUILD = _named("torch._utils", "_rebuild_tensor_v2")
KINDS = {code: _named("torch", f"{name}Storage") for code, name in STORAGES.items()}


class Storage:
    """Numbers of a tensor, or what claims to be that many."""

    def __init__(self, numbers: np.ndarray, count: int | None = None) -> None:
        self.numbers, self.count = numbers, numbers.size if count is None else count


class Call:
    """What a pickle calls, with its arguments."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return self.function, self.arguments


class _Pickler(pickle.Pickler):
    def __init__(self, file: Any, storages: list[Storage], protocol: int) -> None:
        super().__init__(file, protocol)
        self._storages = storages

    def persistent_id(self, thing: Any) -> Any:
        if not isinstance(thing, Storage):
            return None
        if thing not in self._storages:
            self._storages.append(thing)
        key = str(self._storages.index(thing))
        return "storage", KINDS[thing.numbers.dtype.str[1:]], key, "cpu", thing.count

    def reducer_override(self, thing: Any) -> Any:
        if not isinstance(thing, np.ndarray):
            return NotImplemented
        steps = tuple(stride // thing.itemsize for stride in thing.strides)
        return REBUILD, (Storage(thing.ravel()), 0, thing.shape, steps, False, OrderedDict())


def pickled(content: Any, protocol: int = 2) -> tuple[bytes, list[Storage]]:
    """A pickle of content, whose arrays stand for tensors, and their storages."""
    file, storages = io.BytesIO(), list[Storage]()
    modules = {name: types.ModuleType(name) for name in ("torch", "torch._utils")}
    for known in (REBUILD, *KINDS.values()):
        setattr(modules[known.__module__], known.__name__, known)
    with mock.patch.dict(sys.modules, modules):
        _Pickler(file, storages, protocol).dump(content)
    return file.getvalue(), storages


def save(path: Path, content: Any, *, zipped: bool = True, protocol: int = 2) -> None:
    """Write what ``torch.save`` writes."""
    write(path, *pickled(content, protocol), zipped=zipped)


def write(path: Path, pickle_: bytes, storages: list[Storage], *, zipped: bool = True) -> None:
    """Write a pickle and storages in one of PyTorch's formats."""
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("net/data.pkl", pickle_)
            archive.writestr("net/byteorder", "little")
            for key, storage in enumerate(storages):
                archive.writestr(f"net/data/{key}", storage.numbers.tobytes())
            archive.writestr("net/version", "3\n")
        return
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    with open(path, "wb") as file:
        for part in (MAGIC, 1001, machine):
            pickle.dump(part, file, 2)
        file.write(pickle_)
        pickle.dump([str(key) for key in range(len(storages))], file, 2)
        for storage in storages:
            file.write(struct.pack("<q", storage.numbers.size) + storage.numbers.tobytes())


def state_of(network: Weights, source: str) -> dict[str, np.ndarray]:
    """One source of a UMX network under Open-Unmix's keys."""
    return layout.give(network.parameters[source], network.config)
