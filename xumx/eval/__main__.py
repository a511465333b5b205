"""``python -m xumx.eval``: score the separation of MUSDB18, or of your own tracks."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from xumx.base import log
from xumx.base.cli import run
from xumx.base.console import Bar, say
from xumx.base.errors import UsageError, XumxError, install
from xumx.base.ranks import speaks
from xumx.eval.options import EvalOptions
from xumx.parallel.job import joined

if TYPE_CHECKING:
    from xumx.data.track import Track
    from xumx.eval.scores import Members
    from xumx.eval.work import Task
    from xumx.parallel.communicator import Communicator


logger = logging.getLogger("xumx.eval")


def main(argv: Sequence[str] | None = None) -> int:
    """Score or compare what ``argv`` names; 0 if all is done, 1 if a track failed, 2 for wrong usage."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    args = EvalOptions.parse(argv)
    if args.quiet:
        log.only_errors()
    if args.compare:
        with _packages():
            return _compare(args.compare) if speaks() else 0
    with joined() as ranks, _packages():
        return _fit(args, ranks) if args.fit_weights else _score(args, ranks)


@contextlib.contextmanager
def _packages() -> Iterator[None]:
    """Say what to install where something is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise XumxError(f"evaluation needs more packages ({error}); {install('eval')}") from None


def _compare(folders: Sequence[str]) -> int:
    from xumx.eval.tables import comparison, read_table

    names = [Path(folder).resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = list(folders)
    if len(set(names)) < len(names):
        raise UsageError("`compare`: the same scores are given twice")
    for line in comparison({n: read_table(Path(f)) for n, f in zip(names, folders)}).splitlines():
        say(line)
    return 0


def _fit(args: EvalOptions, ranks: Communicator) -> int:
    from functools import reduce
    from operator import add

    from xumx.base.log import with_warnings
    from xumx.eval import fit
    from xumx.eval.options import find_tracks
    from xumx.separation.separator import Separator

    given = args.separator()
    chosen = {name: given[name] for name in ("model", "model_dir", "engine", "context", "device_id")}
    separator = ranks.after_first(lambda: Separator(**chosen, show_download=not (args.quiet or ranks.rank)))
    found = ranks.broadcast(with_warnings(find_tracks(args)) if ranks.rank == 0 else None)
    tracks, errors = found
    with Bar(len(tracks), unit="tracks", quiet=args.quiet or ranks.rank > 0) as bar:
        sums, failed = fit.fit(separator, ranks.share(tracks, lambda track: bar.update()), bar.update)
    told = ranks.gather((sums, failed))
    if ranks.rank:  # the first answers for all
        return 0
    errors = [*errors, *(line for _, lines in told for line in lines)]
    shares = fit.fitted(reduce(add, (sums for sums, _ in told)), separator.config.sources)
    table = fit.write(Path(args.fit_weights or ""), separator, shares)
    if not args.quiet:
        for name, row in table.items():
            say(f"{name}: {', '.join(f'{source} {share:.2f}' for source, share in row.items())}")
        say(f"weights of {len(tracks) - len(errors)} tracks in {args.fit_weights}; use them with `weights`")
    return 1 if errors else 0


class _Plan(NamedTuple):
    """What rank 0 has found to do."""

    tracks: list[Track]
    tasks: list[Task]
    left: list[Task]
    members: Members
    left_out: list[str]


def _score(args: EvalOptions, ranks: Communicator) -> int:
    from xumx.base.cores import threads
    from xumx.eval import work as session
    from xumx.eval.options import kept_estimates, make_estimator
    from xumx.eval.work import evaluate_all

    quiet = args.quiet or ranks.rank > 0  # one bar for all
    errors = []
    plan: _Plan = ranks.broadcast(_plan(args) if ranks.rank == 0 else None)
    done = len(plan.tasks) - len(plan.left)
    with Bar(len(plan.tasks), unit="tracks", done=done, quiet=quiet) as bar:
        outcomes = evaluate_all(
            ranks.share(plan.left, lambda task: bar.update()),
            make_estimator(args),
            plan.members,
            processes=args.cores,
            threads=threads(args.cores),
        )
        with contextlib.closing(outcomes):
            for outcome in outcomes:
                for line in outcome.warnings:
                    logger.warning("%s", line)
                if outcome.error is not None:
                    # The others would fail alike.
                    session.check_room(plan.tasks, plan.members, Path(args.evaldir), kept_estimates(args))
                    errors.append(outcome.error)
                    logger.error("%s", outcome.error)
                bar.update()
        told = ranks.gather(errors)
    if ranks.rank:  # the first answers for all
        return 0
    return _report(args, plan, [*plan.left_out, *(line for lines in told for line in lines)])


def _plan(args: EvalOptions) -> _Plan:
    from xumx.base.files import make_folder
    from xumx.base.log import with_warnings
    from xumx.eval import work as session
    from xumx.eval.options import find_tracks, kept_estimates, settings
    from xumx.eval.work import finished

    tracks, left_out = with_warnings(find_tracks(args))
    for line in left_out:
        logger.error("%s", line)
    members = _members(args, tracks)
    folder, kept = Path(args.evaldir), kept_estimates(args)
    tasks = session.tasks_of(tracks, folder, args.subset, kept, args.fast, args.song_metrics)
    make_folder(folder, "evaldir")
    session.begin(folder, settings(args), tasks, force=args.force)
    session.check_room(tasks, members, folder, kept)
    left = [task for task in tasks if not finished(task, members)]
    return _Plan(tracks, tasks, left, members, left_out)


def _report(args: EvalOptions, plan: _Plan, errors: list[str]) -> int:
    """Write the tables, and say how many failed."""
    from xumx.eval import published
    from xumx.eval import work as session
    from xumx.eval.options import run_name
    from xumx.eval.report import write_report
    from xumx.eval.tables import TABLE, summary, table_of, write_table

    folder = Path(args.evaldir)
    scores = session.scores_of(plan.tasks)
    if scores:
        table = table_of(scores)
        write_table(folder / TABLE, table)
        scored = [track for track in plan.tracks if track.name in scores]
        others = published.beside(scored, table["target"].unique())
        write_report(folder / "report", table, run_name(args), others)
        if not args.quiet:
            for line in summary(table, run_name(args), others).splitlines():
                say(line)
        if args.song_metrics:
            _report_songs(args, plan)
        if not args.quiet:
            say("")
            say(f"scores in {folder / TABLE}, report in {folder / 'report'}")
    if len(errors) > 1:  # each has been said
        count = len(plan.tasks) + len(plan.left_out)
        logger.error("%d of %d tracks failed; the others are scored", len(errors), count)
    return 1 if errors else 0


def _report_songs(args: EvalOptions, plan: _Plan) -> None:
    """Write the table of songs as a whole, and say its summary."""
    from xumx.eval import songs

    files = {task.track.name: task.songs for task in plan.tasks if task.songs and task.songs.exists()}
    found = {name: songs.read_song(path) for name, path in sorted(files.items())}
    songs.write_songs(Path(args.evaldir) / songs.TABLE, found, args.song_metrics)
    if not args.quiet:
        say("")
        for line in songs.summary(found, args.song_metrics).splitlines():
            say(line)


def _members(args: EvalOptions, tracks: list[Track]) -> dict[str, tuple[str, ...]]:
    """What each stem that is to be scored consists of; says which stems cannot be."""
    from xumx.eval import work as session
    from xumx.eval.scores import members_of

    sources = tracks[0].sources
    if args.estimates:
        members, others = session.folder_members(Path(args.estimates) / args.subset, tracks, sources)
    elif args.oracle or args.baseline:
        members, others = members_of(sources, sources), []
    else:
        # Made here once, so that wrong options and weights are found, and downloaded, before any work.
        separator = args.open(show_download=not args.quiet)
        members = session.network_members(separator.config.sources, separator.stems, args.aggregate, sources)
        others = [stem for stem in separator.stems if stem not in members]
    if others:
        logger.warning("not scored, since the data has no truth for it: %s", ", ".join(others))
    session.check_scorable(members)
    return members


if __name__ == "__main__":
    sys.exit(main())
