"""The pictures of a study; each function returns a matplotlib figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure  # not pyplot, which needs a display and leaves a state behind
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from xumx.study.tables import REFERENCE

History = Sequence[Mapping[str, Any]]


def boxes(tracks: pd.DataFrame, arch: str, order: Sequence[str]) -> Figure:
    """Draw SDR over tracks: a plot a source, a box a loss in the given order; references in grey."""
    rows = tracks[tracks["metric"] == "SDR"].dropna(subset=["value"])
    own, other = (rows[rows["arch"] == name] for name in (arch, REFERENCE))
    sources = list(dict.fromkeys(own["source"]))
    names = [name for name in order if name in set(own["loss"])]
    both = [
        *((own, name, "C0") for name in names),
        *((other, n, "0.5") for n in dict.fromkeys(other["loss"])),
    ]
    figure = Figure(figsize=(2 + 0.36 * len(both), 2 + 1.9 * len(sources)), layout="constrained")
    grid = np.atleast_1d(figure.subplots(len(sources), 1, sharex=True, sharey=True))  # one scale for all
    for axes, source in zip(grid, sources):
        for place, (part, name, colour) in enumerate(both):
            values = part[(part["loss"] == name) & (part["source"] == source)]["value"].to_numpy()
            if len(values):
                line = {"color": colour}
                axes.boxplot(
                    values,
                    positions=[place],
                    widths=0.7,
                    patch_artist=True,
                    boxprops={"facecolor": colour, "alpha": 0.3},
                    medianprops={"color": "k"},
                    whiskerprops=line,
                    capprops=line,
                    flierprops={"markersize": 2},
                    manage_ticks=False,
                )
        axes.set(ylabel=f"{source}\nSDR, dB")
        axes.grid(axis="y", alpha=0.3)
    kinds = [(f"{arch}, trained with this loss", "C0"), ("no network", "0.5")]
    marks = [Patch(facecolor=colour, alpha=0.3, edgecolor=colour, label=label) for label, colour in kinds]
    marks = marks if len(both) > len(names) else marks[:1]
    figure.legend(handles=marks, loc="outside upper left", fontsize=8)
    grid[-1].set_xlabel("box: quartiles over tracks; line: median", fontsize=8)
    grid[-1].set_xticks(range(len(both)), [name for _, name, _ in both], rotation=60, ha="right", fontsize=8)
    return figure


def curves(histories: Mapping[str, Mapping[str, History]]) -> Figure:
    """Draw validation (solid) and training (dotted) loss of each configuration, each on its own scale.

    Parameters
    ----------
    histories : mapping of str to mapping of str to history
        By loss; of each, by source, or one called '' for all.
    """
    wide = min(6, len(histories))
    high = math.ceil(len(histories) / wide)
    figure = Figure(figsize=(2.7 * wide, 0.5 + 2.1 * high), layout="constrained")
    grid = figure.subplots(high, wide, squeeze=False).ravel()
    for axes, (name, runs) in zip(grid, histories.items()):
        for number, (source, history) in enumerate(runs.items()):
            epochs = [1 + epoch["epoch"] for epoch in history]
            marker = "o" if len(history) == 1 else None
            for key, line in (("validation_loss", "-"), ("training_loss", ":")):
                values = [epoch[key] for epoch in history]
                label = source if line == "-" and source else None
                axes.plot(epochs, values, line, marker=marker, color=f"C{number}", linewidth=1, label=label)
        if len(runs) > 1:
            axes.legend(fontsize=6)
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=7)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.grid(alpha=0.3)
    for axes in grid[len(histories) :]:
        axes.remove()
    lines = [
        Line2D([], [], color="C0", linestyle=line, label=label)
        for line, label in (("-", "validation"), (":", "training"))
    ]
    figure.legend(handles=lines, loc="outside upper left", ncols=2, fontsize=9)
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("loss, each on its own scale", fontsize=9)
    return figure


def heat_map(values: pd.DataFrame) -> Figure:
    """Draw the ranks of models by each metric, 1 the best; scales differ too much for values.

    Parameters
    ----------
    values : DataFrame
        A row a loss as metric, a column a loss of training; the smaller the better.
    """
    ranks = values.rank(axis=1)
    rows, columns = ranks.shape
    figure = Figure(figsize=(2.6 + 0.36 * columns, 2.2 + 0.3 * rows), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(ranks.to_numpy(float), cmap="viridis_r", aspect="auto")
    for row in range(rows):
        for column in range(columns):
            rank = ranks.iat[row, column]
            if not math.isnan(rank):
                dark = rank > (1 + columns) / 2
                axes.text(
                    column, row, f"{rank:g}", ha="center", va="center", fontsize=7, color="w" if dark else "k"
                )
    axes.set_xticks(range(columns), ranks.columns, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(rows), ranks.index, fontsize=8)
    axes.set(xlabel="trained with", ylabel="measured by")
    figure.colorbar(image, ax=axes, label="rank of the model, 1 the best", shrink=0.8)
    return figure
