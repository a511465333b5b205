"""What ``xumx separate`` does: songs one after the other, shared by the processes of a job."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from xumx.audio import check_part, probe
from xumx.base import console
from xumx.base.console import Bar, say
from xumx.base.errors import UsageError, XumxError, line_of
from xumx.parallel.communicator import Communicator
from xumx.report import check, clock, overview, title_of, write
from xumx.separation.naming import Found, Output, Song, find, names_one
from xumx.separation.options import SongOptions
from xumx.separation.separator import Separator
from xumx.separation.song import kept, separate_song

logger = logging.getLogger(__name__)


def separate_songs(args: SongOptions, ranks: Communicator) -> int:
    """Separate what the options name; 0 if every song was separated, 1 if one failed.

    Parameters
    ----------
    args : SongOptions
    ranks : Communicator
        The processes that share the songs; what goes wrong with a song is logged, and the others are done.

    Raises
    ------
    UsageError
        For options that do not go together.
    XumxError
        If there is no network to separate with.
    """
    output = Output(
        args.outdir, args.filename, args.format, args.bitrate, args.subtype, args.sample_rate, args.clip_mode
    )
    check_part(args.start, args.duration)
    if args.audio_track is not None and args.audio_track < 0:
        raise UsageError(f"`audio_track` must be 0 or more, not {args.audio_track}")
    quiet = args.quiet or ranks.rank > 0  # one bar for all
    found = ranks.broadcast(find(args.inputs) if ranks.rank == 0 else None)
    if ranks.rank == 0:
        _tell(found, args.quiet)
    if not found.songs:
        return 1
    if ranks.size > 1 and not all(song.file.is_file() for song in found.songs):
        raise UsageError("`inputs`: several processes cannot share a pipe; give a file")
    separator = ranks.after_first(lambda: Separator(**args.separator(), show_download=not quiet))
    if args.umx_infer and not separator.config.independent:
        raise UsageError(
            f"`umx_infer`: {args.model} is no UMX but {separator.config.arch}; leave the option out"
        )
    with kept(found.songs) as (songs, problems):
        console.names |= {str(song.file): str(song.name) for song in songs}  # of a pipe they differ
        for problem in problems:
            logger.error("%s", problem)
        failed = _separate_all(songs, separator, output, args, ranks) if songs else []
    if ranks.rank:  # the first answers for all
        return 0
    failed = [problem.partition(": ")[0] for problem in (*found.problems, *problems)] + failed
    count = len(songs) + len(found.problems) + len(problems)
    if failed and count > 1:
        logger.error("%d of %d failed: %s", len(failed), count, ", ".join(failed))
    return 1 if failed else 0


def _separate_all(
    songs: Sequence[Song], separator: Separator, output: Output, args: SongOptions, ranks: Communicator
) -> list[str]:
    """Separate songs, each apart; those that failed, of all processes."""
    quiet = args.quiet or ranks.rank > 0  # one bar for all
    model = os.path.basename(os.path.abspath(args.model))
    model = model if os.path.isdir(args.model) else Path(model).stem
    names = [song.name for song in songs]
    plans = output.paths(names, separator.stems, model, several=not names_one(args.inputs))
    pages, entrance = output.pages(names, plans)
    if args.report:
        for page in (*pages, entrance):
            check(page)
    work = [
        _Job(song, stems, page, _seconds(song, args.start, args.duration) if ranks.rank == 0 else 0.0)
        for song, stems, page in zip(songs, plans, pages, strict=True)
    ]
    if ranks.size > 1:  # the longest first, so that no process ends long after the others
        work = ranks.broadcast(sorted(work, key=lambda job: -job.seconds))
    with Bar(sum(job.seconds for job in work), unit="s", quiet=quiet) as bar:
        # What the others have separated moves the bar too.
        mine = ranks.share(work, lambda job: bar.update(job.seconds))
        failed = [
            str(job.song.name) for job in mine if not _separate_one(job, separator, output, args, model, bar)
        ]
        failed = [name for names in ranks.gather(failed) for name in names]
    if ranks.rank or not args.report:
        return failed
    pairs = [(s, page) for s, page in zip(songs, pages) if str(s.name) not in failed]
    titles = {page: title_of(song.file) for song, page in pairs}
    if len(titles) > 1:
        overview(entrance, titles)
        if not args.quiet:
            say(f"{len(titles)} songs: all of them on {entrance}")
    return failed


class _Job(NamedTuple):
    """A song, where its stems and its page go, and how many seconds of it there are to separate."""

    song: Song
    stems: Mapping[str, Path]
    page: Path
    seconds: float


def _tell(found: Found, quiet: bool) -> None:
    """Say what is wrong with the inputs, and what is left out of them."""
    for problem in found.problems:
        logger.error("%s", problem)
    if found.stems and found.songs and not quiet:
        what = f"{len(found.stems)} stems that xumx made, {found.stems[0]} first"
        say(f"left out: {what}; to separate stems, name their files")


def _separate_one(
    job: _Job, separator: Separator, output: Output, args: SongOptions, model: str, bar: Bar
) -> bool:
    """Separate a song and say how it went; whether it went well."""
    name, file = job.song
    bar.label(name.name)
    began, done = time.perf_counter(), 0.0

    def advance(seconds: float) -> None:
        nonlocal done  # of this song alone: other processes move the bar too
        done += seconds
        bar.update(seconds)

    try:
        seconds = separate_song(
            separator,
            file,
            job.stems,
            output,
            start=args.start,
            duration=args.duration,
            stream=args.audio_track,
            progress=advance,
        )
        took = time.perf_counter() - began
        folder = next(iter(job.stems.values())).parent
        if not args.quiet:
            speed = f"{clock(seconds)} in {took:.1f} s, {seconds / took:.1f} times real time"
            say(f"{name}: {speed}, to {folder}")
        if args.report:
            _write_page(job, args, model, bar.quiet)
            if not args.quiet:
                say(f"{name}: listen to it on {job.page}")
    except BrokenPipeError:  # nobody listens any more
        raise
    except Exception as error:  # whatever it is, the other songs are done
        logger.error("%s", line_of(error, file))
        return False
    finally:
        bar.correct(done - job.seconds)
    return True


def _write_page(job: _Job, args: SongOptions, model: str, quiet: bool) -> None:
    """Write the page of a song, under a bar of its own."""
    with Bar(1, f"{job.song.name.name}, page", quiet=quiet, leave=False) as bar:
        write(
            job.page.parent,
            title_of(job.song.file),
            job.song.file,
            job.stems,
            name=job.page.name,
            about=f"separated by xumx with {model}",
            start=args.start,
            duration=args.duration,
            stream=args.audio_track,
            progress=bar.update,
        )


def _seconds(song: Song, start: float, duration: float | None) -> float:
    """How much of a song there is to separate, as far as its header tells."""
    try:
        whole = max((probe(song.file).duration or 0.0) - start, 0.0)
    except XumxError:  # said when its turn comes
        return 0.0
    return whole if duration is None else min(whole, duration)
