"""A study from its options to its folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from xumx.base.console import Bar, say
from xumx.base.errors import XumxError
from xumx.base.files import check_room, replacing
from xumx.base.interrupts import Interrupts
from xumx.data.musdb import SPLITS, musdb_tracks
from xumx.data.track import Track
from xumx.eval import published
from xumx.eval.scores import Scores
from xumx.eval.tables import write_table
from xumx.parallel.communicator import Communicator
from xumx.study import page, pictures, plan, tables, work
from xumx.study.options import StudyOptions
from xumx.study.plan import Configuration
from xumx.study.tables import REFERENCE, Key

logger = logging.getLogger(__name__)


def study(args: StudyOptions, ranks: Communicator, interrupts: Interrupts) -> list[str]:
    """Train, score and measure what is not done yet, and write the tables; a line for each failure.

    ``interrupts`` end a run that is training with a checkpoint, and then the process, with SystemExit.

    The processes of a job share the configurations; rank 0 writes and answers for all.

    Raises
    ------
    UsageError
        For options that cannot be right, of any configuration, before the first is trained; for a folder
        that holds another study.
    XumxError
        If there is no usable data, or the folder cannot be written.
    """
    folder = Path(args.output)

    def begun() -> tuple[list[Configuration], list[Track], dict[str, Any]]:
        wanted, notes = plan.configurations(args)
        test = musdb_tracks(args.root, "test", is_wav=args.is_wav)
        whole = plan.joined(folder, plan.settings(args, test), args.epochs, wanted, notes)
        plan.check(wanted, args)
        check_room("`output`", folder, plan.room(wanted, args, test))
        plan.save(folder, whole)
        return wanted, test, whole

    wanted, test, whole = ranks.broadcast(begun() if ranks.rank == 0 else None)
    items: list[Configuration | str] = [*wanted, *work.REFERENCES]
    errors = []
    quiet = args.quiet or ranks.rank > 0  # one bar for all
    with Bar(len(items), "study", unit="runs", quiet=quiet) as bar:
        for item in ranks.share(items, lambda item: bar.update()):
            bar.note(str(item))
            found = _do(item, args, test, interrupts)
            if found:  # of a full disk, the others would say the same
                check_room("`output`", folder, plan.room(wanted, args, test))
            for line in found:
                logger.error("%s", line)
            if not found and isinstance(item, Configuration) and not args.quiet:
                say(_line(item, args, test))
            errors += found
            bar.update()
        told = ranks.gather(errors)
    if ranks.rank:  # the first answers for all
        return []
    for line in report(folder, whole, args, test):
        if not args.quiet:
            say(line)
    return [line for lines in told for line in lines]


def _do(
    item: Configuration | str, args: StudyOptions, test: list[Track], interrupts: Interrupts
) -> list[str]:
    """All there is to do for a configuration, or a reference; what failed."""
    scores = Path(args.output) / "scores"
    if isinstance(item, str):
        return work.score_reference(args, item, _folder(scores, (REFERENCE, item)), test)
    runs = plan.runs(args, item)
    try:
        for run in runs:
            work.train(run, interrupts)
        model = work.model(runs)
        if model is None:
            return [f"{item}: no epoch has a validation loss that is a number"]
        errors = work.score_model(args, model, scores / item.path, test)
        work.measure_losses(runs, scores / item.path, test)
    except XumxError as error:
        return [f"{item}: {error}"]
    return [f"{item}: {line}" for line in errors]


def report(folder: Path, whole: Mapping[str, Any], args: StudyOptions, test: list[Track]) -> list[str]:
    """Write the tables, the pictures and the page of everything that has been done.

    Returns
    -------
    list of str
        Lines of a table of the SDR, the best loss first, for each architecture.

    Raises
    ------
    XumxError
        If they cannot be written.
    """
    found: dict[Key, dict[str, Scores]] = {}
    measured: dict[Key, dict[str, dict[str, float]]] = {}
    failures: dict[Key, str] = {}
    histories: dict[Key, dict[str, list[dict[str, Any]]]] = {}
    rows, notes = [], list(whole["notes"])
    for item in whole["configurations"]:
        key, runs = (item.arch, item.name), plan.runs(args, item)
        failed = work.failure(runs)
        past = {run.source or "": work.history(run) for run in runs}
        if failed:
            failures[key] = failed
        elif not all(past.values()):
            notes.append(f"{item}: not trained yet")
            continue
        histories[key] = {source: history for source, history in past.items() if history}
        own = {} if failed else work.scores(folder / "scores" / item.path, test)
        if own:
            found[key] = own
            measured[key] = work.measured_losses(folder / "scores" / item.path)
        elif not failed:
            failures[key] = "has no scores: it was interrupted, or its estimates are silent"
        rows.append(_row(item, args, histories[key], len(own)))
    references: dict[Key, dict[str, Scores]] = {}
    for name in work.REFERENCES:
        if reference := work.scores(_folder(folder / "scores", (REFERENCE, name)), test):
            references[REFERENCE, name] = reference
    tracks = tables.tracks_table({**found, **references})
    scores = tables.scores_table(tracks, list(failures))
    cross = tables.cross_table(measured)
    correlations = tables.correlations(cross, tracks)
    files = tables.SCORES, tables.TRACKS, tables.CROSS, tables.CORRELATIONS
    for name, table in zip(files, (scores, tracks, cross, correlations)):
        write_table(folder / name, table)
    lines, wide, figures = [], {}, {}
    for arch in dict.fromkeys(arch for arch, _ in histories):
        sdr = tables.sdr_table(scores, arch)
        order = list(sdr.index)
        lines += ["", *tables.lines(sdr, f"{arch}, SDR in dB")]
        if any(key[0] == arch for key in found):
            figures[f"boxes-{arch}"] = pictures.boxes(tracks, arch, order)
        past_of = {loss: histories[arch, loss] for loss in order if histories.get((arch, loss))}
        if past_of:
            figures[f"curves-{arch}"] = pictures.curves(past_of)
        groups = cross[cross["arch"] == arch].groupby(["metric", "loss"], sort=False)
        means = groups["value"].mean().unstack("loss")
        if not means.empty:
            ranked = [m for m in correlations[correlations["arch"] == arch]["metric"] if m in means.index]
            wide[arch] = means.loc[ranked, [loss for loss in order if loss in means.columns]]
            figures[f"cross-{arch}"] = pictures.heat_map(wide[arch])
    parts = {split: musdb_tracks(args.root, "train", split, is_wav=args.is_wav) for split in SPLITS}
    names = {part: [track.name for track in tracks] for part, tracks in {**parts, "test": test}.items()}
    others = published.beside(test, args.sources)
    text = page.page(
        {**whole, "notes": notes}, scores, wide, correlations, _table(rows), names, failures, others
    )
    _write(folder, figures, text)
    return lines


def _write(folder: Path, figures: Mapping[str, Any], text: str) -> None:
    """Write the pictures and the page."""
    for name, figure in figures.items():
        with replacing(folder / f"{name}.png") as aside:
            figure.savefig(aside, dpi=110)
    with replacing(folder / page.NAME) as aside:
        aside.write_text(text, encoding="utf-8")


def _row(
    item: Configuration, args: StudyOptions, histories: Mapping[str, list[dict[str, Any]]], scored: int
) -> dict[str, Any]:
    lengths = [len(history) for history in histories.values()]
    best = [1 + history[-1]["best_epoch"] for history in histories.values()]
    return {
        "arch": item.arch,
        "loss": item.name,
        "rate": item.rate if args.lr is None else args.lr,
        "epochs": _range(lengths),
        "best": _range(best),
        "seconds": sum(epoch["seconds"] for history in histories.values() for epoch in history),
        "tracks": scored,
        "command": work.command(args, plan.runs(args, item)),
    }


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    columns = ["arch", "loss", "rate", "epochs", "best", "seconds", "tracks", "command"]
    return pd.DataFrame(rows, columns=columns)


def _range(numbers: list[int]) -> str:
    if not numbers:
        return "–"
    return str(numbers[0]) if len(set(numbers)) == 1 else f"{min(numbers)} to {max(numbers)}"


def _folder(scores: Path, key: Key) -> Path:
    return scores / key[0] / key[1].replace(" ", "-")


def _line(item: Configuration, args: StudyOptions, test: list[Track]) -> str:
    """A finished configuration in a line."""
    runs = plan.runs(args, item)
    seconds = sum(epoch["seconds"] for run in runs for epoch in work.history(run))
    scores = work.scores(Path(args.output) / "scores" / item.path, test)
    table = tables.scores_table(tables.tracks_table({(item.arch, item.name): scores}))
    sdr = ", ".join(f"{s} {v:.2f}" for s, v in tables.sdr_table(table, item.arch).iloc[0].items())
    return f"{item}: SDR {sdr} dB; {seconds:.0f} s of training"
