"""What ONNX Runtime can compute on, by common names, and whether it computes the network right there.

ONNX Runtime falls back to the CPU without a word: if a provider cannot be loaded, for layers that it does not
have, and after errors. Here each of these is said.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime

from xumx.base import jsonfile
from xumx.base.errors import UsageError, WriteError, XumxError, install, listing
from xumx.base.files import aside, replacing
from xumx.engines import cuda
from xumx.network.config import ModelConfig

CPU = "CPUExecutionProvider"

NAMES = {
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "nvtensorrt": "NvTensorRTRTXExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "webgpu": "WebGpuExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "qnn": "QNNExecutionProvider",
    "cann": "CANNExecutionProvider",
    "vitisai": "VitisAIExecutionProvider",
    "dnnl": "DnnlExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
}
"""Providers by their common names."""

AUTOMATIC = ("cuda", "migraphx", "rocm", "directml", "coreml", "webgpu", "openvino")
"""Those that are taken unasked, the first that is right and faster than the CPU. TensorRT is not among them:
it takes minutes to build its engines. OpenVINO is for its GPUs: on the CPU it gains nothing."""

FASTER = 0.8
"""Of the CPU's time, what a provider may take at most to be taken unasked."""

EXTRAS = {"cuda": "cuda", "tensorrt": "cuda", "openvino": "openvino", "directml": "directml"}
"""Which extra of xumx brings a provider, where one does."""

TOLERANCE = {"float32": 1e-4, "float16": 2e-2}
"""How much of the peak estimates may differ from those of the CPU."""

HEAVY = ("LSTM", "MatMul", "Gemm")
"""How the names of the operators begin that the time goes into."""

FRAMES = 128
"""Of noise, on which a provider is tried."""


class Provider(NamedTuple):
    """One to compute on: its common name, the device, and its options as ONNX Runtime takes them."""

    name: str
    device_id: str | None = None
    given: tuple[tuple[str, str], ...] = ()

    @property
    def options(self) -> dict[str, str]:
        """What it is told: to compute in single precision, on this device, and what is given."""
        own = {
            # Its products would be rounded to 10 bits, which is 3e-4 of the peak.
            "cuda": {"use_tf32": "0", "arena_extend_strategy": "kSameAsRequested"},
            "openvino": {"precision": "FP32"},
        }
        device = {"openvino": "device_type", "webgpu": "deviceId"}.get(self.name, "device_id")
        chosen = {device: self.device_id} if self.device_id is not None else {}
        return {**own.get(self.name, {}), **chosen, **dict(self.given)}

    def __str__(self) -> str:
        return self.name if self.device_id is None else f"{self.name} {self.device_id}"


@dataclass(frozen=True)
class Verdict:
    """What came of trying a provider on noise.

    Attributes
    ----------
    problem : str
        Why it cannot be used at all; empty if it can.
    error : float
        How much its estimates differ from those of the CPU, of their peak.
    seconds, cpu_seconds : float
        Time of the second call, there and on the CPU.
    left : list of str
        Heavy operators that ONNX Runtime leaves to the CPU.
    """

    problem: str = ""
    error: float = 0.0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    left: list[str] = field(default_factory=list)


def available() -> list[str]:
    """Common names of what the installed ONNX Runtime was built with, less the CPU."""
    found = onnxruntime.get_available_providers()
    return [name for name, provider in NAMES.items() if provider in found]


def automatic(device_id: str | None, given: tuple[tuple[str, str], ...]) -> Iterator[Provider]:
    """Those of `AUTOMATIC` that the installed ONNX Runtime has."""
    for name in AUTOMATIC:
        if name not in available():
            continue
        if name == "openvino" and device_id is None:
            gpus = [device for device in _openvino_devices() if device.startswith("GPU")]
            if gpus:
                yield Provider(name, gpus[0], given)
        else:
            yield Provider(name, device_id, given)


