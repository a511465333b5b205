"""The page of a study: what was done, how the losses compare, which of them track SDR."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from xumx.eval.tables import METRICS, Published, markdown
from xumx.study.tables import REFERENCE, Key, sdr_table

NAME = "study.md"


def page(
    study: Mapping[str, Any],
    scores: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    correlations: pd.DataFrame,
    runs: pd.DataFrame,
    tracks: Mapping[str, Sequence[str]],
    failures: Mapping[Key, str],
    others: Published,
) -> str:
    """Write the study in Markdown.

    Parameters
    ----------
    study : mapping
        See :func:`xumx.study.plan.joined`.
    scores, correlations : DataFrame
        See :mod:`xumx.study.tables`.
    tables : mapping of str to DataFrame
        By architecture, the losses as metrics: a row a metric, a column a loss of training.
    runs : DataFrame
        A row a configuration: arch, loss, rate, epochs, best, seconds, tracks, command (that scores it).
    tracks : mapping of str to sequence of str
        Names of the tracks to train on ('train'), to validate with ('valid') and to score ('test').
    failures : mapping of (architecture, loss) to str
    others : Published
        What stands beside the scores.
    """
    parts = ["# Losses compared", _data(study, runs, tracks)]
    parts += [f"- {note}" for note in study["notes"]]
    for (arch, loss), why in failures.items():
        parts.append(f"- failed: {arch} {loss}: {why}")
    for arch in dict.fromkeys(runs["arch"]):
        parts += _architecture(arch, scores, runs[runs["arch"] == arch], tracks["test"], others)
        own = correlations[correlations["arch"] == arch]
        if arch in tables and not own.empty:
            parts += _cross(arch, tables[arch], own)
    return "\n\n".join(parts) + "\n"


def _data(study: Mapping[str, Any], runs: pd.DataFrame, tracks: Mapping[str, Sequence[str]]) -> str:
    commands = "\n".join(dict.fromkeys("    " + shlex.join(command) for command in study["commands"]))
    settings = ", ".join(
        f"{name.replace('_', '-')} {' '.join(map(str, v)) if isinstance(v, list) else v}"
        for name, v in study["settings"].items()
        if v is not None and v is not False and name not in ("root", "test_tracks", "is_wav")
    )
    seconds = runs["seconds"].sum()
    return (
        f"{commands}\n\n{len(tracks['train'])} tracks to train on, {len(tracks['valid'])} to validate with, "
        f"{len(tracks['test'])} to score. {len(runs)} configurations, trained for {seconds:.0f} s in all, "
        f"the median for {runs['seconds'].median():.0f} s, validation included. Settings: {settings}."
    )


def _architecture(
    arch: str, scores: pd.DataFrame, runs: pd.DataFrame, test: Sequence[str], others: Published
) -> list[str]:
    sdr = sdr_table(pd.concat([scores[scores["arch"] == arch]]), arch)
    own = runs.set_index("loss")
    rows = [
        [
            str(loss),
            *map(_number, values),
            f"{own.at[loss, 'rate']:g}",
            str(own.at[loss, "epochs"]),
            f"{own.at[loss, 'best']}",
            f"{own.at[loss, 'seconds']:.0f}",
        ]
        for loss, values in zip(sdr.index, sdr.to_numpy(float))
    ]
    reference = sdr_table(scores, REFERENCE).reindex(columns=sdr.columns)
    extra = {str(name): row.to_dict() for name, row in reference.iterrows()}
    for name, values in {**extra, **others}.items():
        rows.append([f"*{name}*", *(_number(values.get(c, np.nan)) for c in sdr.columns), *4 * ["–"]])
    header = ["SDR, dB", *sdr.columns, "rate", "epochs", "best", "seconds"]
    lacking = [f"{loss} {n}" for loss, n in zip(runs["loss"], runs["tracks"]) if 0 < n < len(test)]
    note = (
        f"Medians over {len(test)} track{'s' * (len(test) != 1)} of medians over frames of 1 s "
        "(BSS Eval v4), of the best epoch by each loss's own validation, which 'best' counts from 1; "
        "seconds of training."
    )
    if lacking:
        note += f" Fewer tracks have a score of {', '.join(lacking)}: an estimate is silent there."
    commands = ["    " + own.at[loss, "command"] for loss in sdr.index if own.at[loss, "tracks"]]
    wide = scores[scores["arch"].isin([arch, REFERENCE])].pivot(
        index=["loss", "source"], columns="metric", values="value"
    )
    losses = [name for name in [*sdr.index, *reference.index] if name in wide.index.get_level_values(0)]
    whole = [
        [f"{loss} {source}", *(_number(wide.at[(loss, source), metric]) for metric in METRICS)]
        for loss in losses
        for source in sdr.columns
        if (loss, source) in wide.index
    ]
    return [
        f"## {arch}: SDR by loss",
        markdown(header, rows),
        note,
        *(["What scores the first, and with their folders the others:", commands[0]] if commands else []),
        *([f"![SDR by loss and source](boxes-{arch}.png)"] if runs["tracks"].any() else []),
        *(
            [f"### {arch}: training", f"![Training curves](curves-{arch}.png)"]
            if runs["seconds"].any()
            else []
        ),
        f"### {arch}: all metrics",
        markdown(["dB", *METRICS], whole),
    ]


def _cross(arch: str, table: pd.DataFrame, correlations: pd.DataFrame) -> list[str]:
    columns = [name for name in correlations if name not in ("arch", "metric", "models")]
    titles = {
        "spearman_models": "Spearman, models", "pearson_models": "Pearson, models",
        "spearman_all": "Spearman, models and tracks", "pearson_all": "Pearson, models and tracks",
        "spearman_tracks": "Spearman, within tracks",
    }  # fmt: skip
    ranking = [
        [str(metric), *map(_number, row)]
        for metric, row in zip(correlations["metric"], correlations[columns].to_numpy(float))
    ]
    values = [
        [str(metric), *(f"{value:.3g}" for value in row)]
        for metric, row in zip(table.index, table.to_numpy(float))
    ]
    return [
        f"### {arch}: which losses track SDR",
        "Every loss as a metric of every model, on the test tracks, against SDR (the mean over sources): -1 "
        f"is a loss that falls whenever SDR rises. {correlations['models'].max()} models.",
        markdown(["metric", *(titles[column] for column in columns)], ranking),
        f"![Ranks of the models by each loss](cross-{arch}.png)",
        "Values, means over tracks; a row a loss as metric, a column a loss of training, the best SDR first:",
        markdown(["metric", *map(str, table.columns)], values),
    ]


def _number(value: Any) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}"
