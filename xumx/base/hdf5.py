"""HDF5 files: ours are whole or not there, those of strangers are looked at before a value is read."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from xumx.base.errors import WeightsError, XumxError
from xumx.base.files import replacing

DEPTH = 32
"""How deep groups may lie in each other; those of a network or checkpoint are 6 deep at most."""

_HEAP = b"GCOL\1\0\0\0"
"""How a heap of strings begins."""

_ATTRIBUTE = 1 << 16
"""Bytes that an attribute may have: the most that HDF5 keeps in the header of its object."""

_DAMAGED = (
    *(OSError, RuntimeError, KeyError, AttributeError, TypeError, ValueError, OverflowError),
    *(MemoryError, RecursionError, SystemError),
)
"""What h5py raises for a file that is none or that is damaged; there is one for each place to damage it."""


@contextlib.contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[tuple[h5py.File, dict[str, h5py.Dataset]]]:
    """A file of unknown origin, and its datasets by full name, none of which is read yet.

    HDF5 files can take their values from other files, name more of them than any memory holds, and unpack
    to a thousand times their size. Neither NNabla nor xumx write such ones, so that all are refused here:
    every dataset holds numbers or is one string, lies in the file as it is, and together they are no larger
    than the file. Whoever reads them still has to check the shapes. Attributes: `attribute`.

    Raises
    ------
    WeightsError
        If it is no such file; also for whatever h5py raises in the block. One line that names the file.
    """
    if not os.path.exists(path):
        raise WeightsError(f"{path}: no such file")
    if not os.path.isfile(path):
        raise WeightsError(f"{path}: is no regular file")
    try:
        _check_heaps(path)
        with h5py.File(path, "r") as file:
            yield file, _datasets(Path(path), file)
    except XumxError:
        raise
    except _DAMAGED as error:
        reason = str(error).strip() or type(error).__name__
        raise WeightsError(f"{path}: cannot be read as HDF5 ({reason.splitlines()[0]})") from None


def _check_heaps(path: str | os.PathLike[str]) -> None:
    """Refuse a damaged heap of strings: HDF5 reads its objects in turn, and without end if one has no bytes.

    A heap begins with ``GCOL``, its version and its size; each object with its number, of which 0 is the free
    rest, and at byte 8 its size (HDF5 File Format Specification 3.0, III.E).
    """
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            begin = data.find(_HEAP)
            while begin >= 0:
                (size,) = struct.unpack_from("<Q", data, begin + 8) if begin + 16 <= len(data) else (0,)
                if begin % 8 == 0 and not (16 <= size <= len(data) - begin and _whole(data, begin, size)):
                    raise WeightsError(f"{path}: is damaged at byte {begin}: a heap of strings is not whole")
                begin = data.find(_HEAP, begin + 8)


def _whole(data: mmap.mmap, begin: int, size: int) -> bool:
    """Whether the objects of a heap follow each other to its end."""
    place = 16
    while place + 16 <= size:
        number, length = struct.unpack_from("<H6xQ", data, begin + place)
        if number == 0:  # the free rest, whose size counts its header too
            return 16 <= length <= size - place
        place += 16 + (length + 7) // 8 * 8
    return place <= size


def attribute(node: h5py.HLObject, name: str) -> Any:
    """The value of an attribute of a few numbers or strings; None where there is none.

    Raises
    ------
    WeightsError
        If it is something else, or larger than what xumx or NNabla write.
    """
    if name not in node.attrs:
        return None
    found = node.attrs.get_id(name)
    size = None if found.shape is None else math.prod(found.shape) * found.get_type().get_size()
    if _kind(found) not in "biufS" or size is None or size > _ATTRIBUTE:
        raise WeightsError(f"{node.file.filename}: its attribute {name} is not what xumx or NNabla write")
    return node.attrs[name]


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """A new file that is made in memory, and appears under ``path`` when the block ends well.

    In memory, because HDF5 does not take a full disk well: it fails again and again while it cleans up.

    Raises
    ------
    WriteError
        If the file cannot be written.
    """
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        yield file
        file.flush()
        image = file.id.get_file_image()
    with replacing(path) as aside:
        aside.write_bytes(image)


def _datasets(path: Path, file: h5py.File) -> dict[str, h5py.Dataset]:
    datasets: dict[str, h5py.Dataset] = {}
    room = path.stat().st_size
    for name, dataset in _walk(path, file):
        room -= _size(path, name, dataset)
        if room < 0:
            raise WeightsError(f"{path}: says that it holds more values than the file has room for ({name})")
        datasets[name] = dataset
    return datasets


def _walk(path: Path, file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """Every dataset, by name; not by `visititems`, which a deep file takes through the end of the stack."""
    seen = {h5py.h5o.get_info(file.id).addr}
    groups: list[tuple[str, h5py.Group]] = [("", file)]
    while groups:
        prefix, group = groups.pop()
        if prefix.count("/") > DEPTH:
            raise WeightsError(f"{path}: its groups lie more than {DEPTH} deep in each other")
        for part in sorted(group):
            if not isinstance(part, str) or "/" in part or not part.isprintable():
                raise WeightsError(f"{path}: {prefix}{part!r} is not how a parameter is called")
            name = prefix + part
            # Before it is opened: a link may lead to another file.
            if group.id.links.get_info(part.encode()).type != h5py.h5l.TYPE_HARD:
                raise WeightsError(f"{path}: {name!r} is a link to somewhere else, not a parameter")
            node = group[part]
            address = h5py.h5o.get_info(node.id).addr
            if address in seen:
                raise WeightsError(f"{path}: {name!r} is another name of what has one already")
            seen.add(address)
            if isinstance(node, h5py.Group):
                groups.append((f"{name}/", node))
            elif isinstance(node, h5py.Dataset):
                yield name, node


def _size(path: Path, name: str, dataset: h5py.Dataset) -> int:
    """Bytes of a dataset, all of which lie in the file as they are."""
    plan = dataset.id.get_create_plist()
    # First of all, since even the shape of a virtual one is looked for in other files.
    if plan.get_layout() == h5py.h5d.VIRTUAL or plan.get_external_count():
        raise WeightsError(f"{path}: {name!r} takes its values from another file; refused")
    if plan.get_layout() not in (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS):
        raise WeightsError(
            f"{path}: {name!r} is stored in chunks or compressed; "
            "h5repack -l CONTI -f NONE OLD NEW writes it as it has to be"
        )
    if dataset.shape is None:
        raise WeightsError(f"{path}: {name!r} is an empty dataset, not a parameter")
    kind = _kind(dataset.id)
    if kind not in "biuf" and not (kind == "S" and dataset.shape == ()):
        raise WeightsError(f"{path}: {name!r} holds no numbers")
    return math.prod(dataset.shape) * dataset.id.get_type().get_size()


def _kind(found: h5py.h5d.DatasetID | h5py.h5a.AttrID) -> str:
    """The kind of a NumPy dtype; S for strings of any length; O for what is neither numbers nor strings."""
    if found.get_type().get_class() == h5py.h5t.STRING:
        return "S"
    kind = found.dtype.kind
    return str(kind) if kind in "biuf" else "O"
