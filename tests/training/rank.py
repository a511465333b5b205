"""``python -m tests.training.rank CHANGES OPTIONS``: xumx.train with something changed, under mpirun or not.

CHANGES are names of functions below, separated by commas. What needs NNabla is imported late, as training
itself does.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Set = Callable[[Any, str, Any], None]
"""setattr, or monkeypatch.setattr."""


def plain(change: Set) -> None:
    """No dropout, and batch norm by its running statistics: the gradient of a batch is a mean of samples'."""
    from xumx.graph import model

    kept = {"batch_stat": False, "decay": model.BN_DECAY, "eps": model.BN_EPS}
    change(model, "LSTM_DROPOUT", 0.0)
    change(model._Network, "statistics", property(lambda self: kept))


def unreadable(change: Set) -> None:
    """A track whose end no rank can read."""
    from xumx.data.recording import Recording
    from xumx.errors import AudioError

    read = Recording.read

    def broken(self: Recording, start: int, length: int) -> Any:
        if "Take 1" in str(self.path) and start + length > 40000:
            raise AudioError(f"{self.path}: cannot be decoded")
        return read(self, start, length)

    change(Recording, "read", broken)


def noted(change: Set) -> None:
    """Writes what a rank draws, and what it validates on, to files in the folder NOTES."""
    from xumx.data.pieces import Pieces
    from xumx.data.source import SampleStream

    sample, read = SampleStream.sample, Pieces._read

    def note(kind: str, line: str) -> None:
        with open(Path(os.environ["NOTES"]) / f"{kind}-{os.environ.get('PMI_RANK', 0)}", "a") as file:
            file.write(line + "\n")

    def drawn(self: SampleStream, epoch: int, position: int, out: Any = None) -> Any:
        note("samples", f"{epoch} {position * self.world + self.rank}")
        return sample(self, epoch, position, out)

    def heard(self: Pieces, piece: Any) -> Any:
        if self._targets:  # not for statistics
            note("pieces", f"{piece.track.name} {piece.start} {piece.length}")
        return read(self, piece)

    change(SampleStream, "sample", drawn)
    change(Pieces, "_read", heard)


def raising(change: Set) -> None:
    """Rank 1 fails at its third step."""
    _at_step(change, 3, 1, lambda trainer: [][0])


def drifting(change: Set) -> None:
    """Rank 1 has another parameter from its third step on, by the least that float32 knows."""

    def drift(trainer: Any) -> None:
        import numpy as np

        parameter = trainer._parameters["lstm_vocals/lstm/weight"]
        values = parameter.d.copy()
        values.flat[7] = np.nextafter(values.flat[7], np.float32(9))
        parameter.d = values

    _at_step(change, 3, 1, drift)


def elsewhere(change: Set) -> None:
    """Rank 1 finds a track less."""
    from xumx.training import tracks

    found = tracks.musdb_tracks
    change(tracks, "musdb_tracks", lambda *a, **k: found(*a, **k)[int(os.environ["PMI_RANK"]) :])


def stalling(change: Set) -> None:
    """Rank 0 takes five steps, and then waits to be killed."""
    _at_step(change, 6, 0, lambda trainer: time.sleep(100))


def _at_step(change: Set, number: int, rank: int, act: Callable[[Any], object]) -> None:
    from xumx.training.trainer import Trainer

    step, steps = Trainer._step, [0]

    def acting(self: Trainer, *batch: Any) -> Any:
        steps[0] += 1
        if steps[0] == number and self._communicator.rank == rank:
            act(self)
        return step(self, *batch)

    change(Trainer, "_step", acting)


def main() -> int:
    from xumx import train as command

    train = command._train

    def changed(*args: Any) -> int:
        logging.disable(logging.INFO)  # as training does before it imports NNabla
        for name in filter(None, sys.argv[1].split(",")):
            globals()[name](setattr)
        return train(*args)

    command._train = changed
    return command.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
