"""What ``--check-data`` does: read all data of a run, and say what is wrong with it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from xumx.base.console import flags, say
from xumx.base.errors import UsageError
from xumx.base.files import replacing
from xumx.base.log import with_warnings
from xumx.data.check import Problem, Report, check
from xumx.train.datasets import open_dataset
from xumx.train.options import Given
from xumx.train.resolve import new_run


def check_data(given: Given) -> int:
    """Read the data of a run and print what there is and what is wrong with it.

    Parameters
    ----------
    given : Given

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
    if given.get("model"):
        raise UsageError("`check_data` is for the data of a new run; leave `model` out")
    # A run needs a folder, which is left alone here.
    options = new_run(given.beside(output=given.get("output") or "."))
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
    left_out = [Problem("left out", "", flags(line)) for line in lines]
    report = report._replace(problems=[*left_out, *report.problems])
    for line in text(report).splitlines():
        say(line)
    if given["check_data"]:
        write(Path(given["check_data"]), report)
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
    with replacing(path) as aside, open(aside, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([Problem._fields, *report.problems])


def _rates(rates: Mapping[int, int]) -> str:
    return ", ".join(f"{rate} Hz ({count})" for rate, count in rates.items())


def _table(rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines, with columns as wide as what is in them."""
    cells = [list(map(str, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]
