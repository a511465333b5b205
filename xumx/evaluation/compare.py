"""Runs side by side, over the tracks that all of them have."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

from xumx.errors import XumxError
from xumx.evaluation.tables import METRICS, by_track, markdown


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
        By name, see :func:`xumx.evaluation.tables.table_of`.

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
