"""The network in NNabla, on the CPU or on a GPU with cuDNN."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import nnabla as nn
import numpy as np
from nnabla.ext_utils import get_extension_context

from xumx.base.errors import XumxError, install
from xumx.graph import model, ops_for
from xumx.network.weights import Weights

_GRAPHS = 2  # one for full chunks and one for the last of a song


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
        self._ops = ops_for(context)
        try:
            self._context = get_extension_context(context, device_id=device_id)
        except Exception as error:  # NNabla raises whatever its extension's import did
            raise XumxError(
                f"--context {context}: NNabla cannot use it ({str(error).splitlines()[0]}); "
                f"{install('gpu')}, or use --context cpu"
            ) from None
        self._scope: OrderedDict[str, Any] = OrderedDict()
        self._graphs: OrderedDict[tuple[int, ...], tuple[nn.Variable, list[nn.Variable]]] = OrderedDict()
        with self._lock, nn.context_scope(self._context), nn.parameter_scope("network", self._scope):
            model.set_weights(weights)

    def __call__(self, magnitude: np.ndarray) -> np.ndarray:
        with self._lock, nn.context_scope(self._context):
            x, estimates = self._graph(magnitude.shape)
            x.d = magnitude
            nn.forward_all(estimates, clear_buffer=True)
            return np.stack([estimate.d for estimate in estimates])

    def _graph(self, shape: tuple[int, ...]) -> tuple[nn.Variable, list[nn.Variable]]:
        if shape not in self._graphs:
            while len(self._graphs) >= _GRAPHS:
                self._graphs.popitem(last=False)
            with nn.parameter_scope("network", self._scope), nn.auto_forward(False), nn.no_grad():
                x = nn.Variable(shape)
                x.persistent = True
                estimates = model.estimates(x, self.config, self._ops)
                for estimate in estimates:
                    estimate.persistent = True
            self._graphs[shape] = x, estimates
        self._graphs.move_to_end(shape)
        return self._graphs[shape]


def cudnn_problem(device_id: str) -> str | None:
    """Why NNabla does not compute on this GPU; None if it does."""
    try:
        with nn.context_scope(get_extension_context("cudnn", device_id=device_id)):
            one = nn.NdArray.from_numpy_array(np.ones(1, np.float32))
            found = (one + one).data[0]
    except Exception as error:  # no driver, no such device, another CUDA: each raises its own
        return next(iter(str(error).splitlines()), "") or type(error).__name__
    return None if found == 2 else f"1 + 1 is {found} there"
