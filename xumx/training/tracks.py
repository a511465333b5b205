"""From the options to the tracks to learn from, and to how samples are made of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from xumx.config import ModelConfig
from xumx.data import folders
from xumx.data.folders import Found
from xumx.data.musdb import musdb_tracks, preview_root
from xumx.data.split import long_enough, split
from xumx.data.track import Track
from xumx.errors import UsageError
from xumx.training.options import Options


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
    options: Options, config: ModelConfig, *, output: str | None, progress: bool = True
) -> DataSet:
    """Find the tracks that the options name, and read their headers.

    Parameters
    ----------
    options : Options
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


def _finders(options: Options) -> list[Callable[[Path], Found]]:
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


def _together(options: Options, sources: tuple[str, ...]) -> tuple[tuple[str, ...], ...] | None:
    if options.dataset == "trackfolder_var" and options.random_interferer_mix:
        others = tuple(source for source in sources if source not in options.sources)
        if not others:
            raise UsageError("--random-interferer-mix: the tracks hold nothing but what is to be separated")
        return tuple(source for source in sources if source in options.sources), others
    mixed = options.random_track_mix or options.dataset in ("musdb", "sourcefolder")
    return None if mixed else (sources,)
