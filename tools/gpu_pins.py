#!/usr/bin/env python3
"""``python tools/gpu_pins.py``: whether the extra ``gpu`` brings all that NNabla's extension is linked to.

Downloads the extension's wheel (125 MB) by pip and reads which libraries its own ask the linker for. Each
must be in :data:`xumx.engines.cuda.LIBRARIES`, come with the system or NNabla, or be the driver. Where
NVIDIA's wheels are installed, theirs are read too, and nothing must be loaded before what it needs. Prints a
line a library, and ends with 1 if one is missing.
"""

from __future__ import annotations

import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from xumx.engines import cuda

WHEEL = "nnabla-ext-cuda120==1.39.0"

SYSTEM = (
    "libc.so",
    "libm.so",
    "libdl.so",
    "librt.so",
    "libpthread.so",
    "ld-linux",
    "libgcc_s",
    "libstdc++",
    "libz.so",
)
OWN = ("libnnabla", "libcudnn_")
"""What NNabla brings itself; parts of cuDNN, which find each other."""


class Elf(NamedTuple):
    """What a shared library says to the linker: its own name, and those that it needs."""

    soname: str | None
    needed: tuple[str, ...]


def read_elf(content: bytes) -> Elf:
    """Read the dynamic section of a 64-bit little-endian ELF file.

    Raises
    ------
    ValueError
        For anything else.
    """
    if content[:6] != b"\x7fELF\x02\x01":
        raise ValueError("no 64-bit little-endian ELF file")
    (offset,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    headers = [struct.unpack_from("<IIQQQQ", content, offset + i * size) for i in range(count)]
    loaded = [(address, length, place) for kind, _, place, address, _, length in headers if kind == 1]
    entries = [
        struct.unpack_from("<qQ", content, place + i)
        for kind, _, place, _, _, length in headers
        if kind == 2
        for i in range(0, length, 16)
    ]
    table = next(value for tag, value in entries if tag == 5)  # DT_STRTAB, an address in memory
    start = next(
        place + table - address for address, length, place in loaded if 0 <= table - address < length
    )

    def text(at: int) -> str:
        return content[start + at : content.index(b"\0", start + at)].decode()

    own = [text(value) for tag, value in entries if tag == 14]
    return Elf(own[0] if own else None, tuple(text(value) for tag, value in entries if tag == 1))


def missing(needed: str, known: set[str]) -> bool:
    """Whether nobody brings a library."""
    return needed not in known and needed != cuda.DRIVER and not needed.startswith((*SYSTEM, *OWN))


def problems() -> Iterator[str]:
    """What is wrong, a line each; says what it finds."""
    known = {library.name for library in cuda.LIBRARIES}
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, WHEEL]
        which = ["--only-binary", ":all:", "--python-version", "3.10", "--platform", "manylinux_2_28_x86_64"]
        subprocess.run([*pip, *which], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for name in (name for name in archive.namelist() if ".so" in name):
                elf = read_elf(archive.read(name))
                print(f"{name}: {', '.join(n for n in elf.needed if not n.startswith((*SYSTEM, *OWN)))}")
                yield from (f"{name} needs {n}" for n in elf.needed if missing(n, known))
    before: set[str] = set()
    for library in cuda.LIBRARIES:
        before.add(library.name)
        path = cuda.wheel(library.name)
        if path is None:
            print(f"{library.name}: {library.package} is not installed here")
            continue
        elf = read_elf(path.read_bytes())
        print(f"{library.name}: {library.package}, {path}")
        if elf.soname != library.name:
            yield f"{path} calls itself {elf.soname}"
        yield from (f"{library.name} is loaded before {n}" for n in elf.needed if missing(n, before))


if __name__ == "__main__":
    found = list(problems())
    print(*found or ["nothing is missing"], sep="\n")
    sys.exit(bool(found))
