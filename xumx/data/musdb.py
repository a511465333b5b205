"""MUSDB18 and what is laid out like it: ``train`` and ``test`` folders of stems or of folders of wav files.

Track lists, file names and the validation split are those of the musdb package; its configuration is read,
but the package is not imported, because that needs the ffmpeg program and its reading starts it each time.

References
----------
.. [1] Rafii et al., "The MUSDB18 corpus for music separation", 2017, doi:10.5281/zenodo.1117372.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import yaml

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
        If none of them can be used, or the musdb package is missing.
    """
    if subset not in SUBSETS:
        raise UsageError(f"unknown subset {subset!r}; use one of {', '.join(SUBSETS)}")
    if split is not None and (split not in SPLITS or subset != "train"):
        raise UsageError(f"unknown split {split!r} of {subset!r}; 'train' has the splits {', '.join(SPLITS)}")
    folder = Path(root).expanduser() / subset
    if not folder.is_dir():
        raise UsageError(f"--root {root} has no folder {subset!r}; give the one that holds train and test")
    paths = _wav_folders(folder) if is_wav else _stem_files(folder)
    if not paths:
        raise UsageError(f"no tracks in {folder}; {_advice(folder, is_wav)}")
    valid = set(configuration()["validation_tracks"])
    if split is not None:
        paths = {name: path for name, path in paths.items() if (name in valid) == (split == "valid")}
        if not paths:
            kind = "only" if split == "train" else "none of"
            raise UsageError(f"{folder} holds {kind} MUSDB18's validation tracks, such as {min(valid)!r}")
    tracks = []
    for name, path in paths.items():
        try:
            tracks.append(_track(name, path, is_wav, sample_rate))
        except AudioError as error:
            logger.warning("%s; the track is left out", error)
    if not tracks:
        raise XumxError(f"none of the tracks in {folder} can be used: {listing(paths)}")
    return tracks


@cache
def configuration() -> dict[str, Any]:
    """The description of MUSDB18 in the musdb package: file names, stream numbers, validation tracks.

    Raises
    ------
    XumxError
        If the package is not installed.
    """
    package = importlib.util.find_spec("musdb")
    if package is None or not package.submodule_search_locations:
        raise XumxError(f"MUSDB18's track lists are in the package musdb; {install('data')}")
    text = Path(package.submodule_search_locations[0], "configs", "mus.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


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
    without = "without --root, MUSDB18's 7 s preview is downloaded"
    try:
        import musdb
    except (ImportError, RuntimeError) as error:
        raise XumxError(f"{without}, but musdb cannot be imported: {error}") from error
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30)  # musdb sets none, and would wait for ever
    try:
        musdb.DB(root=str(root), download=True, subsets=[])
    except (OSError, RuntimeError, zipfile.BadZipFile) as error:
        reason = getattr(error, "reason", error)
        raise XumxError(f"{without}, but that failed ({reason}); give your own with --root") from error
    finally:
        socket.setdefaulttimeout(timeout)
    return root


def _stem_files(folder: Path) -> dict[str, Path]:
    files = [path for path in _visible(folder) if path.name.endswith(STEM_SUFFIX)]
    return {path.name[: -len(STEM_SUFFIX)]: path for path in files}


def _wav_folders(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in _visible(folder) if path.is_dir()}


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _advice(folder: Path, is_wav: bool) -> str:
    if is_wav and _stem_files(folder):
        return "it holds stem files, which are read without --is-wav"
    if not is_wav and _wav_folders(folder):
        return "it holds folders; with --is-wav they are read as tracks of wav files"
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
