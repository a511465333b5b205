"""Losses of the registry on given masks and targets, and their gradients with respect to the masks."""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Any

import nnabla as nn
import numpy as np

from tests.networks import random_weights, small_config
from xumx.graph import losses
from xumx.graph.inputs import Inputs
from xumx.graph.losses.adversarial import create_discriminators, discriminate
from xumx.graph.losses.features import frozen_encoders
from xumx.graph.ops import stock as stock_ops

CONFIG = small_config()


class Scene:
    """What losses look at.

    masks (sources, frames, batch, channels, bins), targets (sources, batch, channels, samples); the mixture
    (batch, channels, samples) is the sum of the targets unless it is given.
    """

    def __init__(
        self, masks: np.ndarray, targets: np.ndarray, ops: ModuleType, mixture: np.ndarray | None = None
    ) -> None:
        _, batch, _, samples = targets.shape
        self.ops, by_nnabla = ops, ops is stock_ops
        self.inputs = Inputs(
            CONFIG, batch, samples, waveforms=True, agreements=True, residual=True, by_nnabla=by_nnabla
        )
        mixture = targets.sum(axis=0) if mixture is None else mixture
        self.inputs.feed(mixture.swapaxes(1, 2), targets.transpose(1, 0, 3, 2))
        self.masks = [nn.Variable(m.shape, need_grad=True) for m in masks]
        for variable, values in zip(self.masks, masks, strict=True):
            variable.d = values
            variable.persistent = True
        estimates = [m * self.inputs.mixture for m in self.masks]
        synthesis = partial(ops.synthesis, n_fft=CONFIG.n_fft, n_hop=CONFIG.n_hop)
        waveforms = [synthesis(e, self.inputs.cos, self.inputs.sin) for e in estimates]
        self.signals = {
            "mask": (self.masks, self.inputs.targets),
            "magnitude": (estimates, self.inputs.targets),
            "waveform": (waveforms, self.inputs.target_waveforms),
        }
        create_discriminators(CONFIG, np.random.RandomState(0))

    def value_and_gradient(self, name: str) -> tuple[float, np.ndarray]:
        """The loss, and its gradient in the shape of the masks."""
        loss = losses.LOSSES[name]
        y = loss.function(*self.signals[loss.domain], *map(self._extra, loss.extras), self.ops)
        assert y.shape == ()
        for mask in self.masks:
            mask.grad.zero()
        y.forward(clear_no_need_grad=True)
        value = float(y.d)
        y.backward(clear_buffer=True)
        return value, np.stack([mask.g for mask in self.masks])

    def _extra(self, name: str) -> Any:
        if name == "critics":
            return [partial(discriminate, source=source, frozen=True) for source in CONFIG.sources]
        if name == "encoders":
            return frozen_encoders(random_weights(CONFIG), CONFIG, "the network")
        return getattr(self.inputs, name)
