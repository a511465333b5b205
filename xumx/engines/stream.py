"""The network on a stream: frame by frame, with the state of its LSTMs handed from one call to the next."""

from __future__ import annotations

import numpy as np
import onnxruntime

from xumx.base.errors import UsageError
from xumx.engines import graphs, providers
from xumx.engines.base import states
from xumx.engines.graphs import STREAM, Stored
from xumx.network.config import ModelConfig
from xumx.network.weights import Weights

PRECISIONS = ("float32", "int8")


class StreamEngine:
    """A unidirectional network in ONNX Runtime, on one core. Several streams may use it at once.

    A frame reads all weights from memory once, and little else happens. More threads would wait for the next
    frame at full speed, and take as many cores in whole.

    Parameters
    ----------
    network : Weights or Stored
        Not kept.
    name : str
        What the network is called in messages.
    precision : 'float32' or 'int8'
        int8 is a quarter of the bytes, and of the time of large networks. What meets the weights is quantised
        by the range of its frame.

    Attributes
    ----------
    config : ModelConfig
    level : float
        See :attr:`xumx.network.weights.Weights.level`.

    Raises
    ------
    UsageError
        For a network that looks ahead, and a precision that is none of these.
    XumxError
        If there is nowhere to write its graph.
    """

    def __init__(
        self,
        network: Weights | Stored,
        name: str = "the network",
        precision: str = "float32",
    ) -> None:
        self.config: ModelConfig = network.config
        self.level = network.level
        if not self.config.unidirectional:
            raise UsageError(
                f"{name} hears the future too: `live` needs a network that was trained with `unidirectional`"
            )
        if precision not in PRECISIONS:
            raise UsageError(f"`precision` {precision}: `live` computes in {' or '.join(PRECISIONS)}")
        self._session = self._opened(network, precision + STREAM)
        self._names = [f"estimate{i}" for i in range(len(self.config.sources))]

    def _opened(self, network: Weights | Stored, precision: str) -> onnxruntime.InferenceSession:
        with graphs.graph(network, precision) as path:
            try:
                return providers.open_session(path, None, threads=1)
            except Exception:  # ONNX Runtime's own, of many kinds: a file in the cache that is damaged
                if not isinstance(network, Stored):
                    raise
        network.forget(precision)
        with graphs.graph(network, precision) as path:
            return providers.open_session(path, None, threads=1)

    def begin(self, batch: int = 1) -> np.ndarray:
        """Make the state before the first frame: zeros, float32 (states, batch, LSTM size)."""
        return np.zeros((states(self.config), batch, self.config.lstm_size), np.float32)

    def __call__(self, magnitude: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Estimate every source's magnitude in the next frames.

        Parameters
        ----------
        magnitude : float32 array (frames, batch, channels, bins)
            The mixture's, not negative, unscaled STFT.
        state : float32 array (states, batch, LSTM size)
            What the call before gave, or :meth:`begin`.

        Returns
        -------
        estimate : float32 array (sources, frames, batch, channels, bins)
        state : float32 array (states, batch, LSTM size)
            For the next call.
        """
        *estimate, state = self._session.run(
            [*self._names, "after"], {"magnitude": magnitude, "before": state}
        )
        return np.stack(estimate), state
