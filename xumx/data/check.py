"""Everything that is wrong with the audio of a data set, found by reading all of it once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from xumx.audio.samples import BLOCK, averaged, first_non_finite, resampled
from xumx.base.console import Bar
from xumx.base.errors import AudioError
from xumx.base.pools import prefetch
from xumx.data.recording import SHORTAGE, Recording
from xumx.data.track import MIXTURE, Track, to_channels

FULL = 0.999
"""Full scale: where three samples in a row are equal and beyond it, the recording was cut off there."""

QUIET = 1e-4
"""A recording that never exceeds it, -80 dB, is silent."""

APART = 0.1
"""Seconds by which recordings of a track may differ in length: coded ones are filled up."""

MIXED = -12.0
"""Decibels of the mixture by which it may differ from the sum: some of MUSDB18's do by -15."""

BINS = 64
"""Parts of a track whose levels tell whether another may be the same."""


class Problem(NamedTuple):
    """One thing that is wrong.

    Attributes
    ----------
    kind : str
        'unreadable', 'length', 'silence', 'clipping', 'mixture', 'duplicate' or 'left out'.
    track : str
        Whose it is.
    what : str
        What it is, in a few words.
    """

    kind: str
    track: str
    what: str


class Part(NamedTuple):
    """What tracks amount to: their number, hours, recordings, and how many of these have each rate in Hz."""

    tracks: int
    hours: float
    recordings: int
    rates: dict[int, int]


class Report(NamedTuple):
    """What is there, by 'train' and 'valid', and what is wrong with it."""

    parts: dict[str, Part]
    problems: list[Problem]


class _Examined(NamedTuple):
    track: Track
    levels: np.ndarray | None  # of the mixture in each bin, in dB around their mean; None for silence
    problems: list[Problem]


def check(
    train: Sequence[Track],
    valid: Sequence[Track],
    *,
    channels: int = 2,
    summed: bool = True,
    workers: int = 0,
    progress: bool = True,
) -> Report:
    """Read all recordings from their files, from the first to the last sample.

    Parameters
    ----------
    train, valid : sequence of Track
    channels : int
        Audio channels that will be read.
    summed : bool
        Whether recorded mixtures should be the sums of the sources.
    workers : int
        Threads that read, each a track at a time.
    progress : bool
        Whether to show a bar.
    """
    tracks = [*train, *valid]

    def examine(track: Track) -> _Examined:
        return _examine(track, channels, summed)

    with closing(prefetch(examine, tracks, workers=workers, ahead=workers)) as results:
        bar = Bar(len(tracks), "reading all data", unit="tracks", quiet=not progress)
        examined = list(bar.over(results))
    problems = [problem for one in examined for problem in one.problems]
    problems += _duplicates(examined[: len(train)], examined[len(train) :])
    return Report({"train": _part(train), "valid": _part(valid)}, problems)


def _part(tracks: Sequence[Track]) -> Part:
    recordings = [recording for track in tracks for recording in track.recordings.values()]
    rates = Counter((recording.native or recording).sample_rate for recording in recordings)
    hours = sum(track.samples / track.sample_rate for track in tracks) / 3600
    return Part(len(tracks), hours, len(recordings), dict(sorted(rates.items())))


