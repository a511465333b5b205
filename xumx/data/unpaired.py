"""Recordings of single sources that belong to no mixture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from xumx.data.recording import recordings
from xumx.data.track import Track
from xumx.errors import UsageError
from xumx.naming import SUFFIXES


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
            f"--unpaired {folder}: holds no recordings; it takes files in a folder {' or '.join(sources)}"
        )
    return tracks
