"""The data of a run: the stream to learn from, the pieces to validate on, the statistics."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xumx.base.errors import UsageError, XumxError
from xumx.data import folders
from xumx.data.augment import augmentations
from xumx.data.cache import cached
from xumx.data.folders import Found, unpaired_tracks
from xumx.data.musdb import musdb_tracks, preview_root
from xumx.data.pieces import Mixes, Pieces
from xumx.data.source import SampleStream
from xumx.data.split import long_enough, split
from xumx.data.track import Track
from xumx.graph.objective import shortest
from xumx.network.config import ModelConfig
from xumx.parallel.communicator import Communicator
from xumx.train.options import TrainOptions
from xumx.train.statistics import Statistics, load_or_compute


class DataSet(NamedTuple):
    """What a run learns from and validates on.

    Attributes
    ----------
    root : Path
        Its folder.
    train, valid : list of Track
    sources : tuple of str
        Everything that is in the mixtures, whatever is to be separated from them.
    together : tuple of tuple of str, optional
        See :class:`xumx.data.source.SampleStream`.
    recorded : bool
        Whether the mixtures are recordings.
    """

    root: Path
    train: list[Track]
    valid: list[Track]
    sources: tuple[str, ...]
    together: tuple[tuple[str, ...], ...] | None
    recorded: bool


def open_dataset(
    options: TrainOptions, config: ModelConfig, *, output: str | None, progress: bool = True
) -> DataSet:
    """Find the tracks that the options name, and read their headers.

    Parameters
    ----------
    options : TrainOptions
    config : ModelConfig
    output : path, optional
        Folder of the run, which keeps the headers if neither that of the data nor that of the cache can.
    progress : bool
        Whether to show a bar.

    Raises
    ------
    UsageError
        If the folder does not hold what the options say.
    XumxError
        If no track can be used.
    """
    root = Path(options.root).expanduser() if options.root else preview_root()
    if options.dataset == "musdb":
        wav, rate = options.is_wav, config.sample_rate
        train, valid = (
            musdb_tracks(root, "train", part, is_wav=wav, sample_rate=rate) for part in ("train", "valid")
        )
    else:
        keep = [root, *(Path(folder).expanduser() for folder in (options.cache_dir, output) if folder)]
        train, valid = (
            folders.tracks_of(
                found,
                root,
                keep,
                sample_rate=config.sample_rate,
                channels=config.nb_channels,
                workers=options.nb_workers,
                progress=progress,
            )
            for found in split(root, _finders(options), options.valid_share)
        )
    if options.min_chunk_duration:
        train, valid = (long_enough(tracks, options.min_chunk_duration) for tracks in (train, valid))
    sources = tuple(dict.fromkeys(source for track in train for source in track.sources))
    return DataSet(root, train, valid, sources, _together(options, sources), options.dataset == "aligned")


def _finders(options: TrainOptions) -> list[Callable[[Path], Found]]:
    """Functions that find the files of a folder."""
    extensions = options.ext
    targets = {
        source: [options.target_file] if options.target_file else [source + ext for ext in extensions]
        for source in options.sources
    }
    if options.dataset == "aligned":
        assert options.input_file is not None
        return [partial(folders.aligned, input_file=options.input_file, output_files=options.output_file)]
    if options.dataset == "sourcefolder":
        everything = (*options.sources, *options.interferers)
        return [partial(folders.sourcefolder, source=name, extensions=extensions) for name in everything]
    if options.dataset == "trackfolder_var":
        silent = options.silence_missing
        return [
            partial(folders.trackfolder_var, targets=targets, extensions=extensions, silence_missing=silent)
        ]
    files = dict(zip(options.interferers, ([file] for file in options.interferer_files), strict=True))
    names = {**targets, **files}
    whole = (options.target_file, *options.interferer_files)
    used = {*extensions, *(Path(file).suffix for file in whole if file)}
    return [partial(folders.trackfolder_fix, names=names, extensions=sorted(used))]


def _together(options: TrainOptions, sources: tuple[str, ...]) -> tuple[tuple[str, ...], ...] | None:
    if options.dataset == "trackfolder_var" and options.random_interferer_mix:
        others = tuple(source for source in sources if source not in options.sources)
        if not others:
            raise UsageError("`random_interferer_mix`: the tracks hold nothing but what is to be separated")
        return tuple(source for source in sources if source in options.sources), others
    mixed = options.random_track_mix or options.dataset in ("musdb", "sourcefolder")
    return None if mixed else (sources,)


class Datasets:
    """What the options say of data, for one rank.

    Parameters
    ----------
    options : TrainOptions
    config : ModelConfig
    communicator : Communicator

    Attributes
    ----------
    stream : SampleStream
        Mixes of the training tracks.
    validation : Pieces or Mixes
        The validation tracks, all of them, in pieces; or mixes where there are no tracks.
    unpaired : SampleStream or None
        What discriminators are shown of recordings that belong to no mixture.

    Raises
    ------
    UsageError
        If the data cannot serve the options: too short samples, unknown sources, a batch of more than all.
    XumxError
        If there is no usable data.
    """

    def __init__(self, options: TrainOptions, config: ModelConfig, communicator: Communicator) -> None:
        self._options, self._config, self._communicator = options, config, communicator
        self._progress = not options.quiet and communicator.rank == 0
        ranks = {"rank": communicator.rank, "world": communicator.size}
        needed = shortest(config)
        for name, seconds in (("`seq_dur`", options.seq_dur), ("`valid_dur`", options.valid_dur)):
            if seconds * config.sample_rate < needed:
                raise UsageError(
                    f"{name} {seconds:g} is too short for windows of {config.n_fft} samples; "
                    f"it must be at least {needed / config.sample_rate:.3f}"
                )
        if not options.root:
            self._preview()
        self._data = open_dataset(options, config, output=options.output, progress=self._progress)
        self._same(f"`root` {self._data.root}", "found", self._data.train, self._data.valid)
        self._train, valid = self._cached(self._data.train), self._cached(self._data.valid)
        self._same(f"`root` {self._data.root}", "could decode", self._train, valid)
        self.stream = self._mixes(
            self._train,
            options.seq_dur,
            size=options.nb_train_samples,
            together=self._data.together,
            recorded=self._data.recorded,
            augmentations=augmentations(options.source_augmentations, config.sample_rate),
            level=options.mixture_level,
            redraw=options.redraw_silence,
            **ranks,
        )
        batches = self.stream.steps(options.batch_size)
        if batches % options.accumulate:
            raise UsageError(
                f"`accumulate` {options.accumulate} must divide the {batches} batches that a process has "
                "in an epoch; change it, `batch_size` or `samples_per_track`"
            )
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

        self.unpaired = self._unpaired(options.unpaired) if options.unpaired else None

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

    def _unpaired(self, folder: str) -> SampleStream:
        options, stream = self._options, self.stream
        tracks = unpaired_tracks(folder, self._config.sources, self._config.sample_rate)
        self._same(f"`unpaired` {folder}", "found", tracks)
        needed = -(-options.batch_size * stream.world // len(tracks))  # for one batch of each rank
        return SampleStream(
            tracks,
            [s for s in self._config.sources if any(s in track.recordings for track in tracks)],
            stream.samples,
            channels=stream.channels,
            samples_per_track=max(options.samples_per_track, needed),
            augmentations=augmentations(options.source_augmentations, self._config.sample_rate),
            redraw=options.redraw_silence,
            seed=options.seed,
            rank=stream.rank,
            world=stream.world,
        )

    def _same(self, where: str, verb: str, *lists: list[Track]) -> None:
        """See that all ranks have the same tracks, of which they take turns."""
        known = [[(track.name, track.samples, track.sources) for track in tracks] for tracks in lists]
        if others := self._communicator.differing(known):
            raise XumxError(f"{where}: {others} {verb} other tracks there than rank 0; all need the same set")

    def _cached(self, tracks: list[Track]) -> list[Track]:
        options, ranks = self._options, self._communicator
        if not options.cache_dir:
            return tracks
        if ranks.size > 1:
            if share := tracks[ranks.rank :: ranks.size]:
                with contextlib.suppress(XumxError):  # said below
                    cached(share, options.cache_dir, progress=self._progress)
            ranks.barrier()
        return cached(tracks, options.cache_dir, progress=self._progress)

    def _preview(self) -> None:
        """Downloaded by one process a machine."""
        if self._communicator.local_rank == 0:
            preview_root()
        self._communicator.barrier()