class _Meter:
    """Passes the blocks of a recording on, at the rate that is asked for, and remembers what they hold."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.samples, self.flat, self.peak = 0, 0, 0.0

    def blocks(self) -> Iterator[np.ndarray]:
        own = (self.recording.native or self.recording).sample_rate
        for block in resampled(self._watched(), own, self.recording.sample_rate):
            self.samples += len(block)
            yield block

    def _watched(self) -> Iterator[np.ndarray]:
        for block in self.recording.blocks():
            if first_non_finite(block) is not None:
                raise AudioError(f"{self.recording.path}: holds NaN or infinite samples")
            self.peak = max(self.peak, float(np.abs(block).max(initial=0)))
            if self.peak > FULL:
                inner = block[1:-1]
                flat = (inner == block[:-2]) & (inner == block[2:]) & (np.abs(inner) > FULL)
                self.flat += int(np.count_nonzero(flat))
            yield block


def _examine(track: Track, channels: int, summed: bool) -> _Examined:
    meters = {source: _Meter(recording) for source, recording in track.recordings.items()}
    power, squares, wrong = np.zeros(BINS), 0.0, 0.0
    at = 0
    try:
        for blocks in zip_longest(*(_recut(meter.blocks()) for meter in meters.values())):
            stems = _level(dict(zip(meters, blocks)), channels, track.recordings)
            total = np.sum([stem for source, stem in stems.items() if source != MIXTURE], axis=0)
            mixture = stems.get(MIXTURE, total)
            squares += float(np.square(mixture, dtype=np.float64).sum())
            wrong += float(np.square(mixture - total, dtype=np.float64).sum())
            places = np.arange(at, at + len(mixture)) * BINS // track.samples
            mono = np.square(averaged(mixture)[:, 0], dtype=np.float64)
            power += np.bincount(np.minimum(places, BINS - 1), mono, BINS)
            at += len(mixture)
    except AudioError as error:
        return _Examined(track, None, [Problem("unreadable", track.name, str(error))])
    problems = [Problem(kind, track.name, what) for kind, what in _faults(track, meters)]
    off = 10 * np.log10(max(wrong, 1e-30) / max(squares, 1e-30))
    if summed and MIXTURE in meters and off > MIXED and squares > 0:
        what = f"differs from the sum of {', '.join(track.sources)} by {off:.1f} dB"
        problems.append(Problem("mixture", track.name, what))
    return _Examined(track, _levels(power), problems)


def _faults(track: Track, meters: Mapping[str, _Meter]) -> Iterator[tuple[str, str]]:
    rate = track.sample_rate
    seconds = {source: meter.samples / rate for source, meter in meters.items()}
    for source, meter in meters.items():
        stated = meter.recording.samples
        if meter.samples < stated - SHORTAGE:
            yield "unreadable", f"{source} ends at {seconds[source]:.2f} s of {stated / rate:.2f} s"
        if meter.peak < QUIET:
            yield "silence", f"{source} is silent throughout"
        if meter.flat:
            yield "clipping", f"{source} is cut off at full scale in {meter.flat} samples"
    if max(seconds.values()) - min(seconds.values()) > APART:
        yield "length", ", ".join(f"{source} {length:.2f} s" for source, length in seconds.items())


def _recut(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Cut the same samples into blocks of one length, the last one shorter."""
    rest: np.ndarray | None = None
    for block in blocks:
        rest = block if rest is None else np.concatenate([rest, block])
        whole = len(rest) // BLOCK * BLOCK
        for start in range(0, whole, BLOCK):
            yield rest[start : start + BLOCK]
        rest = rest[whole:]
    if rest is not None and len(rest):
        yield rest


def _level(
    blocks: Mapping[str, np.ndarray | None], channels: int, recordings: Mapping[str, Recording]
) -> dict[str, np.ndarray]:
    """Blocks of one place, in the same channels, and filled with silence to the length of the longest."""
    length = max(len(block) for block in blocks.values() if block is not None)
    level = {}
    for source, block in blocks.items():
        block = np.zeros((0, 1), np.float32) if block is None else block
        audio = to_channels(block, channels, recordings[source])
        level[source] = np.pad(audio, ((0, length - len(block)), (0, 0)))
    return level


def _levels(power: np.ndarray) -> np.ndarray | None:
    if not power.any():
        return None
    levels: np.ndarray = 10 * np.log10(np.maximum(power / power.max(), 1e-6))
    return levels - levels.mean()


def _duplicates(train: Sequence[_Examined], valid: Sequence[_Examined]) -> Iterator[Problem]:
    """Tracks to validate on that are to be learned from too, at whatever level and in whatever format.

    Those of about the same length whose levels mostly run alike are compared by their waveforms.
    """
    known = [one for one in train if one.levels is not None]
    levels = (
        np.stack([one.levels for one in known if one.levels is not None]) if known else np.empty((0, BINS))
    )
    lengths = np.array([one.track.samples for one in known])
    for other in valid:
        if other.levels is None:
            continue
        allowed = max(0.01 * other.track.samples, 0.2 * other.track.sample_rate)
        near = np.flatnonzero(np.abs(lengths - other.track.samples) < allowed)
        distance = np.median(np.abs(levels[near] - other.levels), axis=1)
        for index in near[np.argsort(distance)][: min(10, np.count_nonzero(distance < 1))]:
            if _same(known[index].track, other.track, int(other.levels.argmax())):
                what = f"the same audio as {known[index].track.name} to train on"
                yield Problem("duplicate", other.track.name, what)
                break


def _same(first: Track, second: Track, loudest: int) -> bool:
    """Whether the waveforms correlate around the loudest bin, moved by up to some frames."""
    samples = min(first.samples, second.samples)
    length = min(5 * first.sample_rate, samples)
    start = min(max(loudest * samples // BINS - length // 2, 0), samples - length)
    try:
        mixtures = [track.read(MIXTURE, start, length, 1)[:, 0] for track in (first, second)]
    except AudioError:
        return False
    one, two = (mixture.astype(np.float64) for mixture in mixtures)
    products = np.fft.irfft(np.fft.rfft(one, 2 * length) * np.conj(np.fft.rfft(two, 2 * length)))
    return bool(np.abs(products).max() > 0.8 * np.sqrt(np.square(one).sum() * np.square(two).sum()))
