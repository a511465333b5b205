"""NVIDIA's libraries: the pins that bring them, and what loads them, tried with libraries of the system's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

from tests.test_frame import PROJECT
from tools.gpu_pins import missing, read_elf
from xumx.base.errors import XumxError
from xumx.engines import cuda

CUDA = "cuda.so.1 cudart.so.12 cublas.so.12 cusolver.so.11 curand.so.10 cufft.so.11 cudnn.so.8"
OTHERS = "nnabla.so stdc++.so.6 m.so.6 gcc_s.so.1 c.so.6"
NEEDED = [*(f"lib{name}" for name in f"{CUDA} {OTHERS}".split()), "ld-linux-x86-64.so.2"]
"""DT_NEEDED of libnnabla_cuda-120_8.so in the wheel of 1.39.0, as `tools/gpu_pins.py` reads them."""

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="libraries of Linux")


def test_the_extra_brings_what_the_extension_needs() -> None:
    pins = [one.partition(";")[0] for one in PROJECT["optional-dependencies"]["gpu"]]
    exact = dict(pin.split("==") for pin in pins if "*" not in pin)
    assert set(exact) == {library.package for library in cuda.LIBRARIES}, "exact versions, of these packages"
    known = {library.name for library in cuda.LIBRARIES}
    assert not [name for name in NEEDED if missing(name, known)]
    assert missing("libcublas.so.13", known)
    assert exact["nvidia-cudnn-cu12"].startswith("8.")


@LINUX
def test_elf_files_are_read() -> None:
    """NumPy's core asks for the C library; where its wheel brings a BLAS, that one knows its own name."""
    folder = Path(numpy.__file__).parent
    core = next(folder.rglob("_multiarray_umath*.so"))
    needed = read_elf(core.read_bytes()).needed
    assert any(name.startswith("libc.so") for name in needed)
    for path in folder.with_name("numpy.libs").glob("*.so*"):
        assert read_elf(path.read_bytes()).soname == path.name
        assert not missing(path.name, {path.name})
    with pytest.raises(ValueError, match="ELF"):
        read_elf(b"MZ" + bytes(100))


EXTENSION = """
import sys
maps = open("/proc/self/maps").read()
missing = [name for name in {names!r} if name not in maps]
if missing:
    raise ImportError(missing[0] + ": cannot open shared object file: No such file or directory")
print("a greeting that nobody shall see")
"""

PROGRAM = """
from xumx.base.errors import XumxError
from xumx.engines import cuda
try:
    cuda.import_extension()
    print("imported")
except ImportError as error:
    print(cuda.explained(error))
"""


@LINUX
@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ("", "imported"),
        ("libcudnn.so.8", "cuDNN 8 is missing or another version; pip install"),
        ("libcublas.so.12", "CUDA's libraries are missing or do not match"),
        ("all", "CUDA's libraries are missing or do not match"),
    ],
    ids=["whole", "no cuDNN", "no cuBLAS", "no wheels"],
)
def test_the_loader_maps_the_wheels(tmp_path: Path, lacking: str, said: str) -> None:
    """An extension that cannot be imported before its libraries are mapped is imported after; quietly."""
    some = numpy.random.mtrand.__file__  # needs no library of its wheel
    names = [library.name for library in cuda.LIBRARIES]
    for part, name in enumerate(names):
        if lacking not in (name, "all"):
            folder = tmp_path / "nvidia" / f"part{part}" / "lib"
            folder.mkdir(parents=True)
            shutil.copy(some, folder / name)
    package = tmp_path / "nnabla_ext" / "cudnn"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(EXTENSION.format(names=names))
    program = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n{PROGRAM}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert said in line, line


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("libcuda.so.1: cannot open shared object file: No such file or directory", "no NVIDIA driver"),
        ("NVML Shared Library Not Found", "no NVIDIA driver"),
        ("cudaGetDevice: CUDA driver version is insufficient for CUDA runtime version", "driver is too old"),
        ("libcudnn.so.8: cannot open shared object file", "cuDNN 8 is missing"),
        (
            "libcublas.so.12: undefined symbol: cublasLtGetEnvironmentMode, version libcublasLt.so.12",
            "match each",
        ),
        ("Failed `cudaSetDevice(device)`: invalid device ordinal", "no GPU of this number"),
        ("no CUDA-capable device is detected", "look at nvidia-smi"),
    ],
)
def test_reasons_say_what_to_do(said: str, meaning: str) -> None:
    found = cuda.explained(RuntimeError(f"{said}\nand a stack of calls"))
    assert meaning in found and said[:60] in found and "\n" not in found


def test_visible_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, count in ((None, None), ("", 0), ("3", 1), ("0,2", 2), ("1,-1,2", 1), ("GPU-8932f937", 1)):
        if text is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", text)
        assert cuda.visible_devices() == count, text


class Ranks:
    """The processes of some machines, as `Communicator.gather` shows them, each with its variable."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, rank: int, machines: list[list[str | None]]) -> None:
        everyone = [(f"m{m}", i, text) for m, texts in enumerate(machines) for i, text in enumerate(texts)]
        node, self.local_rank, text = everyone[rank]
        self.size, self.gather = len(everyone), lambda value: everyone
        monkeypatch.setattr("platform.node", lambda: node)
        if text is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", text)


@pytest.mark.parametrize(
    ("machines", "rank", "device", "visible"),
    [
        ([[None, None]], 1, "1", None),
        ([["0,1", "0,1"]], 1, "1", "0,1"),
        ([["2", "0", "1"]], 1, "1", "2,0,1"),  # a GPU a task: all see all, each the one that it had
        ([["0", "1"], ["3", "2"]], 3, "1", "3,2"),
        ([["GPU-a", "GPU-b"]], 0, "0", "GPU-a,GPU-b"),
        ([["5"], ["5"]], 1, "0", "5"),
    ],
)
def test_each_process_of_a_machine_has_a_gpu(
    monkeypatch: pytest.MonkeyPatch,
    machines: list[list[str | None]],
    rank: int,
    device: str,
    visible: str | None,
) -> None:
    assert cuda.own_device(Ranks(monkeypatch, rank, machines), True) == device  # type: ignore[arg-type]
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["0", "0"], "sees one GPU, and calls it 0: .*--gpu-bind=none"),
        (["0,1", "0,1", "0,1"], "3 processes on this machine, .*=0,1 leaves them 2 GPUs"),
        (["", "", ""], "3 processes on this machine, .*= leaves them 0 GPUs"),
    ],
)
def test_fewer_gpus_than_processes(
    monkeypatch: pytest.MonkeyPatch, texts: list[str | None], said: str
) -> None:
    ranks = Ranks(monkeypatch, len(texts) - 1, [texts])
    with pytest.raises(XumxError, match=said):
        cuda.own_device(ranks, True)  # type: ignore[arg-type]
    assert cuda.own_device(ranks, False) == str(len(texts) - 1)  # type: ignore[arg-type]
