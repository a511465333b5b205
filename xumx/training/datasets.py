"""The data of a run: the stream to learn from, the pieces to validate on, the statistics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xumx.config import ModelConfig
from xumx.data.augment import augmentations
from xumx.data.cache import cached
from xumx.data.pieces import Mixes, Pieces
from xumx.data.source import SampleStream
from xumx.data.track import Track
from xumx.errors import UsageError
from xumx.graph.objective import shortest
from xumx.training.communicator import Communicator
from xumx.training.options import Options
from xumx.training.statistics import Statistics, load_or_compute
from xumx.training.tracks import open_dataset


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
        Mixes of the training tracks.
    validation : Pieces or Mixes
        The validation tracks, all of them, in pieces; or mixes where there are no tracks.

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
        ranks = {"rank": communicator.rank, "world": communicator.size}
        needed = shortest(config)
        for name, seconds in (("--seq-dur", options.seq_dur), ("--valid-dur", options.valid_dur)):
            if seconds * config.sample_rate < needed:
                raise UsageError(
                    f"{name} {seconds:g} is too short for windows of {config.n_fft} samples; "
                    f"it must be at least {needed / config.sample_rate:.3f}"
                )
        self._data = open_dataset(options, config, output=options.output, progress=self._progress)
        self._train, valid = self._cached(self._data.train), self._cached(self._data.valid)
        self.stream = self._mixes(
            self._train,
            options.seq_dur,
            size=options.nb_train_samples,
            together=self._data.together,
            recorded=self._data.recorded,
            augmentations=augmentations(options.source_augmentations),
            **ranks,
        )
        self.stream.steps(options.batch_size)
        self.validation: Pieces | Mixes
        if options.nb_valid_samples:
            held = self._mixes(valid, options.valid_dur, size=options.nb_valid_samples, **ranks)
            self.validation = Mixes(held, workers=options.nb_workers)
        else:
            self.validation = Pieces(
                valid,
                config.sources,
                round(options.valid_dur * config.sample_rate),
                shortest=needed,
                silence_missing=options.silence_missing,
                channels=config.nb_channels,
                workers=options.nb_workers,
                **ranks,
            )

    def statistics(self) -> Statistics:
        """Of the training mixtures: kept beside the data, or in the output folder if that is read-only."""
        found = None
        options = self._options
        if self._communicator.rank == 0:
            drawn = options.nb_train_samples is not None
            found = load_or_compute(
                self._train,
                self._config,
                [self._data.root, Path(options.output)],
                mixes=Mixes(self.stream.plain(), workers=options.nb_workers) if drawn else None,
                workers=options.nb_workers,
                progress=self._progress,
            )
        return Statistics(*self._communicator.broadcast(None if found is None else np.stack(found)))

    def _mixes(self, tracks: list[Track], seconds: float, **changes: Any) -> SampleStream:
        options, config = self._options, self._config
        return SampleStream(
            tracks,
            self._data.sources,
            round(seconds * config.sample_rate),
            targets=config.sources,
            channels=config.nb_channels,
            samples_per_track=options.samples_per_track,
            seed=options.seed,
            **changes,
        )

    def _cached(self, tracks: list[Track]) -> list[Track]:
        folder = self._options.cache_dir
        return cached(tracks, folder, progress=self._progress) if folder else tracks
