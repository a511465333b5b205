"""``python -m xumx.eval``: score the separation of MUSDB18, or of your own tracks."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from xumx.args import run, separator_options
from xumx.errors import UsageError, XumxError, install

if TYPE_CHECKING:
    from xumx.data.track import Track


def main(argv: Sequence[str] | None = None) -> int:
    """Score or compare what ``argv`` names; 0 if all is done, 1 if a track failed, 2 for wrong usage."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    try:
        from xumx.evaluation.args import check, eval_parser
    except ModuleNotFoundError as error:
        raise _missing(error) from None
    args, given = eval_parser().parse_given(argv)
    check(args, given)
    try:
        return _compare(args.compare) if args.compare else _score(args)
    except ModuleNotFoundError as error:
        raise _missing(error) from None


def _missing(error: ModuleNotFoundError) -> XumxError:
    return XumxError(f"evaluation needs more packages ({error}); {install('eval')}")


def _compare(folders: Sequence[str]) -> int:
    from xumx.evaluation.compare import comparison
    from xumx.evaluation.tables import read_table

    names = [Path(folder).resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = list(folders)
    if len(set(names)) < len(names):
        raise UsageError("--compare: the same scores are given twice")
    print(comparison({name: read_table(Path(folder)) for name, folder in zip(names, folders)}), end="")
    return 0


def _score(args: argparse.Namespace) -> int:
    from xumx.data.track import with_warnings
    from xumx.evaluation import published, session
    from xumx.evaluation.args import find_tracks, kept_estimates, make_estimator, run_name, settings
    from xumx.evaluation.report import write_report
    from xumx.evaluation.tables import TABLE, summary, table_of, write_table
    from xumx.evaluation.tracks import evaluate_all, finished, threads_for
    from xumx.progress import bar
    from xumx.ranks import Rank

    rank = Rank.detect()
    tracks, left_out = with_warnings(find_tracks(args))
    if rank.rank == 0:
        for line in left_out:
            print(f"error: {line}", file=sys.stderr)
    members = _members(args, tracks)
    folder = Path(args.evaldir)
    session.begin(folder, settings(args), force=args.force)  # on every rank, so that none is left to wait

    kept = kept_estimates(args)
    tasks = session.tasks_of(tracks, folder, args.subset, kept, args.fast)
    session.check_room([] if args.force else tasks, members, folder, kept)
    mine = rank.share(tasks)
    quiet = args.quiet or rank.rank > 0

    def score_all() -> list[str]:
        """What failed."""
        errors = []
        with bar(total=len(mine), unit="track", quiet=quiet) as shown, warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = lambda text, *_, **__: shown.write(f"warning: {text}", file=sys.stderr)
            left = [task for task in mine if args.force or not finished(task, members)]
            shown.update(len(mine) - len(left))
            threads = threads_for(args.cores * rank.local_size)
            outcomes = evaluate_all(
                left, make_estimator(args), members, processes=args.cores, threads=threads
            )
            with closing(outcomes):
                for outcome in outcomes:
                    for line in outcome.warnings:
                        warnings.warn(line, stacklevel=1)
                    if outcome.error is not None:
                        session.check_room(tasks, members, folder, kept)  # the others would fail alike
                        errors.append(outcome.error)
                        shown.write(f"error: {outcome.error}", file=sys.stderr)
                    shown.update()
        return errors

    told = rank.meet(folder, score_all)
    if told is None:
        return 0
    errors = left_out + told
    scores = session.scores_of(tasks)
    if scores:
        table = table_of(scores)
        write_table(folder / TABLE, table)
        scored = [track for track in tracks if track.name in scores]
        others = published.beside(scored, table["target"].unique())
        write_report(folder / "report", table, run_name(args), others)
        if not args.quiet:
            print(summary(table, run_name(args), others), end="")
            print(f"\nscores in {folder / TABLE}, report in {folder / 'report'}")
    if len(errors) > 1:  # each has been said
        count = len(tasks) + len(left_out)
        print(f"error: {len(errors)} of {count} tracks failed; the others are scored", file=sys.stderr)
    return 1 if errors else 0


def _members(args: argparse.Namespace, tracks: list[Track]) -> dict[str, tuple[str, ...]]:
    """What each stem that is to be scored consists of; says which stems cannot be."""
    from xumx.evaluation import session
    from xumx.evaluation.scenario import members_of

    sources = tracks[0].sources
    if args.estimates:
        members, others = session.folder_members(Path(args.estimates) / args.subset, tracks, sources)
    elif args.oracle or args.baseline:
        members, others = members_of(sources, sources), []
    else:
        from xumx.separator import Separator

        # Made here once, so that wrong options and weights are found, and downloaded, before any work.
        separator = Separator(**separator_options(args), show_download=not args.quiet)
        if args.umx_infer and not separator.config.independent:
            raise UsageError(
                f"--umx-infer: {args.model} is no UMX but {separator.config.arch}; leave the option out"
            )
        members = session.network_members(separator.config.sources, separator.stems, args.aggregate, sources)
        others = [stem for stem in separator.stems if stem not in members]
    if others:
        print(
            f"warning: not scored, since the data has no truth for it: {', '.join(others)}", file=sys.stderr
        )
    session.check_scorable(members)
    return members


if __name__ == "__main__":
    sys.exit(main())
