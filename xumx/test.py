"""``python -m xumx.test``: separate songs into stems.

``separate`` and ``separate_args_dict`` stand here for programs written for Sony's code; new ones use
:func:`xumx.separate`.
"""

from __future__ import annotations

import contextlib
import sys
import time
import warnings
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xumx.args import run, separator_options, test_parser
from xumx.compat import separate, separate_args_dict
from xumx.errors import UsageError, XumxError
from xumx.ranks import Rank

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["main", "separate", "separate_args_dict"]


def main(argv: Sequence[str] | None = None) -> int:
    """Separate what ``argv`` names; 0 if every song was separated, 1 if one failed, 2 for wrong usage."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    args = test_parser().parse_args(argv)
    # Imported here so that --help and wrong options answer at once.
    from tqdm import tqdm

    from xumx.audio import check_part
    from xumx.naming import Output, find
    from xumx.report import check, clock, overview, title_of
    from xumx.separator import Separator
    from xumx.song import separate_song

    output = Output(
        args.outdir, args.filename, args.format, args.bitrate, args.subtype, args.sample_rate, args.clip_mode
    )
    check_part(args.start, args.duration)
    if args.audio_track is not None and args.audio_track < 0:
        raise UsageError(f"--audio-track must be 0 or more, not {args.audio_track}")
    rank = Rank.detect()
    quiet = args.quiet or rank.rank > 0  # one bar for all
    model = Path(args.model).name if Path(args.model).is_dir() else Path(args.model).stem
    songs, problems = find(args.inputs, lambda file, folder: output.holds(file, folder, model))
    failed = []
    for problem in problems:
        if rank.rank == 0:
            print(f"error: {problem}", file=sys.stderr)
        failed.append(problem.partition(": ")[0])
    if not songs:
        return 1
    threads = rank.threads if rank.size > 1 else None
    separator = Separator(**separator_options(args), threads=threads, show_download=not quiet)
    if args.umx_infer and not separator.config.independent:
        raise UsageError(
            f"--umx-infer: {args.model} is no UMX but {separator.config.arch}; leave the option out"
        )
    several = len(args.inputs) > 1 or not Path(args.inputs[0]).expanduser().is_file()
    plans = output.paths(songs, separator.stems, model, several=several)
    pages, entrance = output.pages(songs, plans)
    if args.report:
        for page in (*pages, entrance):
            check(page)

    work = [
        (song, stems, page, _seconds(song, args.start, args.duration))
        for song, stems, page in zip(songs, plans, pages, strict=True)
    ]
    if rank.size > 1:  # the longest first, so that no process ends long after the others
        work = rank.share(sorted(work, key=lambda job: -job[3]))

    def separate_all() -> list[str]:
        """Those songs that could not be separated."""
        failed = []
        total = sum(seconds for *_, seconds in work)
        with (
            tqdm(total=total or None, unit="s", disable=quiet, bar_format=_BAR) as bar,
            _as_lines(bar, quiet=args.quiet),
        ):
            say = bar.write if not args.quiet else lambda text: None
            for song, stems, page, _ in work:
                bar.set_description(song.name)
                began = time.perf_counter()
                try:
                    seconds = separate_song(
                        separator,
                        song,
                        stems,
                        output,
                        start=args.start,
                        duration=args.duration,
                        stream=args.audio_track,
                        progress=bar.update,
                    )
                    took = time.perf_counter() - began
                    folder = next(iter(stems.values())).parent
                    say(
                        f"{song}: {clock(seconds)} in {took:.1f} s, "
                        f"{seconds / took:.1f} times real time, to {folder}"
                    )
                    if args.report:
                        _write_page(page, song, stems, args, model, quiet)
                        say(f"{song}: listen to it on {page}")
                except XumxError as error:
                    bar.write(f"error: {error}", file=sys.stderr)
                    failed.append(str(song))
        return failed

    told = rank.meet(Path(args.outdir or "."), separate_all)
    if told is None:
        return 0
    failed += told
    if args.report:
        # A rank that broke off has told no songs: its pages are not there.
        done = [(s, page) for s, page in zip(songs, pages) if str(s) not in failed and page.exists()]
        titles = {page: title_of(song) for song, page in done}
        if len(titles) > 1:
            overview(entrance, titles)
            if not args.quiet:
                print(f"{len(titles)} songs: all of them on {entrance}")
    count = len(songs) + len(problems)
    if failed and count > 1:
        print(f"error: {len(failed)} of {count} failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


@contextlib.contextmanager
def _as_lines(bar: tqdm, *, quiet: bool) -> Iterator[None]:
    """Our warnings as lines that do not break the bar, or not at all if ``quiet``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not quiet:
            warnings.filterwarnings("always", category=UserWarning)
            warnings.showwarning = lambda message, *_, **__: bar.write(f"warning: {message}", file=sys.stderr)
        yield


def _write_page(
    page: Path, song: Path, stems: Mapping[str, Path], args: Namespace, model: str, quiet: bool
) -> None:
    """Write the page of a song, under a bar of its own."""
    from tqdm import tqdm

    from xumx.report import title_of, write

    with (
        tqdm(total=1, desc=f"{song.name}, page", disable=quiet, leave=False, bar_format=_SHARE) as bar,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # what is to be said of the song has been said
        write(
            page.parent,
            title_of(song),
            song,
            stems,
            name=page.name,
            about=f"separated by xumx with {model}",
            start=args.start,
            duration=args.duration,
            stream=args.audio_track,
            progress=bar.update,
        )


_SHARE = "{desc}{percentage:3.0f}%|{bar}|"
_BAR = "{desc}{percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s [{elapsed}<{remaining}]"


def _seconds(song: Path, start: float, duration: float | None) -> float:
    """How much of a song there is to separate, as far as its header tells."""
    from xumx.audio import probe

    try:
        whole = max((probe(song).duration or 0.0) - start, 0.0)
    except XumxError:  # said when its turn comes
        return 0.0
    return whole if duration is None else min(whole, duration)


if __name__ == "__main__":
    sys.exit(main())
