"""The tables of a study, as pandas reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from xumx.eval.scores import Scores
from xumx.eval.tables import METRICS, by_track, table_of

SCORES, TRACKS, CROSS, CORRELATIONS = "scores.csv", "tracks.csv", "cross.csv", "correlations.csv"

REFERENCE = "reference"
"""In the column ``arch``, of what is no network."""

Key = tuple[str, str]
"""Architecture and loss."""


def tracks_table(scores: Mapping[Key, Mapping[str, Scores]]) -> pd.DataFrame:
    """Tabulate medians over frames, in dB: a row an architecture, loss, track, source and metric."""
    parts = []
    for (arch, loss), tracks in scores.items():
        medians = by_track(table_of(tracks)).rename_axis(columns="metric").stack(**_KEEP).rename("value")
        rows = medians.reset_index().rename(columns={"target": "source"})
        parts.append(rows.assign(arch=arch, loss=loss))
    columns = ["arch", "loss", "track", "source", "metric", "value"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


_KEEP = {"future_stack": True}  # frames without a score stay, as NaN


def scores_table(tracks: pd.DataFrame, failed: Sequence[Key] = ()) -> pd.DataFrame:
    """Tabulate medians over tracks: a row an architecture, loss, source (and 'mean' of them) and metric.

    What ``failed`` has rows of 'mean' without values.
    """
    order = list(dict.fromkeys(zip(tracks["arch"], tracks["loss"])))
    sources = list(dict.fromkeys(tracks["source"]))
    medians = tracks.groupby(["arch", "loss", "source", "metric"], sort=False)["value"].median()
    rows = []
    for arch, loss in [*order, *failed]:
        one = {}
        for metric in METRICS:
            found = [s for s in sources if (arch, loss, s, metric) in medians.index]
            one = {s: float(medians[arch, loss, s, metric]) for s in found}
            # As in xumx.eval: a median that is missing does not count.
            mean = float(pd.Series(one, dtype=float).mean())
            rows += [(arch, loss, source, metric, value) for source, value in [*one.items(), ("mean", mean)]]
    return pd.DataFrame(rows, columns=["arch", "loss", "source", "metric", "value"])


def sdr_table(scores: pd.DataFrame, arch: str) -> pd.DataFrame:
    """Tabulate the SDR of an architecture: a row a loss and a column a source, the best mean first."""
    rows = scores[(scores["arch"] == arch) & (scores["metric"] == "SDR")]
    table = rows.pivot(index="loss", columns="source", values="value")
    columns = [source for source in dict.fromkeys(rows["source"]) if source != "mean"] + ["mean"]
    return table[columns].sort_values("mean", ascending=False, kind="stable", na_position="last")


def lines(table: pd.DataFrame, title: str) -> list[str]:
    """Write a table of decibels as lines of text, its title above the rows' names.

    >>> lines(pd.DataFrame({"bass": [1.234]}, index=["MSE"]), "SDR")
    ['     bass', 'SDR      ', 'MSE  1.23']
    """
    named = table.rename_axis(title).rename_axis(None, axis=1)
    return named.to_string(float_format="%.2f", na_rep="–").splitlines()


def cross_table(measured: Mapping[Key, Mapping[str, Mapping[str, float]]]) -> pd.DataFrame:
    """Tabulate values of losses: a row an architecture, loss of training, loss as metric and track.

    >>> cross_table({("x-umx", "MSE"): {"L1freq": {"A song": 0.5}}}).iloc[0].tolist()
    ['x-umx', 'MSE', 'L1freq', 'A song', 0.5]
    """
    rows = [
        (arch, loss, metric, track, value)
        for (arch, loss), metrics in measured.items()
        for metric, tracks in metrics.items()
        for track, value in tracks.items()
    ]
    return pd.DataFrame(rows, columns=["arch", "loss", "metric", "track", "value"])


_CORRELATIONS = [
    "arch", "metric", "models", "spearman_models", "pearson_models", "spearman_all", "pearson_all",
    "spearman_tracks",
]  # fmt: skip


def correlations(cross: pd.DataFrame, tracks: pd.DataFrame) -> pd.DataFrame:
    """Correlate each loss as a metric with SDR; -1 for one that always falls as SDR rises.

    SDR is that of a track, the mean over its sources. For each architecture and metric, Pearson's and
    Spearman's coefficient

    - over models: of the means over tracks,
    - over models and tracks: of all pairs of a model and a track, and
    - within tracks: Spearman's over the models for each track, the mean over tracks. Whether a track is
      loud or hard does not matter to it.

    Returns
    -------
    DataFrame
        With the columns of `_CORRELATIONS`, models being their number; of each architecture the most
        negative Spearman over models first.
    """
    sdr = tracks[tracks["metric"] == "SDR"].groupby(["arch", "loss", "track"], sort=False)["value"].mean()
    pairs = cross.join(sdr.rename("sdr"), on=["arch", "loss", "track"]).replace([np.inf, -np.inf], np.nan)
    pairs = pairs.dropna(subset=["value", "sdr"])
    rows = []
    for (arch, metric), group in pairs.groupby(["arch", "metric"], sort=False):
        means = group.groupby("loss")[["value", "sdr"]].mean()
        within = [_rank(track) for _, track in group.groupby("track")]
        rows.append(
            {
                "arch": arch,
                "metric": metric,
                "models": len(means),
                "spearman_models": _rank(means),
                "pearson_models": _linear(means),
                "spearman_all": _rank(group),
                "pearson_all": _linear(group),
                "spearman_tracks": float(pd.Series(within, dtype=float).mean()),
            }
        )
    table = pd.DataFrame(rows, columns=_CORRELATIONS)
    return table.sort_values(["arch", "spearman_models"], kind="stable", ignore_index=True)


def _linear(pairs: pd.DataFrame) -> float:
    """Pearson's coefficient; NaN where there is none: of one pair, or of values that are all the same."""
    value, sdr = (pairs[name].to_numpy(float) for name in ("value", "sdr"))
    if len(value) < 2 or np.ptp(value) == 0 or np.ptp(sdr) == 0:
        return float("nan")
    return float(np.corrcoef(value, sdr)[0, 1])


def _rank(pairs: pd.DataFrame) -> float:
    return _linear(pairs[["value", "sdr"]].rank())