def check(provider: Provider) -> None:
    """See that ONNX Runtime has a provider and the device.

    Raises
    ------
    XumxError
        With what to install, or which devices there are.
    """
    name = provider.name
    if name not in available():
        raise XumxError(f"`context` {name}: {_absence(name)}, or use `context` cpu")
    if provider.device_id is not None:
        if name in ("coreml", "dnnl", "xnnpack"):
            raise UsageError(f"`device_id` {provider.device_id}: {name} has no devices to choose from")
        if name == "openvino":
            found = _openvino_devices()
            if found and provider.device_id.split(":")[0] not in (*found, "AUTO", "HETERO", "MULTI"):
                raise XumxError(f"`device_id` {provider.device_id}: OpenVINO finds {', '.join(found)} here")
        elif not provider.device_id.isdecimal():
            raise UsageError(f"`device_id` {provider.device_id}: {name} counts its devices: 0, 1, ...")


def _absence(name: str) -> str:
    """Why ONNX Runtime has no such provider, and what to do."""
    wheels = sorted(
        {
            str(one.metadata["Name"])
            for one in metadata.distributions()
            if str(one.metadata["Name"]).lower().startswith("onnxruntime")
        }
    )
    if len(wheels) > 1:
        wanted = next((w for w in wheels if name in w or (name == "cuda" and "gpu" in w)), wheels[-1])
        return (
            f"{' and '.join(wheels)} are installed over each other, and ONNX Runtime has no {name}: "
            f"pip uninstall -y {' '.join(wheels)} && pip install `no_deps` {wanted}"
        )
    has = ", ".join(available()) or "nothing but the CPU"
    how = f"; {install(EXTRAS[name])}" if name in EXTRAS else ""
    return f"the installed ONNX Runtime has no {name} ({has}){how}"


def _openvino_devices() -> list[str]:
    try:
        from onnxruntime.capi import _pybind_state

        return list(_pybind_state.get_available_openvino_device_ids())
    except Exception:  # another version has no such function
        return []


