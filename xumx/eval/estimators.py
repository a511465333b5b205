"""Where estimates come from: a network, a folder, an oracle, or nothing but the mixture.

Each function here takes its own options first and then the threads it may use, and returns an `Estimator`.
With the options bound (`functools.partial`) it can be sent to another process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xumx.audio import read
from xumx.base.errors import AudioError, XumxError
from xumx.data.recording import PCM_SUFFIXES
from xumx.data.track import MIXTURE, Track


@dataclass(frozen=True)
class Truth:
    """A track in full: (samples, channels) float32 each."""

    name: str
    rate: int
    mixture: np.ndarray
    sources: Mapping[str, np.ndarray]


Estimator = Callable[[Truth], dict[str, np.ndarray]]
"""A track to its estimates (samples, channels) by stem."""


def read_truth(track: Track) -> Truth:
    """Decode a track.

    Raises
    ------
    AudioError
        If one of its recordings cannot be decoded.
    """
    channels = max(recording.channels for recording in track.recordings.values())
    mixture, *sources = (track.read(name, 0, track.samples, channels) for name in (MIXTURE, *track.sources))
    return Truth(track.name, track.sample_rate, mixture, dict(zip(track.sources, sources, strict=True)))


def network(options: Mapping[str, Any], threads: int) -> Estimator:
    """A :class:`xumx.separation.separator.Separator` with these options."""
    from xumx.separation.separator import Separator

    separator = Separator(**options, threads=threads)
    return lambda truth: separator(truth.mixture, truth.rate)


def folder(estimates: Path, threads: int) -> Estimator:
    """Files ``<estimates>/<track>/<stem>.wav``, or ``.flac`` and other formats without loss."""

    def estimate(truth: Truth) -> dict[str, np.ndarray]:
        found = {}
        for stem, path in stem_files(estimates / truth.name).items():
            audio, rate = read(path)
            if rate != truth.rate:
                raise AudioError(f"{path}: is of {rate} Hz, and the track of {truth.rate} Hz")
            found[stem] = audio
        return found

    return estimate


def stem_files(directory: Path) -> dict[str, Path]:
    """The audio files of a track's estimates, by stem.

    Raises
    ------
    XumxError
        If there are none, or two of one stem.
    """
    if not directory.is_dir():
        raise XumxError(f"{directory}: no such folder of estimates")
    files: dict[str, Path] = {}
    for path in sorted(directory.iterdir()):
        if path.suffix.lower() in PCM_SUFFIXES and not path.name.startswith("."):
            if path.stem in files:
                raise XumxError(f"{path}: a second estimate of {path.stem!r}; keep one")
            files[path.stem] = path
    if not files:
        raise XumxError(f"{directory}: holds no audio files")
    return files


def oracle(kind: str, threads: int) -> Estimator:
    """The best that a kind of mask or filter could do: one of :data:`xumx.eval.oracle.ORACLES`."""
    from xumx.eval.oracle import ORACLES

    def estimate(truth: Truth) -> dict[str, np.ndarray]:
        estimates = ORACLES[kind](truth.mixture, np.stack(list(truth.sources.values())))
        return dict(zip(truth.sources, estimates, strict=True))

    return estimate


def mixture(threads: int) -> Estimator:
    """The mixture as it is, for every source."""
    return lambda truth: dict.fromkeys(truth.sources, truth.mixture)
