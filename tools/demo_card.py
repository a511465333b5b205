"""Draw the pictures of docs/demo-model.md.

``python tools/demo_card.py curve PNG RUN ...``: the losses of runs of training that followed each other.
``python tools/demo_card.py stems PNG FILE.stem.mp4``: what the demo model makes of a song with known stems.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xumx import Separator, audio
from xumx.signal.stft import stft

matplotlib.use("Agg")
TRACKS = {"mixture": 0, "drums": 1, "bass": 2, "other": 3, "vocals": 4}
LOUDEST, RANGE = 45.0, 70.0
"""dB of an unscaled STFT, and how far below it the colours go."""


def curve(path: str, runs: Sequence[str]) -> None:
    """Draw training and validation loss over the hours."""
    points: list[tuple[float, float, float]] = []
    begins, hours = [], 0.0
    for run in runs:
        begins.append(hours)
        with open(Path(run, "metrics.csv"), newline="") as file:
            for row in csv.DictReader(file):
                if row["validation_loss"]:  # of a whole epoch
                    hours += float(row["seconds"]) / 3600
                    points.append((hours, float(row["training_loss"]), float(row["validation_loss"])))
    times, training, validation = np.transpose(points)
    figure = Figure((7, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(times, training, ".-", label="training")
    axes.plot(times, validation, ".-", label="validation")
    for begin in begins[1:]:
        axes.axvline(begin, color="0.8", linewidth=1)
    axes.set(xlabel="hours of training", ylabel="loss")
    axes.legend()
    figure.savefig(path, dpi=110)


def stems(path: str, song: str) -> None:
    """Draw the spectrograms of true and separated stems side by side."""
    sound = {name: audio.read(song, stream=track)[0] for name, track in TRACKS.items()}
    separated = Separator("demo")(sound["mixture"])
    figure = Figure((9, 9), layout="constrained")
    grid = figure.subplots(len(separated) + 1, 2, sharex=True, sharey=True)
    for axes in grid[0]:
        draw(axes, sound["mixture"], "mixture")
    for row, (name, found) in zip(grid[1:], separated.items(), strict=True):
        draw(row[0], sound[name], f"{name}, true")
        draw(row[1], found, f"{name}, separated")
    for axes in grid[-1]:
        axes.set_xlabel("s")
    for axes in grid[:, 0]:
        axes.set_ylabel("Hz")
    figure.savefig(path, dpi=64)


def draw(axes: Axes, sound: np.ndarray, title: str) -> None:
    """Draw the spectrogram of the mean of the channels."""
    power = np.abs(stft(sound.mean(axis=1, keepdims=True)))[:, 0] ** 2
    times = np.arange(len(power) + 1) * 1024 / 44100
    bins = np.arange(1, power.shape[1] + 1) * 44100 / 4096
    levels = 10 * np.log10(power[:, 1:].T + 1e-9)
    axes.pcolormesh(times, bins, levels, vmin=LOUDEST - RANGE, vmax=LOUDEST, cmap="magma", rasterized=True)
    axes.set_yscale("log")
    axes.set(ylim=(40, 16000), title=title)


if __name__ == "__main__":
    known = {"curve": lambda png, *runs: curve(png, runs), "stems": stems}
    if len(sys.argv) < 4 or sys.argv[1] not in known:
        raise SystemExit(__doc__)
    known[sys.argv[1]](*sys.argv[2:])
