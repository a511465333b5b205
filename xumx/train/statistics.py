"""Mean and deviation of each bin of the training mixtures, by which the network normalises its input."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xumx.base.console import Bar
from xumx.base.errors import WriteError, XumxError
from xumx.base.files import replacing
from xumx.data.arrays import mapped
from xumx.data.pieces import Mixes, Pieces
from xumx.data.track import MIXTURE, Track
from xumx.network.config import ModelConfig
from xumx.signal.stft import stft

FLOOR = 1e-4
"""Least deviation, as a share of the greatest: bins that hold nothing are not blown up."""

_LONGEST = 15 * 60  # seconds of a track at a time: songs are whole, and memory has an end

_BLOCK = 512  # frames at a time, so that a track's spectrogram is never held whole

logger = logging.getLogger(__name__)


class Statistics(NamedTuple):
    """Of the magnitude, averaged over channels, in each bin: float64 arrays (bins,)."""

    mean: np.ndarray
    scale: np.ndarray


def load_or_compute(
    tracks: Sequence[Track],
    config: ModelConfig,
    folders: Sequence[Path],
    *,
    mixes: Mixes | None = None,
    workers: int = 0,
    progress: bool = True,
) -> Statistics:
    """Give the statistics of tracks, from a file of an earlier run if one of the folders has it.

    What they depend on is in the file's name, so that runs share a file only if they agree.

    Parameters
    ----------
    tracks : sequence of Track
    config : ModelConfig
        FFT size, hop and channels.
    folders : sequence of path
        Where to look; the first that can be written to gets the file.
    mixes : Mixes, optional
        Mixtures of these tracks, in place of one a track.
    workers : int
        Threads that read ahead.
    progress : bool
        Whether to show a bar.

    Raises
    ------
    XumxError
        If no track can be read.
    """
    name = f"xumx-statistics-{_key(tracks, config, mixes)}.npy"
    for folder in folders:
        found = _load(folder / name, config)
        if found is not None:
            return found
    statistics = compute(tracks, config, mixes=mixes, workers=workers, progress=progress)
    for folder in folders:
        try:
            with replacing(folder / name) as aside, open(aside, "wb") as file:
                np.save(file, np.stack(statistics))
            break
        except WriteError as error:
            logger.debug("%s", error)
    return statistics


def compute(
    tracks: Sequence[Track],
    config: ModelConfig,
    *,
    mixes: Mixes | None = None,
    workers: int = 0,
    progress: bool = True,
) -> Statistics:
    """Compute them over all frames of the centred STFT of all mixtures, or of parts of those of hours.

    See :func:`load_or_compute`.
    """
    frames, mean, squares = 0, np.zeros(config.bins), np.zeros(config.bins)
    longest = round(_LONGEST * config.sample_rate)
    pieces = mixes or Pieces(
        tracks, (), longest, shortest=config.n_fft, channels=config.nb_channels, workers=workers
    )
    bar = Bar(len(pieces), "statistics", unit="pieces", quiet=not progress, leave=False)
    for _, sample in bar.over(pieces):
        for block in _blocks(sample.mixture, config):
            magnitude = np.abs(stft(block, config.n_fft, config.n_hop, center=False)).mean(axis=1)
            # Chan, Golub & LeVeque (1983): two sets' means and squares around them make those of both.
            count, own = len(magnitude), magnitude.mean(axis=0, dtype=np.float64)
            delta = own - mean
            squares += np.square(magnitude - own).sum(axis=0, dtype=np.float64)
            squares += delta**2 * (frames * count / (frames + count))
            mean += delta * (count / (frames + count))
            frames += count
    if frames == 0:
        raise XumxError("the statistics need a track that can be read, but there is none")
    scale = np.sqrt(squares / frames)
    if scale.max() == 0:
        raise XumxError("the training tracks are silent; there is nothing to learn from")
    return Statistics(mean, np.maximum(scale, FLOOR * scale.max()))


def _blocks(audio: np.ndarray, config: ModelConfig) -> list[np.ndarray]:
    """Cut the padded audio (samples, channels) into stretches that have all its frames between them."""
    padded = np.pad(audio, ((config.n_fft // 2, config.n_fft // 2), (0, 0)), mode="reflect")
    frames = 1 + len(audio) // config.n_hop
    return [
        padded[first * config.n_hop : (min(first + _BLOCK, frames) - 1) * config.n_hop + config.n_fft]
        for first in range(0, frames, _BLOCK)
    ]


def _key(tracks: Sequence[Track], config: ModelConfig, mixes: Mixes | None) -> str:
    """Of what the statistics depend on; names and sizes, not paths, so that a set may move."""
    mixtures = [
        (track.name, track.samples, [(path.name, path.stat().st_size) for path in _mixture_paths(track)])
        for track in sorted(tracks, key=lambda track: track.name)
    ]
    version = 2  # of what is computed
    identity = [version, config.n_fft, config.n_hop, config.nb_channels, mixtures]
    if mixes is not None:
        stream = mixes.stream
        identity += [stream.size, stream.samples, stream.seed, stream.sources]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]


def _mixture_paths(track: Track) -> list[Path]:
    found = track.recordings
    return [found[MIXTURE].path] if MIXTURE in found else [recording.path for recording in found.values()]


def _load(path: Path, config: ModelConfig) -> Statistics | None:
    try:
        mean, scale = mapped(path, (2, config.bins), np.float64)
        if not np.isfinite([mean, scale]).all() or scale.min() <= 0:
            raise ValueError("holds what no statistics are")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        logger.warning("%s: %s; it is made anew", os.fspath(path), error)
        return None
    return Statistics(mean.copy(), scale.copy())
