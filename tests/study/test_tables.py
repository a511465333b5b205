from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr, spearmanr

from xumx.eval.scores import Scores
from xumx.study.tables import correlations, cross_table, scores_table, sdr_table, tracks_table

RNG = np.random.default_rng(7)


def scores_of(level: float) -> dict[str, Scores]:
    """Three tracks of two sources, five frames."""
    return {
        f"track {t}": {s: level + t + RNG.standard_normal((4, 5)) for s in ("drums", "vocals")}
        for t in range(3)
    }


SCORES = {("x-umx", name): scores_of(level) for level, name in enumerate(("A", "B", "C", "D"))}


def test_scores_are_medians_over_tracks_and_failed_runs_have_none() -> None:
    table = scores_table(tracks_table(SCORES), [("x-umx", "E")])
    sdr = sdr_table(table, "x-umx")
    assert list(sdr.index) == ["D", "C", "B", "A", "E"]
    assert list(sdr.columns) == ["drums", "vocals", "mean"]
    for name in "ABCD":
        for source in ("drums", "vocals"):
            tracks = SCORES["x-umx", name].values()
            wanted = np.median([np.median(track[source][0]) for track in tracks])
            assert sdr.at[name, source] == pytest.approx(wanted), f"{name} {source}"
    assert sdr.loc["E"].isna().all()


def test_correlations_are_scipys() -> None:
    tracks = tracks_table(SCORES)
    values = {
        key: {
            "follows": {t: -float(np.median(s["drums"][0])) for t, s in track.items()},
            "noise": {t: float(RNG.standard_normal()) for t in track},
            "constant": dict.fromkeys(track, 1.0),
        }
        for key, track in SCORES.items()
    }
    cross = cross_table(values)
    found = correlations(cross, tracks).set_index("metric")
    sdr = tracks[tracks["metric"] == "SDR"].groupby(["loss", "track"])["value"].mean()
    for metric in ("follows", "noise"):
        own = cross[cross["metric"] == metric].set_index(["loss", "track"])["value"]
        both = pd.concat([own, sdr.rename("sdr")], axis=1)
        means = both.groupby("loss").mean()
        wanted = {
            "spearman_all": spearmanr(both["value"], both["sdr"])[0],
            "pearson_all": pearsonr(both["value"], both["sdr"])[0],
            "spearman_models": spearmanr(means["value"], means["sdr"])[0],
            "pearson_models": pearsonr(means["value"], means["sdr"])[0],
            "spearman_tracks": np.mean(
                [spearmanr(part["value"], part["sdr"])[0] for _, part in both.groupby("track")]
            ),
        }
        for name, value in wanted.items():
            assert found.at[metric, name] == pytest.approx(value), f"{metric} {name}"
    assert found.loc["constant", "spearman_models":].isna().all()
    assert found.at["follows", "models"] == 4
    assert found.index[0] == "follows"


def test_values_that_are_no_numbers_do_not_count() -> None:
    values = {
        key: {"loss": {t: -float(s["drums"][0].mean()) for t, s in v.items()}} for key, v in SCORES.items()
    }
    values["x-umx", "A"]["loss"]["track 0"] = float("inf")
    found = correlations(cross_table(values), tracks_table(SCORES))
    assert np.isfinite(found.at[0, "spearman_all"])
