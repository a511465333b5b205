"""What a run tells people: lines, NNabla's monitor series, the loss curve, ``run.json``."""

from __future__ import annotations

import itertools
import json
import platform
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from nnabla.monitor import Monitor, MonitorSeries

from xumx.audio import Writer
from xumx.base.cores import usable_cores
from xumx.base.files import make_folder, replacing, writing_to
from xumx.graph.ops.cpu.base import THREADS
from xumx.network.config import ModelConfig
from xumx.parallel.communicator import Communicator
from xumx.train.metrics import Metrics
from xumx.train.options import TrainOptions
from xumx.train.schedule import BATCH
from xumx.train.validation import SDR, Verdict

_PACKAGES = (
    "xumx",
    "nnabla",
    "nnabla-ext-cuda120",
    "numpy",
    "scipy",
    "numba",
    "llvmlite",
    "h5py",
    "av",
    "soundfile",
)

SERIES = {
    "training loss": "training_loss",
    "validation loss": "validation_loss",
    "learning rate": "learning_rate",
    "best epoch": "best_epoch",
    "seconds per epoch": "seconds",
}
"""Name of each monitor series, and of what it shows in the history."""


class Record:
    """Writes a run's records into its folder.

    Parameters
    ----------
    folder : path
    arguments : mapping
        The run's options, for ``run.json``.
    history : sequence of mapping
        What earlier epochs reported, in a run that goes on: the series begin with it.
    processes : int
        How many train together.
    context : str
        Where they compute, for ``run.json``: the option may say 'auto'.
    metrics : Metrics, optional

    Raises
    ------
    XumxError
        If the folder cannot be written; so do the methods.
    """

    def __init__(
        self,
        folder: Path,
        arguments: Mapping[str, Any],
        history: Sequence[Mapping[str, Any]],
        processes: int = 1,
        context: str = "cpu",
        metrics: Metrics | None = None,
    ) -> None:
        self._metrics = metrics
        self._folder, self._arguments, self._processes = folder, arguments, processes
        self._context = context
        with writing_to(self._folder):
            monitor = Monitor(str(folder))
            self._series = {key: MonitorSeries(name, monitor, verbose=False) for name, key in SERIES.items()}
            for epoch in history:
                self._add(epoch)

    def update(self, history: Sequence[Mapping[str, Any]], state: str) -> None:
        """Take the newest epoch of the history; ``state`` says what the run does now."""
        with writing_to(self._folder):
            self._add(history[-1])
            if self._metrics:
                self._metrics.add(1 + history[-1]["epoch"], None, _measured(history[-1]))
            draw_curve(self._folder / "loss.png", history, self._arguments.get("lr_schedule") == "plateau")
            self._summarise(history, state)

    def step(self, epoch: int, step: int, values: Mapping[str, float], *more: float) -> None:
        """Take the losses of a step, both counted from 0, and what else is measured of it, as in `STEP`."""
        if self._metrics:
            measured = {**_named("training", values), **dict(zip(STEP, more, strict=True))}
            self._metrics.add(1 + epoch, 1 + step, measured)

    def _summarise(self, history: Sequence[Mapping[str, Any]], state: str) -> None:
        summary = {
            "state": state,
            "arguments": dict(self._arguments),
            "command": sys.argv,
            "processes": self._processes,
            "context": self._context,
            "versions": versions(),
            "host": {
                "name": socket.gethostname(),
                "system": platform.platform(),
                "processor": platform.processor() or platform.machine(),
                "cores": len(usable_cores().numbers),
            },
            "results": results(history),
            "history": [_counted(epoch) for epoch in history],
        }
        with replacing(self._folder / "run.json") as aside:
            aside.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")

    def _add(self, epoch: Mapping[str, Any]) -> None:
        for key, series in self._series.items():
            series.add(1 + epoch["epoch"], _counted(epoch)[key])


STEP = ("gradient_norm", "learning_rate", "seconds")
"""What is measured of a step beside its losses."""


