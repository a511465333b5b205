"""When the learning rate falls and when training ends, by the validation loss of each epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass


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
