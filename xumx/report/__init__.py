"""The listening page: pictures and synchronised players of a song and its stems, in one file.

    write(folder, "My song", "song.mp3", {"vocals": "out/vocals.wav", ...})

The page holds its pictures and its sound, asks nothing of any network and opens from disk. It links to the
stems' files.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple, TextIO

import numpy as np

from xumx.audio import decode, probe
from xumx.base.errors import UsageError, WriteError, XumxError
from xumx.base.files import replacing, writing_to
from xumx.report import page
from xumx.report.page import MARK, Drawing, Listed, Scores, Stem, clock
from xumx.report.pictures import Picture, spectrogram, waveform
from xumx.report.sound import BEST, PIECE, RATE, Rate, encoded, evenly, rate_for

__all__ = ["PAGE", "PLAYER", "Listed", "check", "clock", "overview", "title_of", "write", "write_player"]

PAGE = "index.html"
"""What a page is called if nothing else is said."""

PLAYER = "player.html"
"""What the player of another page is called."""

_BLOCK = 1 << 18
_STEMS = 0.9  # of the work of a page; the rest is the song's own sound, where there is one
_UNHEARD = 0.01  # of the energy: -20 dB, the noise of MP3 itself

PathLike = str | os.PathLike[str]
Progress = Callable[[float], None]


class _Signal(NamedTuple):
    """A file of sound, or a part of it, in seconds."""

    path: PathLike
    start: float = 0.0
    duration: float | None = None
    stream: int | None = None

    def blocks(self) -> Iterator[np.ndarray]:
        return decode(
            self.path,
            sample_rate=RATE,
            channels=2,
            start=self.start,
            duration=self.duration,
            stream=self.stream,
        )


def write(
    folder: PathLike,
    title: str,
    mix: PathLike,
    stems: Mapping[str, PathLike],
    scores: Scores | None = None,
    *,
    name: str = PAGE,
    about: str = "",
    back: PathLike | None = None,
    start: float = 0.0,
    duration: float | None = None,
    stream: int | None = None,
    progress: Progress = lambda share: None,
) -> Path:
    """Write the page of a song, in memory that does not grow with its length.

    Its sound is MP3, at the best of 64 to 160 kbit/s that keeps the page below 20 MB. With four stems it
    becomes mono beyond 7 minutes, and the page grows by 1.3 MB a minute beyond 14. The song is played as the
    sum of its stems; where these leave out more than 1% of its energy, it is a track of its own.

    Parameters
    ----------
    folder : path
        Made if it is not there.
    title : str
    mix : path
        The song.
    stems : mapping of str to path
        Files of its stems, aligned with it, in the order in which the page shows them.
    scores : mapping of str to mapping of str to float, optional
        For each source the values of metrics, in dB, where the truth is known.
    name : str
        Of the page's file.
    about : str
        A line below the title.
    back : path, optional
        The page of all songs, to which it leads: see `overview`.
    start, duration : float
        The part of the song that the stems hold, in seconds.
    stream : int, optional
        Which audio track of the song, as for :func:`xumx.audio.decode`.
    progress : callable
        Called with the share of the work that each step did; they sum to 1.

    Returns
    -------
    path
        Of the page.

    Raises
    ------
    AudioError
        If the song or a stem cannot be read.
    XumxError
        If the page cannot be written, or what it would replace is no page of ours.
    """
    if not stems:
        raise UsageError(f"{title}: a page needs a stem at least")
    path = Path(folder) / name
    check(path)
    song, signals = _Signal(mix, start, duration, stream), [_Signal(file) for file in stems.values()]
    with _writing(path) as file, TemporaryFile("w+", encoding="utf-8", dir=path.parent) as sounds:
        samples = _length(signals)
        rate = rate_for(samples / RATE, len(signals))
        seen = _Seen(samples, stems)
        for piece in _heard(seen, song, signals, rate, progress):
            sounds.write(page.sound(*piece))
        if not seen.heard and (less := rate_for(samples / RATE, len(signals) + 1)) != rate:
            rate = less  # with a track more, all have to be smaller
            sounds.truncate(sounds.seek(0))
            for piece in encoded(_blocks([*signals, song], samples), rate):
                sounds.write(page.sound(*piece))
        top, bottom = page.of_song(
            title,
            about,
            samples / RATE,
            seen.mix,
            seen.rows({stem: os.path.relpath(file, path.parent) for stem, file in stems.items()}),
            scores or {},
            rate,
            seen.heard,
            os.path.relpath(back, path.parent) if back else "",
        )
        file.write(top)
        sounds.seek(0)
        file.writelines(sounds)
        file.write(bottom)
    return path


def write_player(
    folder: PathLike,
    mix: PathLike,
    stems: Mapping[str, PathLike],
    links: Mapping[str, str],
    *,
    start: float = 0.0,
    duration: float | None = None,
    stream: int | None = None,
    progress: Progress = lambda share: None,
) -> None:
    """Write the player of a song for another page, which fetches its sound piece by piece.

    In the folder are then `PLAYER`, the element that ``controls.js`` makes play, and
    ``<track>-<piece>.mp3`` at the best of the rates.

    Parameters
    ----------
    folder : path
        It is there.
    mix, stems, start, duration, stream, progress
        As for `write`.
    links : mapping of str to str
        Where the other page has the file of each stem, relative to it.

    Raises
    ------
    AudioError
        If the song or a stem cannot be read.
    XumxError
        If it cannot be written.
    """
    folder = Path(folder)
    song, signals = _Signal(mix, start, duration, stream), [_Signal(file) for file in stems.values()]
    seen = _Seen(_length(signals), stems)
    try:
        for track, number, piece in _heard(seen, song, signals, BEST, progress):
            (folder / f"{track}-{number}.mp3").write_bytes(piece)
        text = page.player(seen.samples / RATE, seen.mix, seen.rows(links), {}, seen.heard)
        (folder / PLAYER).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise XumxError(f"{folder}: the player cannot be written ({error.strerror})") from None


def overview(path: PathLike, pages: Mapping[Path, Listed]) -> Path:
    """Write the page that leads to others.

    Parameters
    ----------
    path : path
        Of the page.
    pages : mapping of path to Listed
        The others and what it tells of their songs.

    Returns
    -------
    path
        Of the page.

    Raises
    ------
    XumxError
        As :func:`write`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     songs = {Path(folder, "song/index.html"): Listed("My song", "song.mp3", 205)}
    ...     page = overview(f"{folder}/index.html", songs)
    ...     "<span>song.mp3 · 3:25</span>" in page.read_text(encoding="utf-8")
    True
    """
    path = Path(path)
    check(path)
    with _writing(path) as file:
        file.write(page.of_songs({os.path.relpath(p, path.parent): song for p, song in pages.items()}))
    return path


def title_of(song: PathLike) -> str:
    """Return artist and title, if the file tells its title; else its name.

    Raises
    ------
    AudioError
        If the file cannot be read.
    """
    tags = probe(song).tags
    if not tags.get("title"):
        return Path(song).stem
    return " – ".join(tags[key] for key in ("artist", "title") if tags.get(key))


def check(path: PathLike) -> None:
    """Raise an XumxError if there is a file that is no page of ours, so that it stays what it is."""
    try:
        with writing_to(path), open(path, "rb") as file:
            ours = MARK.encode() in file.read(1000)
    except WriteError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return
        raise
    if not ours:
        raise XumxError(f"{path} is no page of xumx's; move it, or use another `outdir`")


class _Seen:
    """What one going through a song and its stems shows: pictures, and whether they sum to the song."""

    def __init__(self, samples: int, stems: Iterable[str]) -> None:
        self.samples, self._stems = samples, list(stems)
        self._pictures = [Picture(samples, RATE) for _ in ("the song", *self._stems)]
        self._energy = self._both = self._sums = 0.0

    def passing(self, blocks: Iterable[Sequence[np.ndarray]]) -> Iterator[Sequence[np.ndarray]]:
        """Look at blocks of the song and its stems, and give those of the stems on."""
        for song, *stems in blocks:
            for picture, block in zip(self._pictures, (song, *stems), strict=True):
                picture.add(block)
            total = np.sum(stems, axis=0)
            self._energy += float(np.vdot(song, song))
            self._both += float(np.vdot(song, total))
            self._sums += float(np.vdot(total, total))
            yield stems

    @property
    def block(self) -> int:
        """Samples of a block: as many as several columns of a picture stand for."""
        step = self._pictures[0].step
        return math.ceil(_BLOCK / step) * step

    @property
    def heard(self) -> bool:
        """Whether the stems sum to the song."""
        # What no gain g makes of the sum S, min |M - g S|² = |M|² - <M, S>² / |S|²: one gain for all stems
        # does not count, since they may have been scaled to stay within full scale.
        left = self._energy - (self._both**2 / self._sums if self._sums else 0.0)
        return left <= _UNHEARD * self._energy

    @cached_property
    def _drawings(self) -> list[Drawing]:
        """Of the song and its stems, on one scale."""
        seen = [picture.finish() for picture in self._pictures]
        peak, loudest = float(np.abs(seen[0][0]).max()), float(seen[0][1].max())
        return [
            Drawing(len(power), waveform(extremes, peak), spectrogram(power, loudest))
            for extremes, power in seen
        ]

    @property
    def mix(self) -> Drawing:
        return self._drawings[0]

    def rows(self, links: Mapping[str, str]) -> list[Stem]:
        return [Stem(stem, links[stem], drawn) for stem, drawn in zip(self._stems, self._drawings[1:])]


def _length(signals: Sequence[_Signal]) -> int:
    return sum(len(block) for block in signals[0].blocks())


def _blocks(signals: Iterable[_Signal], samples: int, size: int = _BLOCK) -> Iterator[Sequence[np.ndarray]]:
    return zip(*(evenly(signal.blocks(), samples, size) for signal in signals))


def _heard(
    seen: _Seen, song: _Signal, signals: Sequence[_Signal], rate: Rate, progress: Progress
) -> Iterator[tuple[int, int, bytes]]:
    """Go through a song and its stems: track, number and file of each piece that the page plays."""
    share = 1 / math.ceil(seen.samples / (PIECE * RATE))  # of a track
    blocks = _blocks([song, *signals], seen.samples, seen.block)
    for piece in encoded(seen.passing(blocks), rate):
        yield piece
        progress(_STEMS * share / len(signals))
    if seen.heard:
        progress(1 - _STEMS)
        return
    for _, number, file in encoded(_blocks([song], seen.samples), rate):
        yield len(signals), number, file
        progress((1 - _STEMS) * share)


@contextmanager
def _writing(path: Path) -> Iterator[TextIO]:
    with replacing(path) as aside, open(aside, "w", encoding="utf-8", newline="\n") as file:
        yield file
