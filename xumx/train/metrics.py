"""What a run measures, step by step and epoch by epoch: ``metrics.csv``, and TensorBoard's files."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from xumx.base.errors import XumxError, install
from xumx.base.files import replacing, writing_to

NAME, BOARD = "metrics.csv", "tensorboard"


class Metrics:
    """Adds rows to ``metrics.csv``, and the same to TensorBoard's files if they are wanted.

    A row is one of a step, or one of an epoch, which has no step; both count from 1. The rows of steps that a
    run has taken and lost, since it goes on from before them, go.

    Parameters
    ----------
    folder : Path
        Of the run.
    names : sequence of str
        What is measured; a row may lack some.
    epoch, step : int
        How many epochs are over, and how many steps of the next.
    steps : int
        Of an epoch.
    board : bool
        Whether to write TensorBoard's files.

    Raises
    ------
    XumxError
        If something cannot be written; so do the methods.
    """

    def __init__(
        self, folder: Path, names: Sequence[str], epoch: int, step: int, steps: int, board: bool = False
    ) -> None:
        self._folder, self._steps = folder, steps
        path = folder / NAME
        kept = [row for row in _rows(path) if _done(row, epoch, step)]
        columns = dict.fromkeys(["epoch", "step", *(name for row in kept for name in row), *names])
        with replacing(path) as aside, open(aside, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(columns), restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(kept)
        self._board = _board(folder / BOARD, epoch * steps + step) if board else None
        with writing_to(folder):
            self._file = open(path, "a", newline="", encoding="utf-8", buffering=1)  # noqa: SIM115
        self._writer = csv.DictWriter(self._file, list(columns), restval="", extrasaction="ignore")

    def add(self, epoch: int, step: int | None, values: Mapping[str, float]) -> None:
        """Write a row of a step, or of a whole epoch, both counted from 1."""
        row: dict[str, Any] = {"epoch": epoch, "step": "" if step is None else step}
        with writing_to(self._folder):
            self._writer.writerow({**row, **{name: f"{value:.9g}" for name, value in values.items()}})
            if self._board:
                kind = "epoch" if step is None else "step"
                at = epoch * self._steps if step is None else (epoch - 1) * self._steps + step
                for name, value in values.items():
                    self._board.add_scalar(f"{kind}/{name}", value, at)
                if step is None:
                    self._board.flush()

    def __enter__(self) -> Metrics:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with writing_to(self._folder):
            self._file.close()
            if self._board:
                self._board.close()


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    try:
        with open(path, newline="", encoding="utf-8", errors="replace") as file:
            return [{k: v for k, v in row.items() if k is not None} for row in csv.DictReader(file)]
    except (OSError, csv.Error) as error:
        raise XumxError(f"{path}: cannot be read ({error}); move it away to go on without") from None


def _done(row: Mapping[str, str | None], epochs: int, steps: int) -> bool:
    """Whether a row is of what the run has not lost; a line that was cut off is not."""
    try:
        epoch, step = int(row["epoch"] or ""), int(row["step"] or 0)
    except (KeyError, ValueError):
        return False
    return epoch <= epochs or (epoch == epochs + 1 and 0 < step <= steps)


def _board(folder: Path, step: int) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise XumxError(f"`tensorboard` needs tensorboardX; {install('tensorboard')}") from None
    with writing_to(folder):
        return SummaryWriter(str(folder), purge_step=step + 1)
