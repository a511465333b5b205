"""Tensors in PyTorch's files, in the zip format and in the one before it, as NumPy arrays.

A tensor is a view of a storage: numbers of one kind, one after the other, that several tensors may share. The
pickle says which views there are, and how long each storage is. What it says is held against the file before
anything is read of a storage, so that no file takes more memory than its own size.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from xumx.base.errors import WeightsError
from xumx.network.pytorch.unpickler import Broken, Call, load

LARGEST = 32 * 2**20
"""Bytes of the pickle in a zip archive, which has no numbers of tensors in it."""

_MAGIC = 0x1950A86A20F9469CFC6C  # before the zip format, each file begins with a pickle of it
_PROTOCOL = 1001
_AXES = 32
_BYTES = 100  # a pickle may ask for copies of one text a million times

_KINDS = {
    "Double": "f8", "Float": "f4", "Half": "f2", "BFloat16": "bfloat16", "ComplexDouble": "c16",
    "ComplexFloat": "c8", "Long": "i8", "Int": "i4", "Short": "i2", "Char": "i1", "Byte": "u1", "Bool": "?",
}  # fmt: skip
"""What the names of storages begin with, and their numbers."""

_DTYPES = "float64 float32 float16 bfloat16 complex128 complex64 int64 int32 int16 int8 uint8 bool"
_SCALARS = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}


class Storage:
    """Numbers of one kind, which :func:`read` fills in when it knows that they are there.

    Parameters
    ----------
    kind : str
        A dtype of NumPy's, or 'bfloat16', which it does not have.
    count : int
    """

    def __init__(self, kind: str, count: int) -> None:
        self.kind, self.count = kind, count
        self.dtype = np.dtype("u2" if kind == "bfloat16" else kind)
        self.numbers = np.empty(0, self.dtype)

    @property
    def nbytes(self) -> int:
        return self.count * self.dtype.itemsize

    def fill(self, content: bytes, order: Literal["<", ">"]) -> None:
        """Take the bytes of the numbers, in the byte order '<' or '>'."""
        if len(content) != self.nbytes:
            raise Broken("a storage of another length")
        self.numbers = np.frombuffer(content, self.dtype.newbyteorder(order))


@dataclass(frozen=True, eq=False)
class Tensor:
    """A view of a storage, whose numbers are looked at when they are asked for.

    Parameters
    ----------
    storage : Storage
    offset : int
        Of the first number.
    shape, strides : tuple of int
        Strides in numbers.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def real(self) -> bool:
        """Whether they are real numbers."""
        return self.storage.dtype.kind != "c"

    @property
    def expanded(self) -> bool:
        """Whether it has more numbers than its storage, and so repeats some."""
        return self.size > self.storage.count

    def array(self) -> np.ndarray:
        """Return the numbers: a view that is not to be written to; of bfloat16, float32."""
        numbers = self.storage.numbers[self.offset :]
        steps = [stride * numbers.itemsize for stride in self.strides]
        view = np.lib.stride_tricks.as_strided(numbers, self.shape, steps, writeable=False)
        if self.storage.kind != "bfloat16":
            return view
        return (view.astype(np.uint32) << 16).view(np.float32)  # the upper half of a float32


@dataclass(frozen=True)
class Foreign:
    """A tensor of a kind that no network of ours has; ``kind`` says which, for messages."""

    kind: str


def read(path: Path) -> Any:
    """Read what ``torch.save`` wrote, with each tensor as a :class:`Tensor`.

    Raises
    ------
    OSError
        If the file cannot be read.
    WeightsError
        For a compressed archive, and for one of TorchScript's.
    xumx.network.pytorch.unpickler.Refused
        If it holds more than tensors and plain values.
    xumx.network.pytorch.unpickler.Broken, zipfile.BadZipFile
        If it is no such file.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        zipped = file.read(4) == b"PK\x03\x04"
        file.seek(0)
        return _read_zip(path, file, size) if zipped else _read_legacy(file, size)


def _read_zip(path: Path, file: IO[bytes], size: int) -> Any:
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise WeightsError(f"{path}: is compressed, which PyTorch's checkpoints are not; unpack it first")
        by_name = {entry.filename: entry for entry in entries}
        if len(by_name) < len(entries) or sum(entry.file_size for entry in entries) > size:
            raise Broken("an entry twice")
        (name,) = (name for name in by_name if name.count("/") == 1 and name.endswith("/data.pkl"))
        folder = name.partition("/")[0]
        if f"{folder}/constants.pkl" in by_name:
            raise WeightsError(f"{path}: is a program of TorchScript's; save its state_dict() instead")
        if by_name[name].file_size > LARGEST:
            raise Broken("a pickle too large")
        pickled = archive.read(name)
        storages = _Storages(size)
        content = load(BytesIO(pickled), storages.known, storages.persistent, size=len(pickled))
        big = f"{folder}/byteorder" in by_name and archive.read(f"{folder}/byteorder").strip() == b"big"
        for key, storage in storages.found.items():
            entry = by_name[f"{folder}/data/{key}"]
            if entry.file_size != storage.nbytes:
                raise Broken("a storage of another length")
            storage.fill(archive.read(entry), ">" if big else "<")
        return content


def _read_legacy(file: IO[bytes], size: int) -> Any:
    """A pickle of a magic number, one of a version, one of the machine, the content, keys; then storages."""
    storages = _Storages(size)
    plain = partial(load, file, {}, _no_persistent, size=size)
    if plain() != _MAGIC or plain() != _PROTOCOL:
        raise Broken("another magic number")
    machine = plain()
    order: Literal["<", ">"] = "<" if machine["little_endian"] else ">"
    content = load(file, storages.known, storages.persistent, size=size)
    keys = plain()
    if sorted(keys) != sorted(storages.found):
        raise Broken("storages without a name")
    for key in keys:
        storage = storages.found[key]
        count = int.from_bytes(file.read(8), "little" if order == "<" else "big")
        if count != storage.count or storage.nbytes > size - file.tell():
            raise Broken("a storage of another length")
        storage.fill(file.read(storage.nbytes), order)
    return content


def _no_persistent(name: Any) -> Any:
    raise Broken("a persistent id")


class _Storages:
    """What a pickle may name, and the storages that it has named."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.found: dict[str, Storage] = {}
        self.known: Mapping[str, Any] = _KNOWN

    def persistent(self, name: Any) -> Storage:
        """The storage of ``('storage', kind, key, device, count)`` and, in the older format, ``None``."""
        what, kind, key, _, count, *view = name
        if what != "storage" or not isinstance(kind, _Kind) or type(key) is not str or type(count) is not int:
            raise Broken("a persistent id that is no storage")
        if view not in ([], [None]) or count < 0:
            raise Broken("a view of a storage")
        storage = self.found.get(key)
        if storage is None:
            storage = self.found[key] = Storage(kind.of, count)
            if storage.nbytes > self._size:
                raise Broken("a storage longer than the file")
        if (storage.kind, storage.count) != (kind.of, count):
            raise Broken("a storage of two kinds")
        return storage


