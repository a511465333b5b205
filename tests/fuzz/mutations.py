"""Valid files made wrong, step by step; a step is three numbers, so that hypothesis can shrink a fall."""

from __future__ import annotations

import contextlib
import io
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Step = tuple[int, int, int]
"""What is done, where, and with which value: each a number below 2³²."""

EDGES = (0, 1, 2, 3, 7, 8, 15, 16, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1)

_DEEP = "a list in a list in a list and so on"

VALUES: tuple[Any, ...] = (
    *(
        0,
        -1,
        1,
        2,
        10**15,
        2**31,
        2**63,
        2**64,
        -(2**63),
        10**400,
        0.5,
        -0.0,
        1e308,
        float("inf"),
        float("nan"),
    ),
    *(
        None,
        True,
        False,
        "",
        "x",
        "x" * 10_000,
        "../../escaped",
        "/etc/passwd",
        "a\nb",
        "\x00",
        "\ud800",
        "é",
    ),
    _DEEP,
    *([], {}, [[]], [1], ["x"], {"x": 1}, [None] * 1000),
)


def steps(rng: random.Random) -> list[Step]:
    """Some, mostly few; none leaves a file as it is."""
    count = rng.choice((0, 1, 1, 1, 2, 2, 3, 4, 6, 12))
    return [(rng.randrange(2**32), rng.randrange(2**32), rng.randrange(2**32)) for _ in range(count)]


