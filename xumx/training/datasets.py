"""The data of a run: the stream to learn from, the pieces to validate on, the statistics."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from xumx.config import ModelConfig
from xumx.data.augment import augmentations
from xumx.data.cache import cached
from xumx.data.musdb import musdb_tracks, preview_root
from xumx.data.pieces import Pieces
from xumx.data.source import SampleStream
from xumx.data.track import Track
from xumx.data.unpaired import unpaired_tracks
from xumx.errors import UsageError, XumxError
from xumx.graph.cpu_ops.base import THREADS
from xumx.graph.objective import shortest
from xumx.training.communicator import Communicator
from xumx.training.options import Options
from xumx.training.statistics import Statistics, load_or_compute


class Datasets:
    """What the options say of data, for one rank.

    Parameters
    ----------
    options : Options
    config : ModelConfig
    communicator : Communicator

    Attributes
    ----------
    stream : SampleStream
        Random mixes of the training tracks.
    validation : Pieces
        The validation tracks, all of them, in pieces.
    unpaired : SampleStream or None
        What discriminators are shown of recordings that belong to no mixture.

    Raises
    ------
    UsageError
        If the data cannot serve the options: too short samples, unknown sources, a batch of more than all.
    XumxError
        If there is no usable data.
    """

    def __init__(self, options: Options, config: ModelConfig, communicator: Communicator) -> None:
        self._options, self._config, self._communicator = options, config, communicator
        self._progress = not options.quiet and communicator.rank == 0
        needed = shortest(config)
        for name, seconds in (("--seq-dur", options.seq_dur), ("--valid-dur", options.valid_dur)):
            if seconds * config.sample_rate < needed:
                raise UsageError(
                    f"{name} {seconds:g} is too short for windows of {config.n_fft} samples; "
                    f"it must be at least {needed / config.sample_rate:.3f}"
                )
        self._root = Path(options.root).expanduser() if options.root else self._preview()
        self._train, valid = self._tracks("train"), self._tracks("valid")
        known = [(track.name, track.samples, track.sources) for track in (*self._train, *valid)]
        if others := communicator.differing(known):
            raise XumxError(
                f"--root {self._root}: {others} found other tracks there than rank 0; all need the same set"
            )
        # Everything there is goes into the mixtures, whatever is to be separated from them.
        sources = tuple(dict.fromkeys(source for track in self._train for source in track.sources))
        self.stream = SampleStream(
            self._train,
            sources,
            round(options.seq_dur * config.sample_rate),
            targets=config.sources,
            channels=config.nb_channels,
            samples_per_track=options.samples_per_track,
            augmentations=augmentations(options.source_augmentations),
            seed=options.seed,
            rank=communicator.rank,
            world=communicator.size,
        )
        self.stream.steps(options.batch_size)
        self.validation = Pieces(
            valid,
            config.sources,
            round(options.valid_dur * config.sample_rate),
            shortest=needed,
            channels=config.nb_channels,
            workers=options.nb_workers,
            rank=communicator.rank,
            world=communicator.size,
        )

        self.unpaired = self._unpaired(options.unpaired) if options.unpaired else None

    def statistics(self) -> Statistics:
        """Of the training mixtures: kept beside the data, or in the output folder if that is read-only."""
        found = None
        if self._communicator.rank == 0:
            folders = [self._root, Path(self._options.output)]
            found = load_or_compute(
                self._train, self._config, folders, workers=self._options.nb_workers, progress=self._progress
            )
        return Statistics(*self._communicator.broadcast(None if found is None else np.stack(found)))

    def _unpaired(self, folder: str) -> SampleStream:
        options, stream = self._options, self.stream
        tracks = unpaired_tracks(folder, self._config.sources, self._config.sample_rate)
        needed = -(-options.batch_size * stream.world // len(tracks))  # for one batch of each rank
        return SampleStream(
            tracks,
            [s for s in self._config.sources if any(s in track.recordings for track in tracks)],
            stream.samples,
            channels=stream.channels,
            samples_per_track=max(options.samples_per_track, needed),
            augmentations=augmentations(options.source_augmentations),
            seed=options.seed,
            rank=stream.rank,
            world=stream.world,
        )

    def _tracks(self, split: str) -> list[Track]:
        options = self._options
        tracks = musdb_tracks(
            self._root, "train", split, is_wav=options.is_wav, sample_rate=self._config.sample_rate
        )
        if not options.cache_dir:
            return tracks
        ranks = self._communicator
        workers = None
        if ranks.size > 1:
            workers = THREADS
            if share := tracks[ranks.rank :: ranks.size]:
                with contextlib.suppress(XumxError):  # said below
                    cached(share, options.cache_dir, workers=workers, progress=self._progress)
            ranks.barrier()
        return cached(tracks, options.cache_dir, workers=workers, progress=self._progress)

    def _preview(self) -> Path:
        """Downloaded by one process a machine."""
        if self._communicator.local_rank == 0:
            preview_root()
        self._communicator.barrier()
        return preview_root()