def columns(terms: Sequence[str], adversarial: bool, options: TrainOptions) -> list[str]:
    """Name what ``metrics.csv`` has of a run with these terms of the loss."""
    critics = ["discriminator"] if adversarial else []
    sdr = SDR if options.validate_sdr else ()
    kinds = ["validation", *(["average_validation"] if options.ema else [])]
    validated = [name for kind in kinds for name in _named(kind, dict.fromkeys(["loss", *terms, *sdr], 0.0))]
    return [*_named("training", dict.fromkeys(["loss", *terms, *critics], 0.0)), *STEP, *validated, *EPOCH]


EPOCH = ("averaged", "best_epoch", "skipped", "samples_per_second")
"""What is measured of an epoch beside its losses."""


def _measured(epoch: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in _counted(epoch).items() if name != "epoch"}


def entry(
    position: Any,
    learned: int,
    verdict: Verdict,
    rate: float,
    best_epoch: int,
    seconds: float,
) -> dict[str, Any]:
    """What an epoch came to, for the history.

    Parameters
    ----------
    position : xumx.train.checkpoint.Position
        At its end.
    learned : int
        Samples of the steps that were taken.
    verdict : Verdict
        What validation came to.
    rate : float
        The learning rate of its last step.
    best_epoch : int
        So far, it included.
    seconds : float
        With validation.
    """
    found: dict[str, Any] = {"epoch": position.epoch}
    found |= _named("training", {name: value / learned for name, value in position.sums.items()})
    for kind, values in zip(("validation", "average_validation"), verdict.found):
        found |= _named(kind, values)
    if len(verdict.found) > 1:
        found["averaged"] = verdict.averaged
    return {
        **found,
        "learning_rate": rate,
        "best_epoch": best_epoch,
        "skipped": position.skipped,
        "seconds": seconds,
        "samples_per_second": position.samples / position.seconds,
    }


def _named(kind: str, losses: Mapping[str, float]) -> dict[str, Any]:
    """'loss' becomes 'training_loss', 'time' becomes 'training_time_loss'; an SDR is no loss."""

    def named(name: str) -> str:
        return name if name in SDR else f"{name.removesuffix('loss')}_loss".removeprefix("_")

    return {f"{kind}_{named(name)}": value for name, value in losses.items()}


def chosen(epoch: Mapping[str, Any]) -> float:
    """The validation loss of an epoch: that of the averaged weights where they were the better ones."""
    found: float = epoch["average_validation_loss" if epoch.get("averaged") else "validation_loss"]
    return found


