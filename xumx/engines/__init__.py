"""Engines run the network. :func:`create` chooses one; each is imported only when it is chosen."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from types import ModuleType

from xumx.base.errors import UsageError, XumxError
from xumx.base.log import hush_nnabla
from xumx.engines.base import Engine
from xumx.network.weights import Weights

ENGINES = ("auto", "onnx", "nnabla")
CONTEXTS = ("auto", "cpu", "cudnn")

logger = logging.getLogger(__name__)

__all__ = ["CONTEXTS", "ENGINES", "Engine", "automatic_context", "create", "default_context"]


def create(
    weights: Weights,
    engine: str = "auto",
    context: str = "auto",
    *,
    device_id: str | None = None,
    threads: int = 0,
) -> Engine:
    """Make the engine that runs ``weights``.

    Parameters
    ----------
    weights : Weights
    engine : 'auto', 'onnx' or 'nnabla'
        'auto' is NNabla on a GPU that it can use, and ONNX Runtime elsewhere.
    context : 'auto', 'cpu' or 'cudnn'
        Where to compute. 'auto' is the GPU if there is one that the engine can use.
    device_id : str, optional
        The GPU, for 'cudnn'; the first if not given.
    threads : int
        Threads that one call may use on the CPU; 0 for one a core.

    Raises
    ------
    UsageError
        For a name that is not one of these, ONNX Runtime with 'cudnn', or a device on the CPU.
    XumxError
        If the engine or the GPU is not there.
    """
    for option, value, known in (("`engine`", engine, ENGINES), ("`context`", context, CONTEXTS)):
        if value not in known:
            raise UsageError(f"{option} {value!r}: use one of {', '.join(known)}")
    if engine == "onnx" and context == "cudnn":
        raise UsageError("`engine` onnx runs on the CPU; use `engine` nnabla with `context` cudnn")
    if engine == "onnx" or (engine == "auto" and context == "cpu"):
        context = "cpu"
    elif context == "auto":
        context, problem = automatic_context(device_id or "0")
        if problem:
            logger.warning(problem)
    if context == "cpu" and device_id is not None:
        raise UsageError("`device_id` chooses a GPU, but the network runs on the CPU; leave the option out")
    if engine == "auto":
        engine = "nnabla" if context == "cudnn" else "onnx"

    if engine == "onnx":
        from xumx.engines.onnx import OnnxEngine

        return OnnxEngine(weights, threads=threads)
    if importlib.util.find_spec("nnabla") is None:
        raise XumxError("`engine` nnabla: NNabla is not installed; it needs Python 3.10 (pip install nnabla)")
    return _nnabla().NnablaEngine(weights, context=context, device_id=device_id or "0")


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
    extensions = importlib.util.find_spec("nnabla_ext")
    places = extensions.submodule_search_locations if extensions else None
    if not any(os.path.isdir(os.path.join(place, "cudnn")) for place in places or []):
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
