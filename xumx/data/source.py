"""The endless stream of training samples: mixtures made of excerpts of random tracks, or of one track each.

A sample is a function of the seed, the epoch and its index in the epoch alone. It does not depend on the
samples drawn before it, so that a run can resume anywhere, that any number of threads can draw, and that
ranks can take turns: position p of rank r is index p · world + r.
"""

from __future__ import annotations

import difflib
import logging
import math
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from copy import copy
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from xumx.base.errors import AudioError, UsageError
from xumx.base.pools import prefetch
from xumx.data.augment import Augmentation
from xumx.data.track import MIXTURE, Track, listing

logger = logging.getLogger(__name__)

ATTEMPTS = 20
"""Draws in a row that may hit unreadable audio before that is an error, or silence before it is taken."""

SILENCE = 1e-3
"""Peak, of full scale 1, below which an excerpt is silent: -60 dB."""


class Sample(NamedTuple):
    """Audio of a mixture and of the targets in it, float32; a batch has one more axis in front."""

    mixture: np.ndarray
    """Shape (samples, channels)."""

    targets: np.ndarray
    """Shape (targets, samples, channels), in the order of the target names."""


class SampleStream:
    """Random mixes of excerpts, epoch after epoch.

    In an epoch each source takes an excerpt of each track equally often, at random positions and in an
    order of its own, so that the sources of a sample come from different tracks. The mixture is the sum
    of the augmented excerpts. Sources that belong together are taken from one track at one position;
    those that it lacks are silent.

    Parameters
    ----------
    tracks : sequence of Track
        Not all need to have all sources. Those shorter than a sample are padded with silence at their end.
    sources : sequence of str
        What a mixture is made of.
    samples : int
        Length of a sample.
    targets : sequence of str, optional
        Sources that are returned on their own; all by default.
    channels : int
        Audio channels.
    samples_per_track : int
        An epoch has this many samples a track, over all ranks.
    size : int, optional
        Samples of an epoch, over all ranks, in place of as many a track.
    together : sequence of sequence of str, optional
        Groups of sources that belong together; by default each source is alone.
    recorded : bool
        The mixture is the one that was recorded, with which all sources belong together.
    augmentations : sequence of Augmentation
        Applied to each excerpt, in this order.
    level : float
        The mixture, and its sources with it, is made louder or quieter by up to this, in dB.
    redraw : bool
        Draw again, from any track and place, where an excerpt is silent.
    seed : int
        Not negative; the same on all ranks.
    rank, world : int
        Which of how many processes this is.

    Raises
    ------
    UsageError
        If there is nothing to draw from, a source that no track has, or an augmentation of what a recorded
        mixture holds unchanged.
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        sources: Sequence[str],
        samples: int,
        *,
        targets: Sequence[str] | None = None,
        channels: int = 2,
        samples_per_track: int = 64,
        size: int | None = None,
        together: Sequence[Sequence[str]] | None = None,
        recorded: bool = False,
        augmentations: Sequence[Augmentation] = (),
        level: float = 0.0,
        redraw: bool = False,
        seed: int = 42,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if not tracks:
            raise UsageError("there are no tracks to draw samples from")
        size = len(tracks) * samples_per_track if size is None else size
        lengths = {"sample length": samples, "samples per track": samples_per_track, "size": size}
        for name, value in lengths.items():
            if value < 1:
                raise UsageError(f"the {name} must be positive, not {value}")
        if seed < 0:
            raise UsageError(f"the seed must not be negative, as {seed} is")
        if recorded and (augmentations or redraw):
            raise UsageError("sources cannot be augmented, or drawn again, where the mixture is a recording")
        self.sources = tuple(sources)
        self.targets = self.sources if targets is None else tuple(targets)
        self.samples = samples
        self.channels = channels
        self.size = size
        """Samples of an epoch, over all ranks."""
        self.rank = rank
        self.world = world
        self._augmentations = tuple(augmentations)
        self._level, self._redraw = level, redraw
        self.seed = seed
        groups = [self.sources] if recorded else together or [(source,) for source in self.sources]
        mixture = {MIXTURE} if recorded else set()
        self._pools = [(frozenset(mixture.union(group)), _tracks_with(group, tracks)) for group in groups]
        self._recorded = recorded
        self._order = lru_cache(maxsize=2)(self._draw_order)
        for target in self.targets:
            if target not in self.sources:
                raise UsageError(f"the target {target!r} is none of the sources {listing(self.sources)}")
        short = [track.name for track in tracks if track.samples < samples]
        if short:
            seconds = samples / tracks[0].sample_rate
            logger.warning("shorter than a sample of %g s, padded with silence: %s", seconds, listing(short))

    def plain(self) -> SampleStream:
        """Give mixtures of the same tracks alone: no targets, no augmentation, all of them in one rank."""
        other = copy(self)
        other.targets, other._augmentations, other.rank, other.world = (), (), 0, 1
        other._level, other._redraw = 0.0, False
        return other

    def steps(self, batch_size: int) -> int:
        """Count the full batches that each rank has in an epoch.

        Raises
        ------
        UsageError
            If there is not even one.
        """
        if batch_size < 1:
            raise UsageError(f"the batch size must be positive, not {batch_size}")
        steps = self.size // (batch_size * self.world)
        if steps == 0:
            ranks = f" of {self.world} processes" if self.world > 1 else ""
            raise UsageError(
                f"a batch of {batch_size}{ranks} is more than the {self.size} samples of an epoch; "
                "use a smaller `batch_size` or a larger `samples_per_track`"
            )
        return steps

    def sample(self, epoch: int, position: int, out: Sample | None = None) -> Sample:
        """Draw the sample of this rank at a position of an epoch.

        Parameters
        ----------
        epoch, position : int
            From 0.
        out : Sample, optional
            Arrays to fill and return.

        Raises
        ------
        AudioError
            If one draw after another cannot be read. A single one is replaced by another random one,
            with a warning whose subject is the track.
        """
        index = position * self.world + self.rank
        if not 0 <= index < self.size:
            raise IndexError(f"position {position} of rank {self.rank} is not in an epoch of {self.size}")
        if out is None:
            out = Sample(*_empty((), self))
        out.mixture[...] = 0
        silent = dict(zip(self.targets, out.targets, strict=True))
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(epoch, index)))
        for (group, pool), first in zip(self._pools, self._order(epoch)[:, index], strict=True):
            for source, excerpt in self._excerpts(group, pool, first, rng).items():
                for augment, needed in zip(self._augmentations, self._lengths[1:], strict=True):
                    excerpt = augment(excerpt, rng)[:needed]
                length = len(excerpt)
                if (source == MIXTURE) == self._recorded:
                    out.mixture[:length] += excerpt
                if source in silent:
                    target = silent.pop(source)
                    target[:length], target[length:] = excerpt, 0
        for target in silent.values():
            target[...] = 0
        if self._level:
            factor = np.float32(10 ** (rng.uniform(-self._level, self._level) / 20))
            for audio in out:
                audio *= factor
        return out

    @property
    def _lengths(self) -> list[int]:
        """Samples of an excerpt that are needed before each augmentation, and after the last."""
        lengths = [self.samples]
        for augment in reversed(self._augmentations):
            lengths.append(math.ceil(lengths[-1] * augment.reach))
        return lengths[::-1]

    def _draw_order(self, epoch: int) -> np.ndarray:
        """Which track of its pool each group takes first: (groups, size)."""
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(epoch,)))
        return np.stack([rng.permutation(self.size) % len(pool) for _, pool in self._pools])

    def _excerpts(
        self, group: frozenset[str], pool: list[Track], choice: int, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """By source, as long as augmentations need, or the whole of a shorter track."""
        for attempt in range(ATTEMPTS):
            track = pool[choice]
            length = min(self._lengths[0], track.samples)
            start = int(rng.integers(track.samples - length + 1))
            # In the order of the track, as a set has none.
            members = [source for source in track.recordings if source in group]
            try:
                read = {source: track.read(source, start, length, self.channels) for source in members}
                if not self._redraw or attempt == ATTEMPTS - 1 or not _silent(read.values()):
                    return read
            except AudioError as error:
                failure = error
                message = "%s; other tracks take its place"
                logger.warning(message, error, extra={"subject": track.name})
            choice = int(rng.integers(len(pool)))
        raise AudioError(f"{ATTEMPTS} draws in a row could not be read, the last one because: {failure}")


def batches(
    stream: SampleStream, batch_size: int, *, workers: int = 0, epoch: int = 0, step: int = 0
) -> Generator[Sample, None, None]:
    """Draw batches without end, from a step of an epoch on; an epoch has ``stream.steps(batch_size)``.

    What does not fill a batch at the end of an epoch is left out: other samples in each epoch. Close the
    iterator to end its threads.

    Parameters
    ----------
    stream : SampleStream
        Where samples come from.
    batch_size : int
        Samples in a batch.
    workers : int
        Threads that draw the next batch ahead; 0 draws in the calling thread.
    epoch, step : int
        Where to start.

    Yields
    ------
    Sample
        mixture (batch, samples, channels) and targets (batch, targets, samples, channels): new arrays.

    Raises
    ------
    UsageError
        If an epoch has not even one batch.
    AudioError
        If data cannot be read.
    """
    steps = stream.steps(batch_size)

    def rows() -> Iterator[tuple[Sample, int, int, int]]:
        now = epoch * steps + step
        while True:
            batch = Sample(*_empty((batch_size,), stream))
            for row in range(batch_size):
                yield batch, row, now // steps, now % steps * batch_size + row
            now += 1

    def draw(item: tuple[Sample, int, int, int]) -> tuple[Sample, int]:
        batch, row, epoch, position = item
        stream.sample(epoch, position, out=Sample(batch.mixture[row], batch.targets[row]))
        return batch, row

    def whole() -> Generator[Sample, None, None]:
        with closing(prefetch(draw, rows(), workers=workers, ahead=max(batch_size, workers))) as drawn:
            for batch, row in drawn:
                if row == batch_size - 1:
                    yield batch

    return whole()


def _silent(excerpts: Iterable[np.ndarray]) -> bool:
    return all(np.abs(audio).max(initial=0) < SILENCE for audio in excerpts)


def _empty(front: tuple[int, ...], stream: SampleStream) -> tuple[np.ndarray, np.ndarray]:
    shape = (stream.samples, stream.channels)
    return np.empty((*front, *shape), np.float32), np.empty((*front, len(stream.targets), *shape), np.float32)


def _tracks_with(group: Sequence[str], tracks: Sequence[Track]) -> list[Track]:
    """Those that have any of the sources, each of which must be in one of them."""
    known = {name for track in tracks for name in track.sources}
    for source in group:
        if source not in known:
            near = difflib.get_close_matches(source, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"they have {listing(sorted(known))}"
            raise UsageError(f"no track has the source {source!r}; {hint}")
    return [track for track in tracks if not track.recordings.keys().isdisjoint(group)]
