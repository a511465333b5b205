"""From a batch of audio to the loss: inputs, network and losses as one graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from operator import add
from types import ModuleType
from typing import Any

import nnabla as nn
import numpy as np

from xumx.graph import losses
from xumx.graph.inputs import Inputs
from xumx.graph.losses import Term
from xumx.graph.losses.adversarial import discriminate
from xumx.graph.losses.features import Encoders
from xumx.graph.model import estimates
from xumx.graph.ops import stock as stock_ops
from xumx.network.config import ModelConfig


class Objective:
    """Sum losses, each with its weight, for one shape of batch.

    Takes its parameters from the current scope, those of discriminators included.

    Parameters
    ----------
    config : ModelConfig
    batch, samples : int
        Shape of the audio.
    ops : module
        See :func:`xumx.graph.ops_for`; with NNabla's own, spectra are computed by NNabla too.
    mcoef : float
        Weight of the time-domain loss, for X-UMX, if there are no ``terms``.
    rng : Generator, optional
        As in :func:`xumx.graph.model.estimates`: given for training, not given for validation.
    terms : sequence of Term, optional
        What to sum, as :func:`xumx.graph.losses.terms` gives it. By default what the networks were published
        with: of X-UMX ``mcoef · SDR + MSE`` (combination losses), of UMX the MSE.
    encoders : list, optional
        Those of a frozen network, for deep features; see
        :func:`xumx.graph.losses.features.frozen_encoders`.
    keep : bool
        Let the magnitudes be there after :meth:`forward`.
    through_filter : bool
        Waveforms are what an iteration of the Wiener filter gives, not magnitudes with the mixture's phase.

    Attributes
    ----------
    loss : Variable ()
    terms : dict of str to Variable ()
        What the loss is the weighted sum of, by its labels; empty if it is a single loss as it is.
    inputs : Inputs
    magnitudes : list of Variable (frames, batch, channels, bins)
        The estimates.

    Examples
    --------
    >>> from xumx.graph.ops import cpu as cpu_ops
    >>> config = ModelConfig(n_fft=64, n_hop=16, hidden_size=4, max_bin=20)
    >>> with nn.parameter_scope("", {}):
    ...     objective = Objective(config, 1, 800, cpu_ops)
    >>> targets = np.random.default_rng(0).normal(size=(1, 4, 800, 2)).astype(np.float32)
    >>> objective.feed(targets.sum(axis=1), targets)
    >>> loss = objective.forward()
    >>> list(objective.values()), bool(np.isfinite(loss))
    (['time', 'frequency'], True)
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
        terms: Sequence[Term] | None = None,
        encoders: Encoders | None = None,
        keep: bool = False,
        through_filter: bool = False,
    ) -> None:
        if terms is None:
            terms = losses.terms(losses.default(config.arch), mcoef)
        domains = {term.loss.domain for term in terms}
        extras = {name for term in terms for name in term.loss.extras}
        waveforms = "waveform" in domains
        # UMX is trained, but not validated, on frames that all lie within the excerpt, as it always was. From
        # those there is no way back to a waveform.
        center = not config.independent or waveforms or rng is None
        self.inputs = inputs = Inputs(
            config,
            batch,
            samples,
            center=center,
            waveforms=waveforms,
            agreements="agreements" in extras,
            residual="residual" in extras,
            by_nnabla=ops is stock_ops,
        )
        signals: dict[str, Any] = {}
        if "mask" in domains:
            masks = estimates(inputs.mixture, config, ops, rng=rng, bare=True)
            signals["mask"] = masks, inputs.targets
            self.magnitudes = [mask * inputs.mixture for mask in masks]
        else:
            self.magnitudes = estimates(inputs.mixture, config, ops, rng=rng)
        signals["magnitude"] = self.magnitudes, inputs.targets
        if waveforms:
            size = {"n_fft": config.n_fft, "n_hop": config.n_hop}
            if through_filter:
                mixture = inputs.mixture, inputs.cos, inputs.sin
                found = ops.filtered_synthesis(self.magnitudes, *mixture, **size)
            else:
                found = [ops.synthesis(m, inputs.cos, inputs.sin, **size) for m in self.magnitudes]
            signals["waveform"] = found, inputs.target_waveforms
        more = {"encoders": encoders, "critics": _frozen_critics(config)}
        values = []
        for term in terms:
            given = (more[name] if name in more else getattr(inputs, name) for name in term.loss.extras)
            values.append(term.loss.function(*signals[term.loss.domain], *given, ops))
        pairs = zip(terms, values, strict=True)
        self.loss = reduce(add, (v if term.weight == 1 else term.weight * v for term, v in pairs))
        self.terms = dict(zip(losses.labels(terms), values))
        self._kept = self.magnitudes if keep else []
        for variable in (self.loss, *self.terms.values(), *self._kept):
            variable.persistent = True

    def feed(self, mixture: np.ndarray, targets: np.ndarray) -> None:
        """Take a batch: float32 (batch, samples, channels) and (batch, sources, samples, channels)."""
        self.inputs.feed(mixture, targets)

    def forward(self) -> float:
        """Compute the loss of the batch taken last."""
        if self._kept:
            nn.forward_all([self.loss, *self._kept], clear_no_need_grad=True)
        else:
            self.loss.forward(clear_no_need_grad=True)
        return float(self.loss.d)

    def values(self) -> dict[str, float]:
        """Give the terms of the loss that :meth:`forward` gave."""
        return {name: float(term.d) for name, term in self.terms.items()}


def shortest(config: ModelConfig) -> int:
    """Count the samples below which there is no loss: a frame, and something between the trimmed ends.

    Examples
    --------
    >>> shortest(ModelConfig()), shortest(ModelConfig(n_fft=64, n_hop=16, max_bin=20))
    (4096, 432)
    """
    return max(config.n_fft, 2 * (losses.TRIM + config.n_hop))


def _frozen_critics(config: ModelConfig) -> list[Callable[[nn.Variable], nn.Variable]]:
    return [partial(discriminate, source=source, frozen=True) for source in config.sources]