def open_session(
    path: Path, provider: Provider | None, *, threads: int = 0, profile: Path | None = None
) -> onnxruntime.InferenceSession:
    """Load a graph for a provider, None for the CPU.

    Raises
    ------
    XumxError
        If the provider is not there or cannot be used, where ONNX Runtime would take the CPU.
    Exception
        Of ONNX Runtime, if the graph cannot be loaded.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.enable_mem_pattern = False
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    if provider is None:
        return onnxruntime.InferenceSession(str(path), options, providers=[CPU])
    check(provider)
    wanted = NAMES[provider.name]
    given = provider.options
    if provider.name == "openvino" and threads and given.get("device_type", "CPU") == "CPU":
        given = {"num_of_threads": str(threads), **given}
    with _quietly():
        if provider.name in ("cuda", "tensorrt") and hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()  # of NVIDIA's wheels
        try:
            session = onnxruntime.InferenceSession(
                str(path), options, providers=[(wanted, given), CPU], enable_fallback=0
            )
        except Exception as error:
            raise XumxError(f"`context` {provider}: {_told(error)}; or use `context` cpu") from None
    if wanted not in session.get_providers():
        raise XumxError(f"`context` {provider}: {_unloaded(provider)}; or use `context` cpu")
    session.disable_fallback()
    return session


def _told(error: Exception) -> str:
    """An error of ONNX Runtime in one line, without where in its sources it was raised."""
    memory = cuda.asked(error)
    if memory is not None:
        return (
            f"the device has no memory for the network{f' ({memory} more were asked for)' if memory else ''}"
        )
    said = " ".join(str(error).split())
    return cuda.explained(said.rpartition("&) ")[2] or said)


def _unloaded(provider: Provider) -> str:
    """Why a provider that ONNX Runtime was built with is not used."""
    if provider.name in ("cuda", "tensorrt"):
        library = Path(onnxruntime.__file__).parent / "capi" / f"libonnxruntime_providers_{provider.name}.so"
        try:
            ctypes.CDLL(str(library))
        except OSError as error:
            text = str(error)
            if "libcuda.so" in text:
                return cuda.explained(text)
            return f"{text}: ONNX Runtime's {provider.name} misses a library; {install('cuda')}"
        return "ONNX Runtime cannot use the GPU; see nvidia-smi"
    return "ONNX Runtime cannot load it; its driver or a library is missing"


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """ONNX Runtime prints and logs what it then raises, or what is found out anyway."""
    onnxruntime.set_default_logger_severity(4)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        onnxruntime.set_default_logger_severity(2)


def run(session: onnxruntime.InferenceSession, magnitude: np.ndarray, sources: int) -> np.ndarray:
    """Run the network: (frames, batch, channels, bins) to (sources, frames, batch, channels, bins).

    The magnitude goes to the device once, and each estimate comes back once, to where it belongs: one output
    of all would be a copy of them.
    """
    estimate = np.empty((sources, *magnitude.shape), np.float32)
    binding = session.io_binding()
    binding.bind_cpu_input("magnitude", magnitude)
    for index, part in enumerate(estimate):
        binding.bind_ortvalue_output(f"estimate{index}", onnxruntime.OrtValue.ortvalue_from_numpy(part))
    session.run_with_iobinding(binding)
    return estimate


def judged(path: Path, provider: Provider, config: ModelConfig, memory: Path | None = None) -> Verdict:
    """Try a provider on noise beside the CPU, or remember what came of it.

    Parameters
    ----------
    path : Path
        The graph.
    provider : Provider
    config : ModelConfig
    memory : Path, optional
        A file for the verdicts of this graph, by provider and version of ONNX Runtime.
    """
    key = f"{provider.name} {sorted(provider.options.items())} {onnxruntime.__version__}"
    known: dict[str, Verdict] = {}
    if memory is not None:
        with contextlib.suppress(OSError, XumxError):
            known = jsonfile.read(memory, dict[str, Verdict])
    if key in known:
        return known[key]
    verdict = _tried(path, provider, config)
    # What keeps a provider from starting may be mended at any time; so it is looked at each time.
    if memory is not None and not verdict.problem:
        written = {name: asdict(one) for name, one in {**known, key: verdict}.items()}
        with contextlib.suppress(WriteError), replacing(memory) as new:
            new.write_text(json.dumps(written), encoding="utf-8")
    return verdict


def _tried(path: Path, provider: Provider, config: ModelConfig) -> Verdict:
    shape = (FRAMES, 1, config.nb_channels, config.bins)
    noise = np.random.default_rng(0).exponential(3, shape).astype(np.float32)
    sources = len(config.sources)
    with aside(tempfile.gettempdir()) as folder:
        try:
            session = open_session(path, provider, profile=folder / "profile")
            found, seconds = _timed(session, noise, sources)
            left = _left(Path(session.end_profiling()))
        except XumxError as error:
            return Verdict(problem=str(error))
        except Exception as error:
            return Verdict(problem=f"`context` {provider}: {_told(error)}; or use `context` cpu")
    del session
    expected, cpu_seconds = _timed(open_session(path, None), noise, sources)
    far = float(np.abs(found - expected).max() / max(expected.max(), 1e-30))
    return Verdict("", far if np.isfinite(far) else 1e9, seconds, cpu_seconds, left)


def _timed(
    session: onnxruntime.InferenceSession, noise: np.ndarray, sources: int
) -> tuple[np.ndarray, float]:
    """The estimates, and the seconds of a second call."""
    run(session, noise, sources)
    began = time.perf_counter()
    return run(session, noise, sources), time.perf_counter() - began


def _left(profile: Path) -> list[str]:
    """Heavy operators that a profile has on the CPU."""
    events = json.loads(profile.read_text(encoding="utf-8"))
    ran = [event.get("args", {}) for event in events if event.get("cat") == "Node"]
    on_cpu = {args["op_name"] for args in ran if args.get("provider") == CPU}
    return sorted(name for name in on_cpu if name.startswith(HEAVY))


def verdict_line(provider: Provider, verdict: Verdict, precision: str = "float32") -> str:
    """What speaks against a provider: it is not there, is wrong, or leaves the work to the CPU; else ""."""
    if verdict.problem:
        return verdict.problem
    if not verdict.error <= TOLERANCE[precision]:
        return (
            f"`context` {provider}: its estimates differ from the CPU's by {verdict.error:.2g} of the peak; "
            "use `context` cpu"
        )
    if verdict.left:
        return f"`context` {provider}: it leaves {listing(verdict.left)} to the CPU"
    return ""
