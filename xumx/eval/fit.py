"""How much each of several networks should count, from songs whose stems are known.

For each source, the shares w_m of the networks minimise the squared error of the mean magnitude,

    sum over songs of  |Σ_m w_m V_m - |S||² / |S|²,    w_m ≥ 0,  Σ_m w_m = 1,

where V_m is what network m estimates and S the true source, both in the first network's STFT. Each song
counts the same, however loud and long it is, as it does in the scores. The shares sum to 1, so that the
result is a mean: each network has learnt the level of the sources, and a scale of its own would only fit the
songs.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.optimize

from xumx import audio as media
from xumx.base.errors import UsageError, XumxError
from xumx.base.files import replacing
from xumx.data.track import Track
from xumx.eval.estimators import Truth, read_truth
from xumx.separation.separator import Separator
from xumx.signal.stft import stft

logger = logging.getLogger(__name__)

SECONDS = 30.0
"""Of a song at a time: this bounds memory, and a network needs no more to know where it is."""


@dataclasses.dataclass
class Sums:
    """What the shares of one source follow from: sums over songs, each song's divided by the source's energy.

    Parameters
    ----------
    products : float64 array (sources, networks, networks)
        Of the estimates with each other.
    truths : float64 array (sources, networks)
        Of the estimates with the true magnitude.
    songs : int array (sources,)
        In how many songs the source sounds.
    """

    products: np.ndarray
    truths: np.ndarray
    songs: np.ndarray

    @classmethod
    def none(cls, sources: int, networks: int) -> Sums:
        return cls(
            np.zeros((sources, networks, networks)), np.zeros((sources, networks)), np.zeros(sources, int)
        )

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.products + other.products, self.truths + other.truths, self.songs + other.songs)


def sums_of(separator: Separator, truth: Truth) -> Sums:
    """Sum over one song, in pieces of `SECONDS`.

    Raises
    ------
    UsageError
        If the song lacks a source of the networks.
    """
    config = separator.config
    missing = [source for source in config.sources if source not in truth.sources]
    if missing:
        raise UsageError(f"{truth.name} has no {missing[0]}, which the networks separate")

    def fitting(samples: np.ndarray) -> np.ndarray:
        audio = media.as_audio(samples, config.nb_channels)
        return media.resample(audio, truth.rate, config.sample_rate)

    mixture = fitting(truth.mixture)
    sources = [fitting(truth.sources[source]) for source in config.sources]
    sums = Sums.none(len(config.sources), len(separator.networks))
    energy = np.zeros(len(config.sources))
    step = round(SECONDS * config.sample_rate)
    for start in range(0, len(mixture), step):
        part = slice(start, start + step)
        estimates = separator.magnitudes(mixture[part])  # (networks, sources, ...)
        for s, source in enumerate(sources):
            true = np.abs(stft(source[part], config.n_fft, config.n_hop)).ravel()
            rows = estimates[:, s].reshape(len(estimates), -1)
            sums.products[s] += (rows @ rows.T).astype(np.float64)
            sums.truths[s] += (rows @ true).astype(np.float64)
            energy[s] += float(true @ true)
    sounds = energy > 0
    scale = np.divide(1, energy, out=np.zeros_like(energy), where=sounds)
    return Sums(sums.products * scale[:, None, None], sums.truths * scale[:, None], sounds.astype(int))


def fitted(sums: Sums, sources: Sequence[str]) -> np.ndarray:
    """Solve for the shares.

    Returns
    -------
    float64 array (sources, networks)
        0 or more; of each source they sum to 1.

    Raises
    ------
    XumxError
        For a source that sounds in no song.

    Examples
    --------
    >>> estimates, truth = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]), np.array([0.75, 0.25, 1.0])
    >>> sums = Sums((estimates @ estimates.T)[None], (estimates @ truth)[None], np.ones(1, int))
    >>> fitted(sums, ["drums"]).round(3).tolist()
    [[0.75, 0.25]]
    """
    shares = []
    for source, products, truths, songs in zip(sources, sums.products, sums.truths, sums.songs, strict=True):
        if not songs or not np.trace(products) > 0:
            raise XumxError(f"{source} sounds in none of the songs, so that nothing can be fitted to it")
        count = len(products)
        size = np.trace(products) / count
        # |A w - b|² = w'Pw - 2 t'w + constant for A'A = P, A'b = t. Networks that are alike leave P singular.
        root = np.linalg.cholesky(products / size + 1e-9 * np.eye(count))
        rows = np.vstack([root.T, np.full((1, count), 1e4)])  # the last row asks for a sum of 1
        right = np.append(np.linalg.solve(root, truths / size), 1e4)
        found, _ = scipy.optimize.nnls(rows, right)
        shares.append(found / found.sum())
    return np.array(shares)


def fit(
    separator: Separator, tracks: Iterable[Track], done: Callable[[], object] = lambda: None
) -> tuple[Sums, list[str]]:
    """Sum over songs; with a line for each that cannot be read. Calls `done` after each."""
    sums, errors = Sums.none(len(separator.config.sources), len(separator.networks)), []
    for track in tracks:
        try:
            sums = sums + sums_of(separator, read_truth(track))
        except UsageError:
            raise
        except XumxError as error:
            logger.error("%s", error)
            errors.append(str(error))
        done()
    return sums, errors


def write(path: Path, separator: Separator, shares: np.ndarray) -> dict[str, Any]:
    """Write shares as the option ``--weights`` reads them, rounded to 4 digits.

    Raises
    ------
    XumxError
        If the file cannot be written.
    """
    table = {
        name: {source: round(float(w), 4) for source, w in zip(separator.config.sources, row, strict=True)}
        for name, row in zip(separator.networks, shares.T, strict=True)
    }
    try:
        with replacing(path) as aside:
            aside.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise XumxError(f"{path}: cannot be written ({error.strerror or error})") from None
    return table
