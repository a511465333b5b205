"""The network in NNabla, on the CPU or on a GPU with cuDNN."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from types import ModuleType
from typing import Any

import nnabla as nn
import numpy as np
from nnabla.ext_utils import get_extension_context

from xumx.base.errors import XumxError, install
from xumx.engines import cuda
from xumx.graph import model, ops_for
from xumx.network.config import ModelConfig
from xumx.network.weights import Weights


class NnablaEngine:
    """A network of any architecture as a static NNabla graph.

    Calls from several threads take turns: NNabla's context and parameter scope are global.

    Parameters
    ----------
    weights : Weights
        Not kept.
    context : 'cpu' or 'cudnn'
    device_id : str
        The GPU.

    Raises
    ------
    XumxError
        If the context is not there.
    """

    _lock = threading.Lock()

    def __init__(self, weights: Weights, *, context: str = "cpu", device_id: str = "0") -> None:
        self.config = weights.config
        self._context = open_context(context, device_id)
        scope: dict[str, Any] = {}
        self._graph = _graphs(scope, self.config, ops_for(context))
        with self._lock, nn.context_scope(self._context), nn.parameter_scope("network", scope):
            model.set_weights(weights)

    def __call__(self, magnitude: np.ndarray) -> np.ndarray:
        with self._lock, nn.context_scope(self._context):
            try:
                x, estimates = self._graph(magnitude.shape)
                x.d = magnitude
                nn.forward_all(estimates, clear_buffer=True)
                return np.stack([estimate.d for estimate in estimates])
            except Exception as error:
                raise out_of_memory(error, "a smaller `chunk_dur`") or error from None


def _graphs(
    scope: dict[str, Any], config: ModelConfig, ops: ModuleType
) -> Callable[[tuple[int, ...]], tuple[nn.Variable, list[nn.Variable]]]:
    """Make what builds the graph of an input's shape from the parameters in ``scope``, and keeps the last."""

    @lru_cache(maxsize=2)  # full chunks, and the last of a song
    def graph(shape: tuple[int, ...]) -> tuple[nn.Variable, list[nn.Variable]]:
        with nn.parameter_scope("network", scope), nn.auto_forward(False), nn.no_grad():
            x = nn.Variable(shape)
            x.persistent = True
            estimates = model.estimates(x, config, ops)
            for estimate in estimates:
                estimate.persistent = True
        return x, estimates

    return graph


def out_of_memory(error: Exception, remedy: str, needs: str = "") -> XumxError | None:
    """What to raise if an error of a device means that its memory is full; None if it is another."""
    more = cuda.asked(error)
    if more is None:
        return None
    what = f"{more} more were asked for" if more else cuda.shortened(error)
    return XumxError(f"the device has no memory left ({what}{needs}); give {remedy}")


def open_context(context: str, device_id: str) -> nn.Context:
    """Make the NNabla context of a name and, of a GPU, its number.

    Raises
    ------
    XumxError
        If it is not there.
    """
    if context == "cpu":
        return get_extension_context("cpu")
    try:
        cuda.import_extension()
        return get_extension_context(context, device_id=device_id)
    except Exception as error:  # NNabla raises whatever its extension's import did
        advice = "" if cuda.installed() else f"; {install('gpu')}"
        raise XumxError(
            f"`context` {context}: NNabla cannot use GPU {device_id}: {cuda.explained(error)}{advice}, "
            "or use `context` cpu"
        ) from None


def cudnn_problem(device_id: str) -> str | None:
    """Say why NNabla does not compute on this GPU; None if it does."""
    try:
        cuda.import_extension()
        with nn.context_scope(get_extension_context("cudnn", device_id=device_id)):
            one = nn.NdArray.from_numpy_array(np.ones(1, np.float32))
            found = (one + one).data[0]
    except Exception as error:  # no driver, no such device, another CUDA: each raises its own
        return cuda.explained(error)
    return None if found == 2 else f"1 + 1 is {found} there"
