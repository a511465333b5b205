"""Recordings of single sources that belong to no mixture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from xumx.data.recording import PCM_SUFFIXES, recordings
from xumx.data.track import Track
from xumx.errors import AudioError, UsageError


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
        That all files must have, in Hz.

    Raises
    ------
    UsageError
        If there is nothing of any source.
    AudioError
        If a file cannot be read, or has another sample rate.
    """
    tracks = []
    for source in sources:
        for path in sorted(Path(folder).expanduser().joinpath(source).rglob("*")):
            if path.suffix.lower() not in PCM_SUFFIXES:
                continue
            (recording,) = recordings(path)
            if recording.sample_rate != sample_rate:
                raise AudioError(f"{path}: is at {recording.sample_rate} Hz, not {sample_rate}; resample it")
            tracks.append(Track(str(path), {source: recording}))
    if not tracks:
        raise UsageError(
            f"--unpaired {folder}: holds no recordings; it takes wav files in a folder {' or '.join(sources)}"
        )
    return tracks
