"""``python -m xumx.train --check-data``: what is wrong with the data of a run."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from xumx.data.check import Problem, Report, check
from xumx.data.track import with_warnings
from xumx.errors import UsageError, XumxError
from xumx.files import replacing
from xumx.training.options import new_run
from xumx.training.tracks import open_dataset


def check_data(values: Mapping[str, Any], given: frozenset[str]) -> int:
    """Read the data of a run and print what there is and what is wrong with it.

    Parameters
    ----------
    values, given
        See :func:`xumx.training.options.parse`.

    Returns
    -------
    int
        1 if anything is wrong, else 0.

    Raises
    ------
    UsageError
        For wrong options.
    XumxError
        If there is nothing to read, or the table cannot be written.
    """
    if values["model"]:
        raise UsageError("--check-data is for the data of a new run; leave --model out")
    # A run needs a folder, which is left alone here.
    options = new_run({**values, "output": values["output"] or "."}, given)
    config = options.config
    progress = not options.quiet
    data, lines = with_warnings(lambda: open_dataset(options, config, output=None, progress=progress))
    report = check(
        data.train,
        data.valid,
        channels=config.nb_channels,
        summed=not data.recorded,
        workers=options.nb_workers,
        progress=progress,
    )
    report = report._replace(problems=[*(Problem("left out", "", line) for line in lines), *report.problems])
    print(text(report))
    if values["check_data"]:
        write(Path(values["check_data"]), report)
    return 1 if report.problems else 0


def text(report: Report) -> str:
    """Two tables: what there is, and what is wrong with it."""
    parts = [
        [name, part.tracks, f"{part.hours:.2f}", part.recordings, _rates(part.rates)]
        for name, part in report.parts.items()
    ]
    lines = [*_table([["", "tracks", "hours", "files", "rates"], *parts]), ""]
    if report.problems:
        lines += _table([["problem", "track", f"{len(report.problems)} found"], *report.problems])
    else:
        lines.append("no problems")
    return "\n".join(lines)


def write(path: Path, report: Report) -> None:
    """The problems as a CSV file.

    Raises
    ------
    XumxError
        If it cannot be written.
    """
    try:
        with replacing(path) as aside, open(aside, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([Problem._fields, *report.problems])
    except OSError as error:
        raise XumxError(f"--check-data {path}: cannot be written ({error.strerror or error})") from None


def _rates(rates: Mapping[int, int]) -> str:
    return ", ".join(f"{rate} Hz ({count})" for rate, count in rates.items())


def _table(rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines, with columns as wide as what is in them."""
    cells = [list(map(str, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]
