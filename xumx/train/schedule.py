"""The learning rate, by the samples of a step and the validation loss of each epoch; when training ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

BATCH = 16
"""Samples of a step that the published learning rate is for."""

SCALINGS = ("linear", "sqrt", "none")


def scale(scaling: str, samples: int) -> float:
    """What the learning rate is multiplied with when a step learns from other than 16 samples.

    Parameters
    ----------
    scaling : 'linear', 'sqrt' or 'none'
        Proportional to the samples of a step (Goyal et al. 2017, arXiv:1706.02677), to their square root
        (Krizhevsky 2014, arXiv:1404.5997), or not at all.
    samples : int
        Of a step, over all processes.
    """
    power = {"linear": 1.0, "sqrt": 0.5, "none": 0.0}[scaling]
    return (samples / BATCH) ** power


def warmth(epochs: float, warmup: float) -> float:
    """Share of the learning rate at a time, in epochs, of a run that warms up: it grows evenly to 1."""
    return min(epochs / warmup, 1.0) if warmup else 1.0


SCHEDULES = ("plateau", "cosine")


def cosine(epochs: float, total: int) -> float:
    """Share of the learning rate at a time, in epochs, of a run that falls to 0 along half a cosine.

    Loshchilov & Hutter 2017 (arXiv:1608.03983), eq. 5, without restarts.

    Examples
    --------
    >>> [round(cosine(epochs, 8), 3) for epochs in (0, 2, 4, 8)]
    [1.0, 0.854, 0.5, 0.0]
    """
    return (1 + math.cos(math.pi * min(epochs / total, 1.0))) / 2


@dataclass
class Plateau:
    """Lowers the learning rate when the loss has stopped falling.

    Parameters
    ----------
    rate : float
        The learning rate now.
    factor : float
        What it is multiplied with.
    patience : int
        Epochs without a new best that are accepted in a row; the next one lowers the rate.
    cooldown : int
        Epochs after that in which bad ones do not count.
    threshold : float
        Share of the best loss by which another must be less to be a new best.
    """

    rate: float
    factor: float = 0.3
    patience: int = 80
    cooldown: int = 10
    threshold: float = 1e-4
    best: float = math.inf
    bad_epochs: int = 0
    cooling: int = 0

    def step(self, loss: float) -> float:
        """Take the loss of an epoch; the rate for the next one. NaN is a bad epoch, never a best one."""
        # A share of the magnitude, so that a negative loss is not its own improvement.
        if loss < self.best - self.threshold * (abs(self.best) if self.best < math.inf else 0):
            self.best, self.bad_epochs = loss, 0
        else:
            self.bad_epochs += 1
        if self.cooling:
            self.cooling -= 1
            self.bad_epochs = 0
        if self.bad_epochs > self.patience:
            self.rate *= self.factor
            self.cooling, self.bad_epochs = self.cooldown, 0
        return self.rate


@dataclass
class EarlyStopping:
    """Keeps the best loss, and ends training when there was no better one for long.

    Parameters
    ----------
    patience : int
        Epochs in a row without a new best after which training ends; 0 for never.
    """

    patience: int = 140
    best: float = math.inf
    best_epoch: int = -1
    bad_epochs: int = 0

    def step(self, epoch: int, loss: float) -> bool:
        """Take the loss of an epoch; whether it is the best so far. NaN never is."""
        better = loss < self.best
        if better:
            self.best, self.best_epoch, self.bad_epochs = loss, epoch, 0
        else:
            self.bad_epochs += 1
        return better

    @property
    def over(self) -> bool:
        return 0 < self.patience <= self.bad_epochs
