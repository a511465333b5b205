"""Data sets of files in folders, laid out as Open-Unmix has them.

==================  =======================================  ==============================================
kind                files below ``train`` and ``valid``      a sample
==================  =======================================  ==============================================
`aligned`           ``<track>/mixture.wav``, ``vocals.wav``  the recorded mixture, and targets in it
`sourcefolder`      ``<source>/**/*.wav``                    the sum of files that have nothing in common
`trackfolder_var`   ``<track>/*.wav``                        the sum of all files of a track, targets in it
`trackfolder_fix`   ``<track>/<source>.wav``                 the sum of the named files, of a track or several
==================  =======================================  ==============================================

Functions of these names find the files of a folder; :func:`tracks_of` makes tracks of them.

References
----------
.. [1] Stöter, Uhlich, Liutkus & Mitsufuji, "Open-Unmix - A Reference Implementation for Music Source
   Separation", 2019, doi:10.21105/joss.01667.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from unicodedata import normalize

from xumx.audio.media import SUFFIXES
from xumx.base.errors import AudioError, UsageError, XumxError
from xumx.data.headers import read_headers
from xumx.data.recording import Recording, recordings
from xumx.data.track import MIXTURE, Track, listing, track_at

logger = logging.getLogger(__name__)

Files = dict[str, Path]
"""Source name, or `MIXTURE`, to file."""

Found = dict[str, Files | AudioError]
"""Track name to its files, or to what is wrong with it."""


def aligned(folder: Path, input_file: str, output_files: Sequence[str]) -> Found:
    """Folders of a mixture and of targets, called as their files are without suffix."""
    names = {MIXTURE: [input_file], **{Path(file).stem: [file] for file in output_files}}
    return _each(folder, lambda files: _named(files, names))


def trackfolder_fix(folder: Path, names: Mapping[str, Sequence[str]], extensions: Sequence[str]) -> Found:
    """Folders that each have a file of each source.

    A file ``mixture`` is the recorded mixture if there is nothing else beside the sources.

    Parameters
    ----------
    folder : path
    names : mapping of str to sequence of str
        Sources, and the names that their file may have.
    extensions : sequence of str
        What the names of audio files end with.
    """

    def find(files: dict[str, Path]) -> Files:
        found = _named(files, names)
        beside = _others(files, found, extensions)
        return {**found, **beside} if set(beside) == {MIXTURE} else found

    return _each(folder, find)


def trackfolder_var(
    folder: Path,
    targets: Mapping[str, Sequence[str]],
    extensions: Sequence[str],
    *,
    silence_missing: bool = False,
) -> Found:
    """Folders of any number of files, of which the targets must be there unless they may be missing.

    A file ``mixture`` is the recorded mixture and no source; else as :func:`trackfolder_fix`.
    """

    def find(files: dict[str, Path]) -> Files:
        found = _named(files, targets, optional=silence_missing)
        found = {**found, **_others(files, found, extensions)}
        if not found.keys() - {MIXTURE}:
            raise AudioError(f"holds no file {' or '.join(f'*{ext}' for ext in extensions)}")
        return found

    return _each(folder, find)


def sourcefolder(folder: Path, source: str, extensions: Sequence[str]) -> Found:
    """Files of one source, in the folder of its name and those below, each a track by itself.

    Raises
    ------
    UsageError
        If there are none.
    """
    directories = {_spelt(path.name): path for path in folder.iterdir() if path.is_dir()}
    directory = directories.get(_spelt(source))
    if directory is None:
        raise UsageError(f"{folder} has no folder {source!r}")
    found: Found = {}
    for here, folders, files in os.walk(directory):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if _stem(name, extensions) is not None:
                path = Path(here, name)
                found[path.relative_to(folder).as_posix()] = {source: path}
    if not found:
        raise UsageError(f"{directory} holds no file {' or '.join(f'*{ext}' for ext in extensions)}")
    return found


def tracks_of(
    found: Found,
    root: Path,
    keep: Sequence[Path],
    *,
    sample_rate: int = 44100,
    channels: int | None = None,
    workers: int = 0,
    progress: bool = True,
) -> list[Track]:
    """Tracks of files; those that cannot be used are left out, each with a warning.

    Parameters
    ----------
    found : dict
        Files by track name.
    root, keep, workers, progress
        See :func:`xumx.data.headers.read_headers`.
    sample_rate : int
        In Hz; recordings at another rate are resampled as they are read.
    channels : int, optional
        Audio channels that recordings must do for, as :func:`xumx.data.track.to_channels` has it.

    Raises
    ------
    XumxError
        If none can be used.
    """
    paths = (path for files in found.values() if isinstance(files, dict) for path in files.values())
    headers = read_headers(paths, root, keep, workers=workers, progress=progress)
    usable = []
    for name, files in found.items():
        try:
            usable.append(_track(name, files, headers, sample_rate, channels))
        except AudioError as error:
            logger.warning("%s; the track is left out", error)
    if not usable:
        raise XumxError(f"none of the {len(found)} tracks in {root} can be used: {listing(found)}")
    return usable


def _each(folder: Path, find: Callable[[dict[str, Path]], Files]) -> Found:
    """Call for each folder in it, with its visible files by name; errors get the folder's name."""
    found: Found = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_dir():
            continue
        try:
            entries = sorted(path.iterdir())
            visible = {_spelt(file.name): file for file in entries if file.name[0] != "." and file.is_file()}
            found[path.name] = find(visible)
        except AudioError as error:
            nested = "; folders in it are not looked into" if any(map(Path.is_dir, entries)) else ""
            found[path.name] = AudioError(f"{path}: {error}{nested}")
        except OSError as error:
            found[path.name] = AudioError(f"{path}: cannot be read: {error.strerror}")
    if not found:
        raise UsageError(f"no tracks in {folder}; it must hold a folder for each")
    return found


