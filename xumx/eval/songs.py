"""Metrics of songs as a whole, beside BSS Eval's of their frames: a file a song, a table, and a summary."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from xumx.base import jsonfile
from xumx.base.errors import XumxError
from xumx.base.files import replacing
from xumx.eval.estimators import Truth
from xumx.eval.scores import Members, pairs
from xumx.signal.metrics import SONG_METRICS

TABLE = "songs.csv"

Song = dict[str, dict[str, "float | None"]]
"""By stem and by metric; None where there is no number, as of SI-SDR of a silent truth."""


def measure_song(
    truth: Truth, estimates: Mapping[str, np.ndarray], members: Members, metrics: Sequence[str]
) -> Song:
    """Measure each stem of a song.

    Raises
    ------
    XumxError
        For an estimate that is missing, or has other channels.
    """
    true, fitted = pairs(truth, estimates, members)
    found: Song = {}
    for stem in members:
        values = {name: SONG_METRICS[name](true[stem], fitted[stem], truth.rate) for name in metrics}
        found[stem] = {name: value if math.isfinite(value) else None for name, value in values.items()}
    return found


def write_song(path: Path, song: Song) -> None:
    """Write what :func:`read_song` reads.

    Raises
    ------
    XumxError
        If it cannot be written.
    """
    with replacing(path) as aside:
        aside.write_text(json.dumps(song, indent=2) + "\n", encoding="utf-8")


def read_song(path: Path) -> Song:
    """Read what was measured of a song.

    Raises
    ------
    XumxError
        If there is no such file, or something else in it.
    """
    try:
        return jsonfile.read(path, dict[str, dict[str, float | None]])
    except (FileNotFoundError, jsonfile.JsonError) as error:
        raise XumxError(f"{path}: holds no metrics of a song ({error})") from None


def write_songs(path: Path, songs: Mapping[str, Song], metrics: Sequence[str]) -> None:
    """Write a table with a row a track, target and metric; the score is empty where there is none.

    Raises
    ------
    XumxError
        If it cannot be written.
    """
    with replacing(path) as aside, open(aside, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["track", "target", "metric", "score"])
        for track, song in songs.items():
            for target, values in song.items():
                writer.writerows([track, target, name, values[name]] for name in metrics)


def summary(songs: Mapping[str, Song], metrics: Sequence[str]) -> str:
    """Markdown: means over songs, as the challenge has them, and medians; last the mean of the targets."""
    from xumx.eval.tables import markdown  # with pandas, which scoring itself does without

    targets = dict.fromkeys(target for song in songs.values() for target in song)
    rows = {
        target: _row([song[target] for song in songs.values() if target in song], metrics)
        for target in targets
    }
    rows["mean"] = np.mean(list(rows.values()), axis=0)
    header = ["", *(f"{name}, {kind}" for name in metrics for kind in ("mean", "median"))]
    cells = ([name, *("–" if np.isnan(x) else f"{x:.2f}" for x in row)] for name, row in rows.items())
    many = "s" * (len(songs) != 1)
    return f"{markdown(header, cells)}\n\nOf {len(songs)} song{many} as a whole; sdr and si-sdr in dB.\n"


def _row(songs: Sequence[Mapping[str, float | None]], metrics: Sequence[str]) -> np.ndarray:
    found: list[float] = []
    for name in metrics:
        values = [value for song in songs if (value := song[name]) is not None]
        found += [float(np.mean(values)), float(np.median(values))] if values else [math.nan, math.nan]
    return np.array(found)
