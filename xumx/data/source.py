"""The endless stream of training samples: mixtures made of excerpts of random tracks.

A sample is a function of the seed, the epoch and its index in the epoch alone. It does not depend on the
samples drawn before it, so that a run can resume anywhere, that any number of threads can draw, and that
ranks can take turns: position p of rank r is index p · world + r.
"""

from __future__ import annotations

import difflib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from xumx.data.augment import Augmentation
from xumx.data.track import MIXTURE, Track, WarnOnce, listing, logger
from xumx.errors import AudioError, UsageError
from xumx.prefetch import prefetch

ATTEMPTS = 20
"""Draws in a row that may hit unreadable audio before that is an error."""


class Sample(NamedTuple):
    """Audio of a mixture and of the targets in it, float32; a batch has one more axis in front."""

    mixture: np.ndarray
    """Shape (channels, samples)."""

    targets: np.ndarray
    """Shape (targets, channels, samples), in the order of the target names."""


class SampleStream:
    """Random mixes of excerpts, epoch after epoch.

    In an epoch each source takes an excerpt of each track equally often, at random positions and in an
    order of its own, so that the sources of a sample come from different tracks. The mixture is the sum
    of the augmented excerpts.

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
    augmentations : sequence of Augmentation
        Applied to each excerpt, in this order.
    seed : int
        Not negative; the same on all ranks.
    rank, world : int
        Which of how many processes this is.

    Raises
    ------
    UsageError
        If there is nothing to draw from, or a source that no track has.
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
        augmentations: Sequence[Augmentation] = (),
        seed: int = 42,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        for name, value in (("sample length", samples), ("samples per track", samples_per_track)):
            if value < 1:
                raise UsageError(f"the {name} must be positive, not {value}")
        if seed < 0:
            raise UsageError(f"the seed must not be negative, as {seed} is")
        if not tracks:
            raise UsageError("there are no tracks to draw samples from")
        self.sources = tuple(sources)
        self.targets = self.sources if targets is None else tuple(targets)
        self.samples = samples
        self.channels = channels
        self.size = len(tracks) * samples_per_track
        """Samples of an epoch, over all ranks."""
        self.rank = rank
        self.world = world
        self._augmentations = tuple(augmentations)
        self._seed = seed
        self._pools = [_tracks_with(source, tracks) for source in self.sources]
        self._order = lru_cache(maxsize=2)(self._draw_order)
        self._warn = WarnOnce()
        for target in self.targets:
            if target not in self.sources:
                raise UsageError(f"the target {target!r} is none of the sources {', '.join(self.sources)}")
        short = [track.name for track in tracks if track.samples < samples]
        if short:
            seconds = samples / tracks[0].sample_rate
            logger.warning("shorter than a sample of %g s, padded with silence: %s", seconds, listing(short))

    def steps(self, batch_size: int) -> int:
        """Full batches that each rank has in an epoch.

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
                "use a smaller --batch-size or a larger --samples-per-track"
            )
        return steps

    def sample(self, epoch: int, position: int, out: Sample | None = None) -> Sample:
        """The sample of this rank at a position of an epoch.

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
            with one warning a track.
        """
        index = position * self.world + self.rank
        if not 0 <= index < self.size:
            raise IndexError(f"position {position} of rank {self.rank} is not in an epoch of {self.size}")
        if out is None:
            out = Sample(*_empty((), self))
        out.mixture[...] = 0
        rng = np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(epoch, index)))
        for source, pool, first in zip(self.sources, self._pools, self._order(epoch)[:, index], strict=True):
            excerpt = self._excerpt(source, pool, first, rng)
            for augment in self._augmentations:
                excerpt = augment(excerpt, rng)
            length = excerpt.shape[-1]
            out.mixture[:, :length] += excerpt
            if source in self.targets:
                target = out.targets[self.targets.index(source)]
                target[:, :length], target[:, length:] = excerpt, 0
        return out

    def _draw_order(self, epoch: int) -> np.ndarray:
        """Which track of its pool each source takes first: (sources, size)."""
        rng = np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(epoch,)))
        return np.stack([rng.permutation(self.size) % len(pool) for pool in self._pools])

    def _excerpt(self, source: str, pool: list[Track], choice: int, rng: np.random.Generator) -> np.ndarray:
        """As long as a sample, or the whole of a shorter track."""
        for _ in range(ATTEMPTS):
            track = pool[choice]
            length = min(self.samples, track.samples)
            start = int(rng.integers(track.samples - length + 1))
            try:
                return track.read(source, start, length, self.channels)
            except AudioError as error:
                failure = error
                self._warn(track.name, f"{error}; other tracks take its place")
                choice = int(rng.integers(len(pool)))
        raise AudioError(f"{ATTEMPTS} draws in a row could not be read, the last one because: {failure}")


def batches(
    stream: SampleStream, batch_size: int, *, workers: int = 0, epoch: int = 0, step: int = 0
) -> Generator[Sample, None, None]:
    """Batches without end, from a step of an epoch on; an epoch has ``stream.steps(batch_size)`` of them.

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
        mixture (batch, channels, samples) and targets (batch, targets, channels, samples): new arrays.

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


def _empty(front: tuple[int, ...], stream: SampleStream) -> tuple[np.ndarray, np.ndarray]:
    shape = (stream.channels, stream.samples)
    return np.empty((*front, *shape), np.float32), np.empty((*front, len(stream.targets), *shape), np.float32)


def _tracks_with(source: str, tracks: Sequence[Track]) -> list[Track]:
    found = [track for track in tracks if source in track.recordings]
    if not found or source == MIXTURE:
        known = sorted({name for track in tracks for name in track.sources})
        near = difflib.get_close_matches(source, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"they have {', '.join(known)}"
        raise UsageError(f"no track has the source {source!r}; {hint}")
    return found
