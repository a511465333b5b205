"""Scores of many tracks as one table, and what is printed of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

from xumx.base.errors import XumxError
from xumx.base.files import replacing
from xumx.data.musdb import sigsep
from xumx.eval.bsseval import METRICS as SCORED
from xumx.eval.scores import Scores, read_scores

METRICS = ("SDR", "SIR", "ISR", "SAR")
"""As tables show them."""

Published = Mapping[str, Mapping[str, float]]
"""Names of other systems to their SDR by target: see :func:`xumx.eval.published.beside`."""

COLUMNS = ["track", "target", "time", "metric", "score"]
TABLE = "scores.csv"


def table_of(scores: Mapping[str, Scores]) -> pd.DataFrame:
    """A row a score: track, target, time in seconds, metric, score in dB (NaN where there is none)."""
    parts = []
    for track, targets in scores.items():
        for target, values in targets.items():
            for metric, row in zip(SCORED, values):
                place = {"track": track, "target": target, "time": np.arange(len(row)), "metric": metric}
                parts.append(pd.DataFrame({**place, "score": row}))
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def write_table(path: Path, table: pd.DataFrame) -> None:
    """A CSV file that ``pandas.read_csv`` reads; NaN is an empty field.

    Raises
    ------
    XumxError
        If it cannot be written.
    """
    with replacing(path) as aside:
        table.to_csv(aside, index=False)


def read_table(path: Path) -> pd.DataFrame:
    """A table of a ``scores.csv``, of the folder that holds one, or of a folder of museval's JSON files.

    Raises
    ------
    XumxError
        If there are no scores, or they cannot be read.
    """
    file = path / TABLE if path.is_dir() else path
    if path.is_dir() and not file.exists():
        found = sorted(path.glob("*/*.json")) or sorted(path.glob("*.json"))
        if not found:
            raise XumxError(f"{path}: holds neither {TABLE} nor score files <subset>/<track>.json")
        return table_of({file.stem: read_scores(file) for file in found})
    try:
        table = pd.read_csv(file, dtype={"track": str, "target": str, "metric": str})
    except OSError as error:
        raise XumxError(f"{file}: cannot be read ({error.strerror})") from None
    except ValueError as error:  # pandas' own errors are such
        raise XumxError(f"{file}: is no table of scores ({str(error).strip()})") from None
    if not set(COLUMNS) <= set(table) or table.empty or table["score"].dtype.kind != "f":
        raise XumxError(f"{file}: is no table of scores: needs the columns {', '.join(COLUMNS)}")
    return table


def by_track(table: pd.DataFrame) -> pd.DataFrame:
    """Medians over frames that have a score: a row a track and target, a column a metric."""
    medians = _store(table).agg_frames_scores().unstack("metric")
    return medians.loc[pd.MultiIndex.from_frame(table[["track", "target"]].drop_duplicates()), list(METRICS)]


def by_target(table: pd.DataFrame) -> pd.DataFrame:
    """Medians over tracks of medians over frames, as in the published tables, and the mean of the targets."""
    medians = _store(table).agg_frames_tracks_scores().unstack("metric")
    medians = medians.loc[pd.Index(table["target"].unique(), name="target"), list(METRICS)]
    medians.loc["mean"] = medians.mean()
    return medians


def _store(table: pd.DataFrame) -> Any:
    """museval's store of scores, which makes the medians of the published tables; it sorts all names."""
    store = sigsep("museval").EvalStore()
    store.df = table
    return store


def unscored(table: pd.DataFrame) -> tuple[int, int]:
    """Frames without a score, since some truth or estimate is silent there, and all frames."""
    frames = table[table["metric"] == METRICS[0]].groupby(["track", "time"])["score"]
    empty = frames.count() < frames.size()
    return int(empty.sum()), len(empty)


def ranking(table: pd.DataFrame) -> pd.Series:
    """Tracks by SDR, the mean over their targets, the best first."""
    means = by_track(table)["SDR"].groupby("track", sort=False).mean()
    return means.sort_values(ascending=False, na_position="last")


def summary(table: pd.DataFrame, name: str, others: Published | None = None) -> str:
    """Markdown: all metrics of a run, and its SDR over that of others, if there are any."""
    medians = by_target(table)
    all_metrics = markdown(
        ["dB", *METRICS],
        ([target, *map(_number, row)] for target, row in zip(medians.index, medians.to_numpy())),
    )
    empty, frames = unscored(table)
    tracks = table["track"].nunique()
    text = (
        f"{all_metrics}\n\nMedian over {tracks} track{'s' * (tracks != 1)} of the median over frames of 1 s. "
        f"{empty} of {frames} frames have no score: "
        "a truth or an estimate is silent there.\n"
    )
    if not others:
        return text
    rows = {name: medians["SDR"], **others}
    beside = markdown(
        ["SDR, dB", *medians.index],
        ([row, *(_number(values[target]) for target in medians.index)] for row, values in rows.items()),
    )
    return f"{text}\n{beside}\n"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are numbers, to the right."""
    cells = [list(header), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    rule = ["-" * width if i == 0 else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    lines = (
        [text.rjust(width) if i else text.ljust(width) for i, (text, width) in enumerate(zip(row, widths))]
        for row in [cells[0], rule, *cells[1:]]
    )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}"


def common(runs: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Medians over frames of each run, for the tracks and targets that have a score in all runs.

    Raises
    ------
    XumxError
        If there are none.
    """
    medians = {name: by_track(table) for name, table in runs.items()}
    together = pd.concat(medians, axis=1, join="inner").dropna()
    if together.empty:
        raise XumxError(f"{', '.join(runs)}: have no scores of the same tracks and targets")
    return {name: together[name] for name in runs}


def significance(first: np.ndarray, second: np.ndarray) -> float:
    """Two-sided p of Wilcoxon's signed-rank test over pairs; 1 if all are equal."""
    if np.array_equal(first, second):
        return 1.0
    return float(wilcoxon(first, second).pvalue)


def comparison(runs: Mapping[str, pd.DataFrame]) -> str:
    """Markdown: medians over tracks of each run, and how each differs from the first.

    Parameters
    ----------
    runs : mapping of str to table
        By name, see :func:`xumx.eval.tables.table_of`.

    Raises
    ------
    XumxError
        If the runs have nothing in common.
    """
    medians = common(runs)
    first, *others = medians
    index = medians[first].index
    tracks = index.get_level_values("track").nunique()
    header = ["dB", *runs, *(f"{name} − {first}" for name in others), *(f"p ({name})" for name in others)]
    rows = []
    for metric in METRICS:
        for target in dict.fromkeys(index.get_level_values("target")):
            scores = {
                name: table[metric].xs(target, level="target").to_numpy() for name, table in medians.items()
            }
            rows.append(
                [
                    f"{target} {metric}",
                    *(f"{np.median(values):.2f}" for values in scores.values()),
                    *(f"{np.median(scores[name] - scores[first]):+.2f}" for name in others),
                    *(f"{significance(scores[name], scores[first]):.2g}" for name in others),
                ]
            )
    return (
        f"{markdown(header, rows)}\n\nMedians over {tracks} track{'s' * (tracks != 1)} that all runs have; "
        "of the differences, the median over pairs. p: Wilcoxon's signed-rank test over tracks, two-sided.\n"
    )
