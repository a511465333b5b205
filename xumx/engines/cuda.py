"""NVIDIA's libraries for NNabla's extension, and in plain words why a GPU cannot be used.

The extension is linked against libraries of CUDA 12.0 and cuDNN 8 but brings none of them. ``pip install
".[gpu]"`` brings them as wheels, in folders where no linker looks: :func:`load_libraries` maps them into the
process first, each after those it needs, and the linker then finds them by their names. What a system has
of its own is tried before, by importing the extension as it is.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import io
import os
import platform
import re
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from xumx.base.errors import XumxError, install

if TYPE_CHECKING:
    from xumx.parallel.communicator import Communicator

DRIVER = "libcuda.so.1"
"""What the driver brings, and no wheel."""

OLDEST_DRIVER = 525
"""The first for CUDA 12."""


class Library(NamedTuple):
    """A shared library, and the package on PyPI that has it."""

    name: str
    package: str


LIBRARIES = (
    Library("libcudart.so.12", "nvidia-cuda-runtime-cu12"),
    Library("libcublasLt.so.12", "nvidia-cublas-cu12"),
    Library("libcublas.so.12", "nvidia-cublas-cu12"),
    Library("libnvJitLink.so.12", "nvidia-nvjitlink-cu12"),
    Library("libcusparse.so.12", "nvidia-cusparse-cu12"),
    Library("libcusolver.so.11", "nvidia-cusolver-cu12"),
    Library("libcurand.so.10", "nvidia-curand-cu12"),
    Library("libcufft.so.11", "nvidia-cufft-cu12"),
    Library("libcudnn.so.8", "nvidia-cudnn-cu12"),
)
"""In the order in which they are loaded; `tools/gpu_pins.py` compares them with the extension's wheel."""


def installed() -> bool:
    """Whether NNabla's extension for GPUs is there, without importing anything."""
    extensions = importlib.util.find_spec("nnabla_ext")
    places = extensions.submodule_search_locations if extensions else None
    return any(os.path.isdir(os.path.join(place, "cudnn")) for place in places or [])


def import_extension() -> ModuleType:
    """Import NNabla's extension for GPUs, with the libraries of its wheels if the system's do not do.

    Raises
    ------
    Exception
        What the import raised, of any kind; :func:`explained` tells what it means.
    """
    # It prints a line where it finds no GPU, and raises the reason too.
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            return importlib.import_module("nnabla_ext.cudnn")
        except ImportError:
            if not load_libraries():
                raise
        return importlib.import_module("nnabla_ext.cudnn")


def load_libraries() -> list[Path]:
    """Map the wheels' libraries into the process; those that there were, in the order of `LIBRARIES`.

    A library that cannot be loaded is left out: the import of the extension then says which it misses.
    """
    found = []
    for library in LIBRARIES:
        path = wheel(library.name)
        if path is None:
            continue
        with contextlib.suppress(OSError):
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
            found.append(path)
    return found


def wheel(name: str) -> Path | None:
    """Where NVIDIA's wheels have put a library: ``nvidia/<part>/lib`` on the path of modules."""
    spec = importlib.util.find_spec("nvidia")
    for place in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(place).glob(f"*/lib/{name}")):
            return path
    return None


_REASONS = (
    (
        r"libcuda\.so\.1|NVML.*(Library|Driver).*(Not Found|not loaded)|no NVIDIA driver",
        f"no NVIDIA driver is loaded; install one, {OLDEST_DRIVER} or newer",
    ),
    (
        r"driver version is insufficient|cudaErrorInsufficientDriver|forward compatibility",
        f"the NVIDIA driver is too old for CUDA 12; install {OLDEST_DRIVER} or newer",
    ),
    (
        r"libcudnn\w*\.so\.8|CUDNN_STATUS_(NOT_INITIALIZED|VERSION_MISMATCH|SUBLIBRARY)",
        "cuDNN 8 is missing or another version; {install}",
    ),
    (
        r"lib(cu|nvJitLink)\w*\.so\.\d+|undefined symbol|version `lib",
        "CUDA's libraries are missing or do not match each other; {install}",
    ),
    (
        r"invalid device ordinal|cudaErrorInvalidDevice\b|NVML.*Invalid Argument|device_id.*(range|invalid)"
        r"|Invalid CUDA device",
        "there is no GPU of this number; nvidia-smi -L lists them, and CUDA_VISIBLE_DEVICES may hide some",
    ),
    (
        r"no CUDA-capable device|cudaErrorNoDevice",
        "look at nvidia-smi and CUDA_VISIBLE_DEVICES",
    ),
)
"""What libraries say, and what it means to who reads it."""