def mutated(data: bytes, others: Sequence[bytes], recipe: Sequence[Step], canary: Path) -> bytes:
    """The bytes after all steps, some of which know what is in JSON, HDF5 and NumPy's files."""
    for what, where, value in recipe:
        if data[:1] in b"{[" and what % 4:
            data = _in_json(data, what // 4, where, value)
        elif data.startswith(b"\x89HDF") and what % 2:
            data = _in_hdf5(data, what // 2, where, value, canary)
        elif data.startswith(b"\x93NUMPY") and what % 2:
            data = _in_text(data, where, value)
        else:
            step = _STEPS[what // 4 % len(_STEPS)]
            data = step(data, _place(data, where), value, others)
    return data[: 1 << 20]


def _place(data: bytes, where: int) -> int:
    """Half of them in the first bytes, where headers are."""
    within = len(data) if where % 2 else min(len(data), 256)
    return where // 2 % max(within, 1)


def _flip(data: bytes, at: int, value: int, others: Sequence[bytes]) -> bytes:
    return data[:at] + bytes(b ^ 1 << value % 8 for b in data[at : at + 1]) + data[at + 1 :]


def _set(data: bytes, at: int, value: int, others: Sequence[bytes]) -> bytes:
    return data[:at] + bytes([value % 256]) + data[at + 1 :]


def _number(data: bytes, at: int, value: int, others: Sequence[bytes]) -> bytes:
    size = (1, 2, 4, 8)[value % 4]
    order = "little" if value // 4 % 2 else "big"
    number = EDGES[value // 8 % len(EDGES)] % 256**size
    return data[:at] + number.to_bytes(size, order) + data[at + size :]


def _cut(data: bytes, at: int, value: int, others: Sequence[bytes]) -> bytes:
    return data[:at]


def _drop(data: bytes, at: int, value: int, others: Sequence[bytes]) -> bytes:
    return data[:at] + data[at + value % 64 :]


def _insert(data: bytes, at: int, value: int, others: Sequence[bytes]) -> bytes:
    return data[:at] + random.Random(value).randbytes(value % 64) + data[at:]


def _grow(data: bytes, at: int, value: int, others: Sequence[bytes]) -> bytes:
    return data + (bytes(value % 65536) if value % 2 else random.Random(value).randbytes(value % 65536))


def _repeat(data: bytes, at: int, value: int, others: Sequence[bytes]) -> bytes:
    part = data[at : at + 1 + value % 1024]
    return data[:at] + part * (1 + value % 60) + data[at:]


def _splice(data: bytes, at: int, value: int, others: Sequence[bytes]) -> bytes:
    other = others[value % len(others)]
    return data[:at] + other[value // 7 % max(len(other), 1) :]


def _scramble(data: bytes, at: int, value: int, others: Sequence[bytes]) -> bytes:
    part = random.Random(value).randbytes(len(data[at : at + value % 256]))
    return data[:at] + part + data[at + len(part) :]


def _raw(data: bytes, at: int, value: int, others: Sequence[bytes]) -> bytes:
    return random.Random(value).randbytes(value % 4096)


def _deep(data: bytes, at: int, value: int, others: Sequence[bytes]) -> bytes:
    return data[:at] + (b"[", b'{"a":', b"(", b"@")[value % 4] * (value % 100_000) + data[at:]


_Step = Callable[[bytes, int, int, Sequence[bytes]], bytes]
_STEPS: tuple[_Step, ...] = (
    *(_flip, _flip, _set, _number, _number, _number, _cut, _drop, _insert, _grow, _repeat, _splice),
    *(_scramble, _raw, _deep),
)


def _in_text(data: bytes, where: int, value: int) -> bytes:
    """Another token in the header of a .npy file, which keeps its length."""
    old = (b"<i2", b"<f4", b"<f8", b"False", b"(2, ", b"descr", b"shape", b"{", b"}", b",")[where % 10]
    new = (b"|O", b"<i8", b"True", b"(", b"-1, ", b"9" * 12, b"9" * 60, b"'", b"\x00", b"\\", b"#", b"\t")[
        value % 12
    ]
    return data[:128].replace(old, new).ljust(128)[:128] + data[128:]


def _in_json(data: bytes, what: int, where: int, value: int) -> bytes:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return data
    spots = list(_spots(content))
    if not spots:
        return data
    holder, key = spots[where % len(spots)]
    if what % 5 == 0:
        del holder[key]
    elif what % 5 == 1 and isinstance(holder, dict):
        holder[str(VALUES[value % len(VALUES)])[:300]] = holder.pop(key)
    elif what % 5 == 2:
        for _ in range(value % 200):
            holder[key] = [holder[key]]
    else:
        holder[key] = VALUES[value % len(VALUES)]
    deep = value % 100_000
    return json.dumps(content).replace(f'"{_DEEP}"', deep * "[" + deep * "]").encode()


def _spots(content: Any) -> Any:
    for key in list(content) if isinstance(content, dict) else range(len(content)):
        yield content, key
        if isinstance(content[key], (dict, list)):
            yield from _spots(content[key])


def _in_hdf5(data: bytes, what: int, where: int, value: int, canary: Path) -> bytes:
    memory = io.BytesIO(data)
    with contextlib.suppress(Exception):  # a step before may have broken it: then it stays as it is
        with h5py.File(memory, "r+") as file:
            names: list[str] = []
            file.visit(names.append)
            _change(file, names[where % len(names)], what, value, canary)
        return memory.getvalue()
    return data


def _change(file: h5py.File, name: str, what: int, value: int, canary: Path) -> None:
    odd = VALUES[value % len(VALUES)]
    node = file[name]
    if what % 12 == 0:
        holder = (file, node)[value % 2]
        holder.attrs[(*holder.attrs, "index")[value // 2 % (len(holder.attrs) + 1)]] = odd
        return
    if (
        what % 12 == 1 and isinstance(node, h5py.Dataset) and node.dtype.kind == "O"
    ):  # the run of a checkpoint
        file[name][()] = _in_json(node[()], value // 3, value // 15, value // 7).decode()
        return
    shape = node.shape if isinstance(node, h5py.Dataset) and node.shape is not None else (3,)
    del file[name]
    if what % 12 == 2:
        file[name] = h5py.ExternalLink(str(canary), "input_mean")
    elif what % 12 == 3:
        file[name] = h5py.SoftLink(("/", "/nowhere", f"/{name}")[value % 3])
    elif what % 12 == 4:
        count = int(np.prod(shape))
        file.create_dataset(name, (count,), np.float32, external=[(str(canary), 0, 4 * count)])
    elif what % 12 == 5:
        layout = h5py.VirtualLayout(shape, np.float32)
        layout[...] = h5py.VirtualSource(str(canary), "input_mean", shape)
        file.create_virtual_dataset(name, layout)
    elif what % 12 == 6:
        file.create_dataset(name, (10 ** (value % 13), 3), np.float32, chunks=(1, 3), compression="gzip")
    elif what % 12 == 7:
        file[name] = h5py.Empty("f4")
    elif what % 12 == 8:
        file.create_dataset(name, data=np.full(shape, (np.nan, np.inf, -1, 1e30)[value % 4], np.float32))
    elif what % 12 == 9:
        kind = (np.int8, np.float64, np.complex64, np.uint64, "S3", bool)[value % 6]
        file.create_dataset(name, data=np.zeros(shape, kind))
    elif what % 12 == 10:
        file.create_dataset(
            name, data=np.zeros(tuple(EDGES[value // n % 9] for n in (1, 9, 81)[: 1 + value % 3]))
        )
    else:
        file[name] = odd
