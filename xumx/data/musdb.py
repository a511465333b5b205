"""MUSDB18 and what is laid out like it: ``train`` and ``test`` folders of stems or of folders of wav files.

Track lists, file names, the validation split and the preview are the musdb package's; the audio is read by
:mod:`xumx.data.recording`, since musdb starts the ffmpeg program for each excerpt.

References
----------
.. [1] Rafii et al., "The MUSDB18 corpus for music separation", 2017, doi:10.5281/zenodo.1117372.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import socket
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from xumx.base.errors import AudioError, UsageError, XumxError, install
from xumx.data.recording import Recording, recordings
from xumx.data.track import MIXTURE, Track, listing, track_at

logger = logging.getLogger(__name__)

STEM_SUFFIX = ".stem.mp4"
SUBSETS = ("train", "test")
SPLITS = ("train", "valid")
PREVIEW = Path("~/MUSDB18/MUSDB18-7")
"""Where musdb keeps the preview of 7 s a track."""


def musdb_tracks(
    root: str | os.PathLike[str],
    subset: str = "train",
    split: str | None = None,
    *,
    is_wav: bool = False,
    sample_rate: int = 44100,
) -> list[Track]:
    """The tracks of a folder, by name.

    A track that cannot be used is left out with one warning: a broken stem file, a missing wav file.

    Parameters
    ----------
    root : path
        Folder that holds ``train`` and ``test``.
    subset : 'train' or 'test'
        Which of them.
    split : 'train' or 'valid', optional
        Part of ``train``: 'valid' are the 14 tracks that MUSDB18 sets apart, 'train' the others.
    is_wav : bool
        Expect a folder of wav files a track (decoded MUSDB18, MUSDB18-HQ) in place of ``.stem.mp4`` files.
    sample_rate : int
        In Hz; recordings at another rate are resampled as they are read.

    Raises
    ------
    UsageError
        If the folder holds no such tracks.
    XumxError
        If none of them can be used, or musdb cannot be imported.
    """
    if subset not in SUBSETS:
        raise UsageError(f"unknown subset {subset!r}; use one of {', '.join(SUBSETS)}")
    if split is not None and (split not in SPLITS or subset != "train"):
        raise UsageError(f"unknown split {split!r} of {subset!r}; 'train' has the splits {', '.join(SPLITS)}")
    folder = Path(root).expanduser() / subset
    if not folder.is_dir():
        raise UsageError(f"`root` {root} has no folder {subset!r}; give the one that holds train and test")
    paths = _listed(folder, is_wav)
    if not paths:
        raise UsageError(f"no tracks in {folder}; {_advice(folder, is_wav)}")
    if split is not None:
        paths = _listed(folder, is_wav, split)
        if not paths:
            kind, names = "only" if split == "train" else "none of", configuration()["validation_tracks"]
            raise UsageError(f"{folder} holds {kind} MUSDB18's validation tracks, such as {min(names)!r}")
    tracks = []
    for name, path in paths.items():
        try:
            tracks.append(_track(name, path, is_wav, sample_rate))
        except AudioError as error:
            logger.warning("%s; the track is left out", error)
    if not tracks:
        raise XumxError(f"none of the tracks in {folder} can be used: {listing(paths)}")
    return tracks


def sigsep(name: str) -> ModuleType:
    """The package musdb or museval; both import stempeg, which insists on the programs ffmpeg and ffprobe.

    Raises
    ------
    XumxError
        If it, or one of these programs, is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        extra = "data" if name == "musdb" else "eval"
        raise XumxError(f"this needs the package {name} ({error}); {install(extra)}") from None
    except RuntimeError:  # stempeg's
        raise XumxError(
            f"this needs the package {name}, which needs the programs ffmpeg and ffprobe; they are "
            "not on the PATH: install FFmpeg (apt, brew or conda install ffmpeg)"
        ) from None


@cache
def configuration() -> dict[str, Any]:
    """The description of MUSDB18 in the musdb package: file names, stream numbers, validation tracks.

    Raises
    ------
    XumxError
        If musdb cannot be imported.
    """
    return dict(sigsep("musdb").DB(root=".", subsets=[]).setup)


def preview_root() -> Path:
    """The folder of MUSDB18's preview, 7 s of each track in stems, downloaded by musdb if it is not there.

    Raises
    ------
    XumxError
        If it cannot be downloaded: no network, or musdb cannot be imported.
    """
    root = PREVIEW.expanduser()
    if (root / "train").is_dir():
        return root
    without = "without `root`, MUSDB18's 7 s preview is downloaded"
    try:
        musdb = sigsep("musdb")
    except XumxError as error:
        raise XumxError(f"{without}; {error}") from None
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30)  # musdb sets none, and would wait for ever
    try:
        musdb.DB(root=str(root), download=True, subsets=[])
    except (OSError, RuntimeError, zipfile.BadZipFile) as error:
        reason = getattr(error, "reason", error)
        raise XumxError(f"{without}, but that failed ({reason}); give your own with `root`") from error
    finally:
        socket.setdefaulttimeout(timeout)
    return root


def _listed(folder: Path, is_wav: bool, split: str | None = None) -> dict[str, Path]:
    """musdb's tracks of a subset by name, in its order: the stem file of each, or its folder of wav files.

    musdb looks into folders below, too, and at what macOS hides.
    """
    musdb = sigsep("musdb")
    with _unprobed(musdb.audio_classes.stempeg):
        tracks = musdb.DB(root=str(folder.parent), is_wav=is_wav, subsets=folder.name, split=split).tracks
    paths = ((track.name, Path(track.path)) for track in tracks)
    places = {name: path.parent if is_wav else path for name, path in paths if not name.startswith(".")}
    return {name: place for name, place in places.items() if os.path.lexists(place)}


@contextmanager
def _unprobed(stempeg: Any) -> Iterator[None]:
    """Let musdb list files without a look into them.

    It starts the program ffprobe for each, which takes twenty times as long as `recordings` takes for a
    header, and the first broken file would end the list.
    """
    info, stempeg.Info = stempeg.Info, _Unread
    try:
        yield
    finally:
        stempeg.Info = info


class _Unread:
    """In place of stempeg's ``Info`` on a file."""

    def __init__(self, path: str) -> None:
        pass

    def samples(self, stream: int) -> int:
        return 0

    duration = rate = samples


def _advice(folder: Path, is_wav: bool) -> str:
    if is_wav and _listed(folder, False):
        return "it holds stem files, which are read without `is_wav`"
    if not is_wav and _listed(folder, True):
        return "it holds folders; with `is_wav` they are read as tracks of wav files"
    return "it must hold folders of wav files" if is_wav else f"it must hold {STEM_SUFFIX} files"


def _track(name: str, path: Path, is_wav: bool, sample_rate: int) -> Track:
    found: dict[str, Recording] = {}
    if is_wav:
        files = {MIXTURE: configuration()["mixture"], **configuration()["sources"]}
        for source, file in files.items():
            found[source] = recordings(path / file)[0]
    else:
        numbers = configuration()["stem_ids"]
        streams = recordings(path)
        if len(streams) <= max(numbers.values()):
            raise AudioError(f"{path}: holds {len(streams)} audio streams, not the {len(numbers)} of stems")
        found = {source: streams[number] for source, number in numbers.items()}
    return track_at(name, found, sample_rate)
