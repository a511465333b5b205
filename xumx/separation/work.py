"""What ``xumx separate`` does: songs one after the other, shared by the processes of a job."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xumx.audio import check_part, probe
from xumx.base import console
from xumx.base.console import Bar, say
from xumx.base.errors import UsageError, XumxError, line_of
from xumx.engines import Stored
from xumx.network import pretrained
from xumx.parallel.communicator import Communicator
from xumx.report import Listed, check, clock, overview, title_of, write
from xumx.separation.naming import Found, Output, Song, find, made_of, names_one
from xumx.separation.options import SongOptions
from xumx.separation.separator import Separator
from xumx.separation.song import Separated, decoded, kept, separate_song

logger = logging.getLogger(__name__)

_BEGUN = 8
"""Blocks of the next song that are decoded in advance: about the first of the network's chunks."""


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
    names = ("filename", "format", "bitrate", "subtype", "sample_rate", "clip_mode", "gains", "remux")
    output = Output(args.outdir, **{name: getattr(args, name) for name in names})
    check_part(args.start, args.duration)
    found = ranks.broadcast(find(args.inputs) if ranks.rank == 0 else None)
    if ranks.rank == 0:
        _tell(found, args.quiet or args.json)
    if not found.songs:
        return 1
    if ranks.size > 1 and not all(song.file.is_file() for song in found.songs):
        raise UsageError("`inputs`: several processes cannot share a pipe; give a file")
    shows = not args.quiet and ranks.rank == 0  # one bar for all
    separator = ranks.after_first(lambda: args.open(show_download=shows))
    output.check(separator.stems)
    with kept(found.songs) as (songs, problems):
        console.names |= {str(song.file): str(song.name) for song in songs}  # of a pipe they differ
        for problem in problems:
            logger.error("%s", problem)
        failed = _Session(args, separator, output, ranks).run(songs) if songs else []
    if ranks.rank:  # the first answers for all
        return 0
    failed = [problem.partition(": ")[0] for problem in (*found.problems, *problems)] + failed
    count = len(songs) + len(found.problems) + len(problems)
    if failed and count > 1:
        logger.error("%d of %d failed: %s", len(failed), count, ", ".join(failed))
    return 1 if failed else 0


def _tell(found: Found, quiet: bool) -> None:
    """Say what is wrong with the inputs, and what is left out of them."""
    for problem in found.problems:
        logger.error("%s", problem)
    if found.stems and found.songs and not quiet:
        what = f"{len(found.stems)} stems that xumx made, {found.stems[0]} first"
        say(f"left out: {what}; to separate stems, name their files")


class _Job(NamedTuple):
    """A song, where its files and its page go, and how many seconds of it there are to separate."""

    song: Song
    files: Mapping[str, Path]
    page: Path
    back: Path | None
    seconds: float


