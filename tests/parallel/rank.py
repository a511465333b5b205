"""``python -m tests.parallel.rank CHANGES OPTIONS``: xumx.train with something changed, under mpirun or not.

CHANGES are names of functions below, separated by commas. What needs NNabla is imported late, as training
itself does.
"""

from __future__ import annotations

import os
import signal
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

    made = model.OpenUnmix.__init__

    def kept(self: model.OpenUnmix, *args: Any, **options: Any) -> None:
        made(self, *args, **options)
        self.norm["batch_stat"] = False

    change(model, "LSTM_DROPOUT", 0.0)
    change(model.OpenUnmix, "__init__", kept)


def undrawn(change: Set) -> None:
    """No picture of the losses, which takes longer than the steps."""
    from xumx.train import record

    change(record, "draw_curve", lambda *_: None)


def unreadable(change: Set) -> None:
    """A track whose end no rank can read."""
    from xumx.base.errors import AudioError
    from xumx.data.recording import Recording

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
    from xumx.train import datasets as tracks

    found = tracks.musdb_tracks
    change(tracks, "musdb_tracks", lambda *a, **k: found(*a, **k)[int(os.environ["PMI_RANK"]) :])


def stalling(change: Set) -> None:
    """Rank 0 takes five steps, and then waits to be killed."""
    _at_step(change, 6, 0, lambda trainer: time.sleep(100))


def importing(change: Set) -> None:
    """SIGTERM when NNabla is imported."""

    class Finder:
        @staticmethod
        def find_spec(name: str, *_: Any) -> None:
            if name == "nnabla":
                signal.raise_signal(signal.SIGTERM)

    assert "nnabla" not in sys.modules
    sys.meta_path.insert(0, Finder)  # type: ignore[arg-type]


def reading(change: Set) -> None:
    """SIGTERM when the data are looked for."""
    from xumx.train import datasets as tracks

    _before(change, tracks, "musdb_tracks", signal.SIGTERM)


def counting(change: Set) -> None:
    """SIGTERM within statistics."""
    from xumx.train import statistics

    _before(change, statistics, "_blocks", signal.SIGTERM)


def building(change: Set) -> None:
    """SIGTERM in a function that NNabla calls while the graph is built."""
    from xumx.graph.ops.cpu.lstm import _LSTM

    _before(change, _LSTM, "setup_impl", signal.SIGTERM)


def again(change: Set) -> None:
    """SIGINT in a step, and a second later once more."""

    def twice(trainer: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        time.sleep(1)
        signal.raise_signal(signal.SIGINT)

    _at_step(change, 2, 0, twice)


def signalled(change: Set) -> None:
    """Rank 1 gets SIGTERM in its third step."""
    _at_step(change, 3, 1, lambda trainer: os.kill(os.getpid(), signal.SIGTERM))


def signalled_all(change: Set) -> None:
    """Both ranks get it, as their parents do, which pass it on."""
    for rank in (0, 1):
        _at_step(change, 3, rank, lambda trainer: os.kill(os.getppid(), signal.SIGTERM))
    signalled(change)


def _before(change: Set, place: Any, name: str, number: int) -> None:
    function = getattr(place, name)

    def sending(*args: Any, **options: Any) -> Any:
        signal.raise_signal(number)
        return function(*args, **options)

    change(place, name, sending)


def _at_step(change: Set, number: int, rank: int, act: Callable[[Any], object]) -> None:
    from xumx.train.trainer import Trainer

    step, steps = Trainer._step, [0]

    def acting(self: Trainer, *batch: Any) -> Any:
        steps[0] += 1
        if steps[0] == number and self._communicator.rank == rank:
            act(self)
        return step(self, *batch)

    change(Trainer, "_step", acting)


def main() -> int:
    from xumx.base.log import hush_nnabla
    from xumx.train import __main__ as command

    train = command._train

    def changed(*args: Any) -> int:
        hush_nnabla()
        for name in filter(None, sys.argv[1].split(",")):
            globals()[name](setattr)
        return train(*args)

    command._train = changed
    return command.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