@dataclass(frozen=True)
class _Kind:
    """What a class of storages holds."""

    of: str


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    if not isinstance(storage, Storage) or not len(shape) == len(strides) <= _AXES:
        raise Broken("a tensor of no storage or without strides")
    if not all(type(n) is int and 0 <= n < 1 << 63 for n in (offset, *shape, *strides)):
        raise Broken("a tensor of an impossible shape")
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if all(shape) and last >= storage.count:
        raise Broken("a tensor beyond its storage")
    # An axis of one number takes no step, however long.
    steps = tuple(stride if n > 1 else 0 for n, stride in zip(shape, strides, strict=True))
    return Tensor(storage, offset, tuple(shape), steps)


def _parameter(tensor: Any, *_: Any) -> Any:
    if not isinstance(tensor, (Tensor, Foreign)):
        raise Broken("a parameter of no tensor")
    return tensor


def _foreign(kind: str, *_: Any) -> Foreign:
    return Foreign(kind)


class _Scalar:
    """A dtype of NumPy's for one number."""

    def __init__(self, code: Any, *_: Any) -> None:
        if code not in _SCALARS:
            raise Broken("a number of an unknown kind")
        self.dtype = np.dtype(code)

    def build(self, state: Any) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


def _number(kind: Any, content: Any) -> Any:
    """A number of NumPy's."""
    if not isinstance(kind, _Scalar) or len(content) != kind.dtype.itemsize:
        raise Broken("a number of another length")
    return kind.dtype.newbyteorder("=").type(np.frombuffer(content, kind.dtype)[0])


def _encoded(text: Any, encoding: Any) -> bytes:
    """Bytes, as the protocol of pickles that PyTorch uses has them."""
    if type(text) is not str or encoding != "latin1" or len(text) > _BYTES:
        raise Broken("bytes in an unknown form")
    return text.encode("latin1")


def _empty() -> dict[Any, Any]:
    return {}


def _text(text: Any) -> str:
    if not isinstance(text, str):
        raise Broken("a version that is no text")
    return text


def _device(*_: Any) -> str:
    return "a device"


def _shape(sizes: Any) -> tuple[Any, ...]:
    if len(sizes) > _AXES:
        raise Broken("a shape of too many axes")
    return tuple(sizes)


_FOREIGN = {
    "_rebuild_meta_tensor_no_storage": "has a shape but no values (a meta tensor)",
    "_rebuild_sparse_tensor": "is no tensor of real numbers (a sparse one); not a parameter",
    "_rebuild_sparse_csr_tensor": "is no tensor of real numbers (a sparse one); not a parameter",
    "_rebuild_tensor_v3": "is no tensor of a kind that xumx reads; not a parameter",
}

_KNOWN: dict[str, Any] = {
    "collections.OrderedDict": Call(_empty),
    "torch._utils._rebuild_tensor": Call(_tensor),
    "torch._utils._rebuild_tensor_v2": Call(_tensor),
    "torch._utils._rebuild_parameter": Call(_parameter),
    "torch._utils._rebuild_parameter_with_state": Call(_parameter),
    **{f"torch._utils.{name}": Call(partial(_foreign, kind)) for name, kind in _FOREIGN.items()},
    "torch.serialization._get_layout": Call(_text),
    **{f"torch.{kind}Storage": _Kind(of) for kind, of in _KINDS.items()},
    **{f"torch.cuda.{kind}Storage": _Kind(of) for kind, of in _KINDS.items()},
    "torch.storage.UntypedStorage": _Kind("u1"),
    **{f"torch.{name}": f"torch.{name}" for name in _DTYPES.split()},
    "torch.Size": Call(_shape),
    "torch.device": Call(_device),
    "torch.torch_version.TorchVersion": Call(_text),
    "numpy.dtype": Call(_Scalar),
    "numpy.core.multiarray.scalar": Call(_number),
    "numpy._core.multiarray.scalar": Call(_number),
    "_codecs.encode": Call(_encoded),
}
"""All that a checkpoint may name: ours stand for PyTorch's and NumPy's."""