def _named(files: Mapping[str, Path], names: Mapping[str, Sequence[str]], *, optional: bool = False) -> Files:
    """The one file of each source."""
    found: Files = {}
    for source, possible in names.items():
        there = [name for name in dict.fromkeys(map(_spelt, possible)) if name in files]
        if len(there) > 1:
            raise AudioError(f"holds {' and '.join(there)}; keep one of them")
        if there:
            found[source] = files[there[0]]
        elif not optional:
            raise AudioError(f"misses {' or '.join(possible)}")
    return found


def _others(files: Mapping[str, Path], found: Files, extensions: Sequence[str]) -> Files:
    """The audio files that are not among those found, by name without extension."""
    others: Files = {}
    for name, path in files.items():
        source = _stem(name, extensions)
        if source is None or path in found.values():
            continue
        if source in others or source in found:
            raise AudioError(f"holds two files of the name {source!r}; keep one of them")
        others[source] = path
    return others


def _stem(name: str, extensions: Sequence[str]) -> str | None:
    """A visible file's name without its extension; None if it has another."""
    fitting = [ext for ext in extensions if name.lower().endswith(ext.lower()) and len(name) > len(ext)]
    return None if name.startswith(".") or not fitting else name[: -max(map(len, fitting))]


def _spelt(name: str) -> str:
    """Composed letters, as typed names have, and a suffix in lower case: file systems keep others too."""
    stem, suffix = os.path.splitext(normalize("NFC", name))
    return stem + suffix.lower()


def _track(
    name: str,
    files: Files | AudioError,
    headers: Mapping[Path, Recording | AudioError],
    sample_rate: int,
    channels: int | None,
) -> Track:
    if isinstance(files, AudioError):
        raise files
    recordings: dict[str, Recording] = {}
    for source, path in files.items():
        header = headers[path]
        if isinstance(header, AudioError):
            raise header
        if channels not in (None, 1) and header.channels not in (1, channels):
            raise AudioError(f"{path}: has {header.channels} channels, not {channels}")
        recordings[source] = header
    return track_at(name, recordings, sample_rate)


def unpaired_tracks(
    folder: str | os.PathLike[str], sources: Sequence[str], sample_rate: int = 44100
) -> list[Track]:
    """Tracks of one recording each: the wav, flac and aiff files below ``folder/<source>``.

    Parameters
    ----------
    folder : path
        Its other folders are left alone; a source may lack one.
    sources : sequence of str
        What to look for.
    sample_rate : int
        In Hz; recordings at another are resampled as they are read.

    Raises
    ------
    UsageError
        If there is nothing of any source.
    AudioError
        If a file cannot be read.
    """
    tracks = []
    for source in sources:
        for path in sorted(Path(folder).expanduser().joinpath(source).rglob("*")):
            if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
                tracks.append(Track(str(path), {source: recordings(path)[0].at(sample_rate)}))
    if not tracks:
        raise UsageError(
            f"`unpaired` {folder}: holds no recordings; it takes files in a folder {' or '.join(sources)}"
        )
    return tracks
