"""What an engine is: the network alone, from the mixture's magnitude to the sources' magnitudes."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from xumx.network.config import ModelConfig


class Engine(Protocol):
    """One network ready to run. May be called from several threads at once."""

    config: ModelConfig

    def __call__(self, magnitude: np.ndarray) -> np.ndarray:
        """Estimate every source's magnitude.

        Parameters
        ----------
        magnitude : float32 array (frames, batch, channels, bins)
            The mixture's, not negative, unscaled STFT.

        Returns
        -------
        float32 array (sources, frames, batch, channels, bins)
            In the order of ``config.sources``.
        """
        ...


def states(config: ModelConfig) -> int:
    """Count what the LSTMs of a unidirectional network keep from frame to frame.

    Of each layer, and each source that has LSTMs of its own, an output and a cell.

    Examples
    --------
    >>> states(ModelConfig(unidirectional=True)), states(ModelConfig(arch="joint", unidirectional=True))
    (24, 6)
    """
    return 2 * config.nb_layers * (1 if config.arch == "joint" else len(config.sources))
