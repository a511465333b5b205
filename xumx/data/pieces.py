"""Whole tracks in order, in pieces: for validation and for statistics, where nothing may be left out.

Where there are no whole tracks, mixes that were drawn once and for all take their place.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from typing import NamedTuple

import numpy as np

from xumx.base.errors import AudioError, UsageError
from xumx.base.pools import prefetch
from xumx.data.source import Sample, SampleStream
from xumx.data.track import MIXTURE, Track

logger = logging.getLogger(__name__)


class Piece(NamedTuple):
    """Samples ``start`` to ``start + length`` of a track."""

    track: Track
    start: int
    length: int


class Pieces:
    """Tracks from their first to their last sample, cut into pieces, over and over.

    The mixtures are those that were recorded, not sums of the sources. Iterating gives pairs
    ``(Piece, Sample)`` in the order of the tracks; a piece that cannot be read is left out, with a
    warning whose subject is the track.

    Parameters
    ----------
    tracks : sequence of Track
        What to go through.
    targets : sequence of str
        Sources to return beside the mixture; none for the mixture alone.
    samples : int, optional
        Length of all pieces but the last of a track; by default a track is one piece.
    shortest : int
        A last piece that would be shorter is joined to the one before.
    silence_missing : bool
        A target that a track lacks is silent.
    channels : int
        Audio channels.
    workers : int
        Threads that read ahead, as many pieces as they are; 0 reads in the calling thread.
    rank, world : int
        Which of how many processes this is: they take turns piece by piece.

    Raises
    ------
    UsageError
        If a track lacks a target, or the length is not positive.
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        targets: Sequence[str],
        samples: int | None = None,
        *,
        shortest: int = 1,
        silence_missing: bool = False,
        channels: int = 2,
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if samples is not None and samples < 1:
            raise UsageError(f"the length of a piece must be positive, not {samples}")
        for track in () if silence_missing else tracks:
            for target in targets:
                if target not in track.sources:
                    known = ", ".join(track.sources)
                    raise UsageError(f"{track.name} has no source {target!r}, only {known}")
        everything = [piece for track in tracks for piece in cut(track, samples or track.samples, shortest)]
        self.pieces = everything[rank::world]
        self._targets = tuple(targets)
        self._channels = channels
        self._workers = workers

    def __len__(self) -> int:
        return len(self.pieces)

    def __iter__(self) -> Generator[tuple[Piece, Sample], None, None]:
        for piece, sample in prefetch(self._read, self.pieces, workers=self._workers, ahead=self._workers):
            if sample is not None:
                yield piece, sample

    def _read(self, piece: Piece) -> tuple[Piece, Sample | None]:
        track, start, length = piece
        mixture = np.zeros((length, self._channels), np.float32)
        targets = np.zeros((len(self._targets), length, self._channels), np.float32)
        recorded = MIXTURE in track.recordings
        try:
            for source in track.recordings:
                if recorded and source != MIXTURE and source not in self._targets:
                    continue
                audio = track.read(source, start, length, self._channels)
                if recorded == (source == MIXTURE):
                    mixture += audio
                if source in self._targets:
                    targets[self._targets.index(source)] = audio
        except AudioError as error:
            message = "%s; what cannot be read is left out"
            logger.warning(message, error, extra={"subject": track.name})
            return piece, None
        return piece, Sample(mixture, targets)


class Mixes:
    """The first epoch of a stream, over and over, in place of pieces of tracks.

    Iterating gives pairs ``(Piece, Sample)``, the piece of a track that has no recordings.

    Parameters
    ----------
    stream : SampleStream
        It knows its rank.
    workers : int
        Threads that draw ahead, as many mixes as they are; 0 draws in the calling thread.
    """

    def __init__(self, stream: SampleStream, *, workers: int = 0) -> None:
        self.stream = stream
        self._workers = workers

    def __len__(self) -> int:
        return len(range(self.stream.rank, self.stream.size, self.stream.world))

    def __iter__(self) -> Generator[tuple[Piece, Sample], None, None]:
        yield from prefetch(self._draw, range(len(self)), workers=self._workers, ahead=self._workers)

    def _draw(self, position: int) -> tuple[Piece, Sample]:
        piece = Piece(Track(f"mix {position}", {}), 0, self.stream.samples)
        return piece, self.stream.sample(0, position)


def cut(track: Track, samples: int, shortest: int = 1) -> list[Piece]:
    """Cut a whole track into pieces of ``samples``, the last shorter, or longer by less than ``shortest``.

    Examples
    --------
    >>> from xumx.data.recording import Recording
    >>> track = Track("song", {"vocals": Recording("song.wav", 0, 105, 2, 44100)})
    >>> [piece[1:] for piece in cut(track, 50)], [piece[1:] for piece in cut(track, 50, shortest=6)]
    ([(0, 50), (50, 50), (100, 5)], [(0, 50), (50, 55)])
    """
    starts = list(range(0, track.samples, samples))
    if len(starts) > 1 and track.samples - starts[-1] < shortest:
        starts.pop()
    return [
        Piece(track, start, end - start)
        for start, end in zip(starts, [*starts[1:], track.samples], strict=True)
    ]
