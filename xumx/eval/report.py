"""The report of a run: a page with tables and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xumx.base.files import replacing
from xumx.eval.tables import METRICS, Published, by_track, markdown, ranking, summary

PAGE = "report.md"
PICTURE = "scores.png"
_SHOWN = 5


def write_report(folder: Path, table: pd.DataFrame, name: str, others: Published | None = None) -> None:
    """Write `PAGE` and `PICTURE`.

    Parameters
    ----------
    folder : path
    table : DataFrame
        See :func:`xumx.eval.tables.table_of`.
    name : str
        Of the run.
    others : Published, optional
        What stands beside it.

    Raises
    ------
    XumxError
        If they cannot be written.
    """
    with replacing(folder / PICTURE) as aside:
        box_plots(table, name).savefig(aside, dpi=100)
    with replacing(folder / PAGE) as aside:
        aside.write_text(page(table, name, others), encoding="utf-8")


def page(table: pd.DataFrame, name: str, others: Published | None = None) -> str:
    """The report in Markdown: the tables, the picture, the best and the worst tracks."""
    order = ranking(table)
    shown = min(_SHOWN, -(-len(order) // 2))  # no track among both, but for an odd one in the middle
    best, worst = order.index[:shown], order.index[::-1][:shown]
    return (
        f"# {name}\n\n{summary(table, name, others)}\n![Scores by target]({PICTURE})\n\n"
        f"## Best tracks\n\n{_tracks(table, best)}\n\n## Worst tracks\n\n{_tracks(table, worst)}\n"
    )


def box_plots(table: pd.DataFrame, name: str = "") -> Any:
    """Draw a plot a metric, on one scale, and a box a target: the tracks' medians over frames."""
    # Not pyplot: a figure by itself needs no display and leaves no state behind.
    from matplotlib.figure import Figure

    medians = by_track(table)
    targets = list(dict.fromkeys(medians.index.get_level_values("target")))
    figure = Figure(figsize=(3 * len(METRICS), 4), layout="constrained")
    for axes, metric in zip(figure.subplots(1, len(METRICS), sharey=True), METRICS):
        boxes = [medians[metric].xs(target, level="target").dropna().to_numpy() for target in targets]
        shape = axes.boxplot(boxes)
        for place, values in enumerate(boxes, 1):
            spread = np.linspace(-0.15, 0.15, len(values))
            points = axes.plot(place + spread, values, ".", markersize=3, alpha=0.5)
        axes.set_xticks(range(1, len(targets) + 1), targets, rotation=45)
        axes.set_title(metric)
        axes.grid(axis="y", alpha=0.3)
        axes.label_outer()
    figure.axes[0].set_ylabel("dB, median over frames")
    handles = [shape["boxes"][0], shape["medians"][0], *points]
    figure.legend(handles, ["quartiles", "median", "a track"], loc="outside lower right", ncols=3)
    figure.suptitle(name)
    return figure


def _tracks(table: pd.DataFrame, names: pd.Index) -> str:
    sdr = by_track(table)["SDR"].unstack("target")
    sdr["mean"] = ranking(table)
    rows = ([name.replace("|", "\\|"), *(f"{value:.2f}" for value in sdr.loc[name])] for name in names)
    return markdown(["SDR, dB", *sdr.columns], rows)