def results(history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The run in a few numbers."""
    last = history[-1]
    best = history[last["best_epoch"]]
    return {
        "epochs": len(history),
        "best_epoch": 1 + best["epoch"],
        "best_validation_loss": chosen(best),
        "last_training_loss": last["training_loss"],
        "last_validation_loss": last["validation_loss"],
        "seconds": sum(epoch["seconds"] for epoch in history),
    }


def _counted(epoch: Mapping[str, Any]) -> dict[str, Any]:
    """An epoch as people count them, from 1; in the history of a checkpoint they are indices, from 0."""
    return {**epoch, **{key: 1 + epoch[key] for key in ("epoch", "best_epoch")}}


def setting(
    options: TrainOptions, context: str, ranks: Communicator, rate: float, scaling: str
) -> Iterator[str]:
    """Where it computes, what several processes share, and a learning rate that is not the one given."""
    total = options.batch_size * ranks.size
    threads = "1 thread" if THREADS == 1 else f"{THREADS} threads"
    if ranks.size > 1:
        machines = "1 machine" if ranks.machines == 1 else f"{ranks.machines} machines"
        yield (
            f"{ranks.size} processes on {machines}, {threads if context == 'cpu' else 'a GPU'} each; "
            f"a step learns from {total} samples, {options.batch_size} a process"
        )
    else:
        yield f"computing on {f'the CPU, {threads}' if context == 'cpu' else f'GPU {options.device_id}'}"
    if ranks.size > 1 or scaling != "none" or options.warmup:
        how = "as given" if scaling == "none" else f"{scaling} in the {total} samples of a step over {BATCH}"
        warmup = f", after a warm-up of {options.warmup:g} epochs" if options.warmup else ""
        yield f"learning rate {rate:g}, {how}{warmup}"


def line_of(epoch: Mapping[str, Any], best: bool) -> str:
    """What is said of an epoch when it is over."""
    average = f", averaged {epoch['average_validation_loss']:.4g}" if "averaged" in epoch else ""
    kind = "average_validation" if epoch.get("averaged") else "validation"
    if f"{kind}_sdr" in epoch:
        average += f", SDR {epoch[f'{kind}_sdr']:.2f} dB"
    skipped = f", {epoch['skipped']} steps left out" if epoch.get("skipped") else ""
    return (
        f"epoch {1 + epoch['epoch']}: loss {epoch['training_loss']:.4g}, validation "
        f"{epoch['validation_loss']:.4g}{average}{' (best)' if best else ''}{skipped}, "
        f"rate {epoch['learning_rate']:.3g}, {epoch['samples_per_second']:.3g} samples/s"
    )


def write_examples(folder: Path, epoch: int, stems: Mapping[str, np.ndarray], config: ModelConfig) -> None:
    """Write stems, and the mixture they are of, to ``examples/<epoch>/<name>.flac``.

    Raises
    ------
    XumxError
        If they cannot be written.
    """
    place = folder / "examples" / f"{epoch:04}"
    make_folder(place)
    for name, audio in stems.items():
        with Writer(place / f"{name}.flac", config.sample_rate, audio.shape[1]) as writer:
            writer.write(np.ascontiguousarray(audio))


def versions() -> dict[str, str]:
    """Of Python and of the packages that a result may depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


_CURVES = {
    "training_loss": "training",
    "validation_loss": "validation",
    "average_validation_loss": "validation, averaged weights",
}
_SDR_CURVES = {"validation_sdr": "SDR", "average_validation_sdr": "SDR, averaged weights"}


def draw_curve(path: Path, history: Sequence[Mapping[str, Any]], falls: bool = True) -> None:
    """A picture of the losses, the best epoch marked; of SDR in dB, on the right, where it was measured.

    ``falls`` dots those of the learning rate.
    """
    # Imported here: it takes a second, and wrong options should be answered at once.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    epochs = [1 + epoch["epoch"] for epoch in history]
    figure = Figure(figsize=(8, 4.5), layout="tight")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    style = "o-" if len(history) == 1 else "-"

    def draw(on: Any, names: Mapping[str, str], **how: Any) -> None:
        for key, label in names.items():
            values = [epoch.get(key, float("nan")) for epoch in history]
            if any(key in epoch for epoch in history):
                on.plot(epochs, values, style, label=label, **how)

    draw(axes, _CURVES)
    best = history[history[-1]["best_epoch"]]
    axes.plot(1 + best["epoch"], chosen(best), "k*", label=f"best: {chosen(best):.4g}")
    for before, after in itertools.pairwise(history if falls else []):
        if after["learning_rate"] < before["learning_rate"]:
            axes.axvline(1 + after["epoch"], color="grey", linestyle=":", linewidth=1)
    axes.set(xlabel="epoch", ylabel="loss", title=path.absolute().parent.name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    lines, labels = axes.get_legend_handles_labels()
    if any(key in epoch for epoch in history for key in _SDR_CURVES):
        decibels = axes.twinx()
        draw(decibels, _SDR_CURVES, alpha=0.5, dashes=(2, 1))
        decibels.set_ylabel("SDR of validation, dB")
        more, names = decibels.get_legend_handles_labels()
        lines, labels = [*lines, *more], [*labels, *names]
    axes.legend(lines, labels)
    with replacing(path) as aside:
        figure.savefig(aside, dpi=120)
