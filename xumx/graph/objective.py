"""From a batch of audio to the loss: inputs, network and losses as one graph."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from xumx.config import ModelConfig
from xumx.graph import losses, stock_ops
from xumx.graph.inputs import Inputs
from xumx.graph.model import estimates


class Objective:
    """The loss of one shape of batch: of X-UMX ``mcoef · SDR + MSE`` (combination losses), else the MSE.

    Takes its parameters from the current scope.

    Parameters
    ----------
    config : ModelConfig
    batch, samples : int
        Shape of the audio.
    ops : module
        See :func:`xumx.graph.ops_for`; with NNabla's own, spectra are computed by NNabla too.
    mcoef : float
        Weight of the time-domain loss, for X-UMX.
    rng : Generator, optional
        As in :func:`xumx.graph.model.estimates`: given for training, not given for validation.

    Attributes
    ----------
    loss : Variable ()
    terms : dict of str to Variable ()
        What the loss of X-UMX is the sum of, before its weights: 'time' and 'frequency'.
    """

    def __init__(
        self,
        config: ModelConfig,
        batch: int,
        samples: int,
        ops: ModuleType,
        *,
        mcoef: float = 10.0,
        rng: np.random.Generator | None = None,
    ) -> None:
        # UMX is trained, but not validated, on frames that all lie within the excerpt, as it always was.
        center = not config.independent or rng is None
        self._inputs = inputs = Inputs(
            config, batch, samples, center=center, waveforms=config.crossing, by_nnabla=ops is stock_ops
        )
        magnitudes = estimates(inputs.mixture, config, ops, rng=rng)
        if config.crossing:
            waveforms = [
                ops.synthesis(m, inputs.cos, inputs.sin, n_fft=config.n_fft, n_hop=config.n_hop)
                for m in magnitudes
            ]
            frequency = losses.combination_mse(magnitudes, inputs.targets, ops)
            time = losses.combination_sdr(waveforms, inputs.target_waveforms, inputs.residual_waveform, ops)
            self.loss = mcoef * time + frequency
            self.terms = {"time": time, "frequency": frequency}
        else:
            self.loss = losses.mse(magnitudes, inputs.targets, ops)
            self.terms = {}
        for variable in (self.loss, *self.terms.values()):
            variable.persistent = True

    def feed(self, mixture: np.ndarray, targets: np.ndarray) -> None:
        """Take a batch of audio: (batch, channels, samples) and (batch, sources, channels, samples)."""
        self._inputs.feed(mixture, targets)

    def forward(self) -> float:
        """The loss of the batch taken last."""
        self.loss.forward(clear_no_need_grad=True)
        return float(self.loss.d)

    def values(self) -> dict[str, float]:
        """The terms of the loss that :meth:`forward` gave."""
        return {name: float(term.d) for name, term in self.terms.items()}


def shortest(config: ModelConfig) -> int:
    """Samples below which there is no loss: a frame, and something left between the trimmed ends."""
    return max(config.n_fft, 2 * (losses.TRIM + config.n_hop))