class _Session:
    """The songs of a command, of which this process separates its share."""

    def __init__(self, args: SongOptions, separator: Separator, output: Output, ranks: Communicator) -> None:
        self._args, self._separator, self._output, self._ranks = args, separator, output, ranks
        self._quiet = args.quiet or ranks.rank > 0  # one bar for all
        self._model = args.name
        self._part: dict[str, Any] = {
            "start": args.start,
            "duration": args.duration,
            "stream": args.audio_track,
        }
        files = [pretrained.resolve(model, model_dir=args.model_dir) for model in args.model]
        self._weights = [Stored(file, args.model_dir).digest for file in files]

    def run(self, songs: Sequence[Song]) -> list[str]:
        """Separate songs, each apart; those that failed, of all processes."""
        args, ranks = self._args, self._ranks
        several = not names_one(args.inputs)
        plans = self._output.paths(songs, self._separator.stems, self._model, several=several)
        pages, entrance = self._output.pages(songs, plans)
        if args.report:
            for page in (*pages, entrance):
                check(page)
        back = entrance if len(songs) > 1 else None
        work = [
            _Job(song, files, page, back, self._seconds(song) if ranks.rank == 0 else 0.0)
            for song, files, page in zip(songs, plans, pages, strict=True)
        ]
        if ranks.size > 1:  # the longest first, so that no process ends long after the others
            work = ranks.broadcast(sorted(work, key=lambda job: -job.seconds))
        bar = Bar(sum(job.seconds for job in work), unit="s", quiet=self._quiet, leave=False)
        with bar:
            # What the others have separated moves the bar too.
            mine = ranks.share(work, lambda job: bar.update(job.seconds))
            done = ((job, self._separate(job, sound, bar)) for job, sound in self._ahead(mine))
            failed = [str(job.song.name) for job, well in done if not well]
            failed = [name for names in ranks.gather(failed) for name in names]
        if args.report and not ranks.rank:
            self._overview({s: page for s, page in zip(songs, pages) if str(s.name) not in failed}, back)
        return failed

    def _overview(self, pages: Mapping[Song, Path], path: Path | None) -> None:
        """Write the page that leads to those of the songs, and to which they lead, if there are several."""
        if path is None or not pages:
            return
        listed = {
            page: Listed(title_of(song.file), song.name.name, self._seconds(song) or None)
            for song, page in pages.items()
        }
        overview(path, listed)
        self._say(f"{len(listed)} songs: all of them on {path}")

    def _ahead(self, jobs: Iterable[_Job]) -> Iterator[tuple[_Job, Iterable[np.ndarray] | None]]:
        """Give jobs with the sound of their songs, which a thread begins to decode during the job before.

        Not where several processes wait for jobs and keep the cores busy, nor where songs may be done.
        """
        if self._ranks.size > 1 or self._args.skip_done:
            yield from ((job, None) for job in jobs)
            return
        with ThreadPoolExecutor(1, thread_name_prefix="xumx-next-song") as pool:
            before: tuple[_Job, Iterable[np.ndarray] | None] | None = None
            for job in jobs:
                sound = None if before is None else self._begun(job, pool)
                if before:
                    yield before
                before = job, sound
            if before:
                yield before

    def _begun(self, job: _Job, pool: ThreadPoolExecutor) -> Iterator[np.ndarray]:
        """The sound of a song, whose beginning comes from a thread; what is wrong with it is raised here."""
        blocks = decoded(self._separator, job.song.file, **self._part)
        first = pool.submit(lambda: list(islice(blocks, _BEGUN)))

        def sound() -> Iterator[np.ndarray]:
            yield from first.result()
            yield from blocks

        return sound()

    def _separate(self, job: _Job, sound: Iterable[np.ndarray] | None, bar: Bar) -> bool:
        """Separate a song and say how it went; whether it went well."""
        name, file, _ = job.song
        bar.label(name.name)
        began, done = time.perf_counter(), 0.0

        def advance(seconds: float) -> None:
            nonlocal done  # of this song alone: other processes move the bar too
            done += seconds
            bar.update(seconds)

        try:
            request = self._request(file)
            if self._args.skip_done and self._is_done(job, request):
                self._tell_done(job)
                return True
            found = separate_song(
                self._separator, file, job.files, self._output, **self._part,
                request=request, sound=sound, progress=advance,
            )  # fmt: skip
            self._tell(job, found, time.perf_counter() - began)
            if self._args.report:
                self._write_page(job, bar)
                self._say(f"{name}: listen to it on {job.page}")
        except BrokenPipeError:  # nobody listens any more
            raise
        except Exception as error:  # whatever it is, the other songs are done
            logger.error("%s", line_of(error, file))
            return False
        finally:
            bar.correct(done - job.seconds)
        return True

    def _is_done(self, job: _Job, request: str) -> bool:
        """Whether all that is asked for is there, and was made by the same request."""
        page = not self._args.report or job.page.exists()
        return page and all(made_of(path) == request for path in job.files.values())

    def _tell_done(self, job: _Job) -> None:
        """Say that there was nothing to do for a song."""
        self._record(job, done=True)
        self._say(f"{job.song.name}: done already, in {_folder(job)}")

    def _tell(self, job: _Job, found: Separated, took: float) -> None:
        """Say what was made of a song."""
        self._record(job, seconds=round(found.seconds, 3), took=round(took, 3), gain=found.gain)
        speed = f"{took:.1f} s, {found.seconds / took:.1f} times real time"
        self._say(f"{job.song.name}: {clock(found.seconds)} in {speed}, to {_folder(job)}")

    def _record(self, job: _Job, **facts: Any) -> None:
        """Print a song's line of JSON, if that is asked for."""
        if self._args.json:
            files = {name: str(path) for name, path in job.files.items()}
            page = {"page": str(job.page)} if self._args.report else {}
            record = {"song": str(job.song.name), "model": self._model, "files": files, **page, **facts}
            say(json.dumps(record))

    def _say(self, line: str) -> None:
        if not self._args.quiet and not self._args.json:
            say(line)

    def _request(self, file: Path) -> str:
        """All that the files of a song follow from, as a digest: the song, the network and the options."""
        args = self._args
        names = ("start", "duration", "audio_track", "format", "bitrate", "subtype", "sample_rate", "gains")
        asked: dict[str, Any] = {name: getattr(args, name) for name in (*names, "clip_mode", "remux")}
        network = {name: value for name, value in args.separator().items() if name not in _ELSEWHERE}
        text = json.dumps([asked, network, self._weights, _digest_of(file)], sort_keys=True, default=str)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def _write_page(self, job: _Job, bar: Bar) -> None:
        """Write the page of a song, which the bar waits for."""
        stems = {stem: job.files[stem] for stem in self._separator.stems}
        share = 0.0

        def progress(more: float) -> None:
            nonlocal share
            share += more
            bar.wait(f"page {share:.0%}")

        bar.wait("page")
        try:
            write(
                job.page.parent, title_of(job.song.file), job.song.file, stems,
                name=job.page.name, about=f"separated by xumx with {self._model}", back=job.back,
                **self._part, progress=progress,
            )  # fmt: skip
        finally:
            bar.wait()

    def _seconds(self, song: Song) -> float:
        """How much of a song there is to separate, as far as its header tells."""
        try:
            whole = max((probe(song.file).duration or 0.0) - self._args.start, 0.0)
        except XumxError:  # said when its turn comes
            return 0.0
        return whole if self._args.duration is None else min(whole, self._args.duration)


_ELSEWHERE = {"model", "model_dir", "engine", "context", "device_id", "provider_options"}
"""Options that say where a network is, or is computed, and not what it gives."""


def _folder(job: _Job) -> Path:
    return next(iter(job.files.values())).parent


def _digest_of(file: Path) -> str:
    """Of the content of a file."""
    digest = hashlib.blake2b(digest_size=16)
    with open(file, "rb") as data:
        while block := data.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