def explained(error: BaseException | str) -> str:
    """Why a GPU cannot be used, in one line: what to do if the reason is known, else what was said.

    Examples
    --------
    >>> explained("CUDA driver version is insufficient for CUDA runtime version")
    'CUDA driver version is insufficient ...: the NVIDIA driver is too old for CUDA 12; install 525 or newer'
    """
    said = shortened(error)
    for pattern, meaning in _REASONS:
        if re.search(pattern, str(error), re.IGNORECASE):
            return f"{said}: {meaning.replace('{install}', install('gpu'))}"
    return said


def shortened(error: BaseException | str, most: int = 160) -> str:
    """The first line of what was said, and not too much of it."""
    lines = (line.strip() for line in str(error).splitlines())
    first = next((line for line in lines if line), "") or type(error).__name__
    return first if len(first) <= most else f"{first[:most].rstrip()}…"


def asked(error: BaseException) -> str | None:
    """How much memory a GPU did not have; "" if the message does not tell, None if it is another error.

    ONNX Runtime says ``Failed to allocate memory for requested buffer of size N``, CUDA and NNabla ``out of
    memory``, and OpenVINO and others in words of their own.

    Examples
    --------
    >>> asked(RuntimeError("Failed to allocate memory for requested buffer of size 2500000000"))
    '2.5 GB'
    >>> asked(RuntimeError("CUDA error: out of memory")), asked(ValueError("wrong shape"))
    ('', None)
    """
    from xumx.base.files import size

    text = str(error)
    words = r"out of memory|failed to allocate|memory allocation|bad_alloc|CUDA_ERROR_OUT_OF|ALLOC_FAILED"
    if not (isinstance(error, MemoryError) or re.search(words, text, re.IGNORECASE)):
        return None
    number = re.search(r"(?:size|bytes|allocate)\D{0,20}?(\d{4,})", text) or re.search(
        r"(\d{4,}) bytes", text
    )
    return size(int(number[1])) if number else ""


def visible_devices() -> int | None:
    """How many GPUs ``CUDA_VISIBLE_DEVICES`` leaves to this process; None if it is not set."""
    text = os.environ.get("CUDA_VISIBLE_DEVICES")
    if text is None:
        return None
    count = 0
    for one in text.split(","):
        if not one.strip() or one.strip().startswith("-"):  # CUDA stops at the first that is none
            break
        count += 1
    return count


def rounds() -> bool:
    """Whether NNabla rounds products on a GPU to 10 bits (TF32), which it does only if it is told to.

    >>> rounds()
    False
    """
    return os.environ.get("NNABLA_CUDA_ALLOW_TF32", "0") != "0"


def own_device(ranks: Communicator, wanted: bool) -> str:
    """The number of the GPU that this process takes among those of its machine: its place there.

    NNabla's communicator takes that one whatever it is told. So launchers that let each process see but a GPU
    of its own, by a ``CUDA_VISIBLE_DEVICES`` for each, are undone: each sees those of all, in their order.

    Parameters
    ----------
    ranks : Communicator
        All processes; all call this.
    wanted : bool
        Whether a GPU is to be used; else nothing is wrong.

    Raises
    ------
    XumxError
        If the processes of this machine cannot have a GPU each.
    """
    mine = (platform.node(), ranks.local_rank, os.environ.get("CUDA_VISIBLE_DEVICES"))
    here = sorted(one[1:] for one in ranks.gather(mine) if one[0] == mine[0])
    texts = [text for _, text in here if text is not None]
    visible = visible_devices()
    if not wanted or visible is None:
        return str(ranks.local_rank)
    if len(texts) == len(here) > 1 and visible == 1:
        if len(set(texts)) == len(texts):
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(texts)
            return str(ranks.local_rank)
        raise XumxError(
            f"each of {len(here)} processes on this machine sees one GPU, and calls it {mine[2]}: NNabla has "
            "to see all of them; under Slurm add `gpu_bind`=none, or leave CUDA_VISIBLE_DEVICES out"
        )
    if ranks.local_rank >= visible:
        raise XumxError(
            f"there are {len(here)} processes on this machine, but CUDA_VISIBLE_DEVICES={mine[2]} leaves "
            f"them {visible} GPU{'s' * (visible != 1)}; start as many as GPUs, or use `context` cpu"
        )
    return str(ranks.local_rank)
