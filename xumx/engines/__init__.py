"""Engines run the network. :func:`create` chooses one; each is imported only when it is chosen."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Mapping
from types import ModuleType

from xumx.base.errors import UsageError, XumxError
from xumx.base.log import hush_nnabla
from xumx.engines import cuda
from xumx.engines.base import Engine
from xumx.engines.graphs import Stored
from xumx.network.weights import Weights

ENGINES = ("auto", "onnx", "nnabla")
CONTEXTS = ("auto", "cpu", "cudnn")
"""Of NNabla. ONNX Runtime has others by name, :data:`xumx.engines.providers.NAMES`."""

PRECISIONS = ("float32", "float16", "int8")

logger = logging.getLogger(__name__)

__all__ = [
    "CONTEXTS",
    "ENGINES",
    "PRECISIONS",
    "Engine",
    "Stored",
    "automatic_context",
    "create",
    "default_context",
]


def create(
    network: Weights | Stored,
    engine: str = "auto",
    context: str = "auto",
    *,
    device_id: str | None = None,
    threads: int = 0,
    precision: str = "float32",
    provider_options: Mapping[str, str] | None = None,
) -> Engine:
    """Make the engine that runs a network.

    Parameters
    ----------
    network : Weights or Stored
        A stored one keeps its graph in the cache, where a later start finds it.
    engine : 'auto', 'onnx' or 'nnabla'
        'auto' is ONNX Runtime, but for NNabla on a GPU that it alone can use.
    context : str
        Where to compute: 'cpu'; 'cudnn', by NNabla; or a provider of ONNX Runtime by its common name, such
        as 'cuda' or 'openvino'. 'auto' is the first provider that is right and faster than the CPU, else a
        GPU that NNabla can use, else the CPU, with a warning that says why.
    device_id : str, optional
        Which GPU, or which device of OpenVINO; the first if not given.
    threads : int
        Threads that one call may use on the CPU; 0 for one a core.
    precision : 'float32', 'float16' or 'int8'
        'int8' is for the CPU: LSTMs and matrices quantised once, half the time, and some hundredths of a dB.
        'float16' is for the providers of ONNX Runtime.
    provider_options : mapping of str to str, optional
        Options of the provider, as ONNX Runtime documents them.

    Raises
    ------
    UsageError
        For a name that is not one of these, or what does not go together.
    XumxError
        If the engine or the device is not there, or computes something else than the CPU.
    """
    _check_choice(engine, context, precision, device_id, provider_options)
    given = tuple((provider_options or {}).items())
    if engine != "nnabla" and context not in CONTEXTS:
        from xumx.engines.onnx import OnnxEngine
        from xumx.engines.providers import Provider

        provider = Provider(context, device_id, given)
        return OnnxEngine(network, threads=threads, precision=precision, provider=provider)
    if context == "auto":
        found, context = _automatic(network, engine, threads, precision, device_id, given)
        if found is not None:
            return found
    if context == "cpu":
        _check_cpu(device_id, precision, given)
    if context == "cpu" and engine != "nnabla":
        from xumx.engines.onnx import OnnxEngine

        return OnnxEngine(network, threads=threads, precision=precision)
    if importlib.util.find_spec("nnabla") is None:
        raise XumxError("`engine` nnabla: NNabla is not installed; it needs Python 3.10 (pip install nnabla)")
    weights = network.weights if isinstance(network, Stored) else network
    return _nnabla().NnablaEngine(weights, context=context, device_id=device_id or "0")


def _check_choice(
    engine: str,
    context: str,
    precision: str,
    device_id: str | None,
    provider_options: Mapping[str, str] | None,
) -> None:
    """Refuse names that are none, and what can never go together."""
    if engine not in ENGINES:
        raise UsageError(f"`engine` {engine!r}: use one of {', '.join(ENGINES)}")
    if precision not in PRECISIONS:
        raise UsageError(f"`precision` {precision!r}: use one of {', '.join(PRECISIONS)}")
    if context not in CONTEXTS:
        from xumx.engines.providers import NAMES

        if context not in NAMES:
            raise UsageError(f"`context` {context!r}: use one of {', '.join((*CONTEXTS, *NAMES))}")
        if engine == "nnabla":
            raise UsageError(
                f"`engine` nnabla computes on cpu or cudnn; `context` {context} is for `engine` onnx"
            )
    if engine == "onnx" and context == "cudnn":
        raise UsageError("`context` cudnn is for `engine` nnabla; `engine` onnx has cuda instead")
    if engine == "nnabla" or context == "cudnn":
        if precision != "float32":
            raise UsageError(f"`precision` {precision} is for `engine` onnx; NNabla computes in float32")
        if provider_options:
            raise UsageError("`provider_option` is for `engine` onnx; NNabla has no such options")
    if precision == "int8" and context not in ("auto", "cpu"):
        raise UsageError(f"`precision` int8 is for the CPU; use float32 or float16 with `context` {context}")


def _check_cpu(device_id: str | None, precision: str, given: tuple[tuple[str, str], ...]) -> None:
    """Refuse what does nothing on the CPU, also where 'auto' came to it."""
    if device_id is not None:
        raise UsageError("`device_id` chooses a GPU, but the network runs on the CPU; leave the option out")
    if given:
        raise UsageError("`provider_option` is for a `context` such as cuda, but the network runs on the CPU")
    if precision == "float16":
        raise UsageError("`precision` float16 is for GPUs; the CPU computes in float32 or int8")


def _automatic(
    network: Weights | Stored,
    engine: str,
    threads: int,
    precision: str,
    device_id: str | None,
    given: tuple[tuple[str, str], ...],
) -> tuple[Engine | None, str]:
    """The engine on a provider of ONNX Runtime that 'auto' comes to; else None, and 'cpu' or 'cudnn'."""
    if precision == "int8":
        return None, "cpu"
    if engine != "nnabla":
        from xumx.engines.onnx import automatic

        found = automatic(network, threads=threads, precision=precision, device_id=device_id, given=given)
        if found is not None or engine == "onnx" or precision != "float32":
            return found, "cpu"
    context, problem = automatic_context(device_id or "0")
    if problem:
        logger.warning("%s", problem)
    return None, context


def default_context() -> tuple[str, str | None]:
    """Read the context and GPU that the program has set in NNabla; ('auto', None) if it does not use it."""
    nnabla = sys.modules.get("nnabla")
    if nnabla is None:
        return "auto", None
    context = nnabla.get_current_context()
    if any(backend.startswith("cudnn") for backend in context.backend):
        return "cudnn", context.device_id
    return "cpu", None


def automatic_context(device_id: str) -> tuple[str, str | None]:
    """Decide what context 'auto' is: 'cudnn' if NNabla computes on this GPU, else 'cpu'.

    And, where NNabla's extension is installed but cannot be used, a line that says why not.
    """
    # Looked for first, so that a machine without the extension never pays for importing NNabla.
    if not cuda.installed():
        return "cpu", None
    why = _nnabla().cudnn_problem(device_id)
    if why is None:
        return "cudnn", None
    return "cpu", f"NNabla's extension for GPUs is there, but GPU {device_id} fails ({why}); the CPU is used"


def _nnabla() -> ModuleType:
    """NNabla's engine; the first import of NNabla greets otherwise."""
    hush_nnabla()
    from xumx.engines import nnabla

    return nnabla
