r"""Multichannel Wiener filter: what the mixture and the sources' magnitudes say about the sources.

From magnitudes V_j, the initial estimates of the sources y_j are V_j x/|x|, that is the magnitudes with the
phase of the mixture x, or those of the ratio mask, V_j^α / (ε + Σ_k V_k^α) x, which is Wiener's filter for
α-stable sources [1]_. Iterations of expectation-maximisation refine them (:mod:`xumx.signal.em`).

References
----------
.. [1] A. Liutkus, R. Badeau. Generalized Wiener filtering with fractional power spectrograms. ICASSP 2015.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from xumx.base.errors import UsageError
from xumx.base.pools import prefetch

EPSILON = float(np.finfo(np.float64).eps)
LARGEST = np.finfo(np.float32).max
TILE = 1024  # bins, about: the rows that a tile works on stay in the caches of the core
TOGETHER = 16
"""Frames that are estimated together: few enough to be still in the caches where they are used next."""


def wiener(
    magnitude: np.ndarray,
    spectrogram: np.ndarray,
    niter: int = 1,
    *,
    softmask: bool = False,
    residual: bool = False,
    alpha: float = 1.0,
    threads: int = 1,
) -> np.ndarray:
    """Estimate the sources' spectrograms from their magnitudes and the mixture.

    The result of ``norbert.wiener`` in double precision, after ``norbert.residual_model`` if ``residual``.

    Parameters
    ----------
    magnitude : float32 array (sources, frames, channels, bins)
        Estimated magnitudes, not negative.
    spectrogram : complex64 array (frames, channels, bins)
        The mixture.
    niter : int
        Iterations of EM.
    softmask : bool
        Start from the ratio mask of the magnitudes to the power ``alpha``, not from the magnitudes.
    residual : bool
        Append a source for what the magnitudes leave of the mixture.
    alpha : float
        Exponent of the ratio mask, above 0.
    threads : int
        Threads; they do not change the result.

    Returns
    -------
    complex64 array (sources [+ 1], frames, channels, bins)

    Raises
    ------
    UsageError
        Where ``niter``, ``alpha`` or ``threads`` cannot be right.
    ValueError
        Where the shapes do not fit each other.

    Notes
    -----
    More than two channels go through norbert itself. Up to two, finite input gives finite output also where
    norbert gives none. Magnitudes far above the mixture's, alike in both channels, make its determinant of
    the mixture's covariance round to 0: here the part of it that is never negative is held at 0 or above,
    and the rest is positive. V^α may leave the range of float32: here it stays at the largest number. The
    phase of a silent bin is 0, whatever the signs of its zeros.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sources = rng.normal(size=(2, 8, 2, 33)) + 1j * rng.normal(size=(2, 8, 2, 33))
    >>> mixture = sources.sum(axis=0).astype(np.complex64)
    >>> estimates = wiener(np.abs(sources).astype(np.float32), mixture)
    >>> bool(np.abs(estimates.sum(axis=0) - mixture).max() < 1e-3)  # nothing of the mixture is lost
    True
    """
    filtered = Filter(
        magnitude, spectrogram, niter, softmask=softmask, residual=residual, alpha=alpha, threads=threads
    )
    y = np.empty((filtered.sources, *spectrogram.shape), np.complex64)
    for begin, estimates in filtered:
        y[:, begin : begin + estimates.shape[1]] = estimates
    return y


class _Tile:
    """Neighbouring bins, and what EM knows of them, as :func:`xumx.signal.em.iterate` takes it."""

    def __init__(self, sources: int, low: int, width: int) -> None:
        self.low, self.width = low, width
        self.spatial, self.moments = np.zeros((2, sources, 4, width))
        self.power = np.empty((0, 0, 0))  # that of the first estimates is not kept


class Filter:
    """The Wiener filter of a mixture, whose estimates come one run of frames after the other.

    So they need little memory, and are in the processor's caches when they are used.

    Parameters
    ----------
    magnitude, spectrogram, niter, softmask, residual, alpha, threads
        As for :func:`wiener`; so are the errors.

    Attributes
    ----------
    sources : int
        How many are estimated.

    Examples
    --------
    >>> x = np.ones((40, 2, 33), np.complex64)
    >>> [(begin, y.shape) for begin, y in Filter(np.ones((3, 40, 2, 33), np.float32), x)]
    [(0, (3, 16, 2, 33)), (16, (3, 16, 2, 33)), (32, (3, 8, 2, 33))]
    """

    def __init__(
        self,
        magnitude: np.ndarray,
        spectrogram: np.ndarray,
        niter: int = 1,
        *,
        softmask: bool = False,
        residual: bool = False,
        alpha: float = 1.0,
        threads: int = 1,
    ) -> None:
        check_filter(niter, softmask, alpha)
        if threads < 1:
            raise UsageError(f"threads must be at least 1, not {threads}")
        if spectrogram.ndim != 3 or magnitude.shape[1:] != spectrogram.shape:
            raise ValueError(
                "magnitude must be (sources, frames, channels, bins) and spectrogram (frames, channels, "
                f"bins), not {magnitude.shape} and {spectrogram.shape}"
            )
        x = np.asarray(spectrogram, np.complex64)
        v = magnitude if alpha == 1 else _power(magnitude, alpha)
        if residual:
            v = _with_residual(v, x, alpha)
        self.sources, self._frames, self._channels, self._bins = v.shape
        self._threads, self._niter = threads, int(niter)
        self._known = _norbert(v, x, self._niter, softmask) if niter and self._channels > 2 else None
        if self._known is not None:
            return
        if softmask:
            v = _ratio(v, x)
        if niter and self._channels == 1:
            v, x = (np.concatenate([one, np.zeros_like(one)], axis=-2) for one in (v, x))
        self._v, self._x = (
            np.require(array, kind, ["C", "A"]) for array, kind in ((v, np.float32), (x, np.complex64))
        )
        # ε and r of EM are absolute: loud mixtures go down to a peak of 10, quiet ones stay, as in norbert.
        self._scale = max(1.0, float(np.abs(x).max(initial=0)) / 10)
        self._tiles: list[_Tile] = []
        if niter:
            self._fit()

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        """Give each run's first frame, and its estimates, complex64 (sources, frames, channels, bins)."""
        begins = range(0, self._frames, TOGETHER)
        workers = self._threads if self._threads > 1 else 0
        return zip(begins, prefetch(self._estimates, begins, workers=workers, ahead=workers))

    def _estimates(self, begin: int) -> np.ndarray:
        run = slice(begin, min(begin + TOGETHER, self._frames))
        if self._known is not None:
            return self._known[:, run]
        if not self._niter:
            return self._v[:, run] * _phase(self._x[run])
        y = np.empty((self.sources, run.stop - begin, 2, self._bins), np.complex64)
        for tile in self._tiles:
            self._iterate(tile, self._niter == 1, y, begin)
        return y[:, :, : self._channels]

    def _fit(self) -> None:
        """All of EM but its last step: the spatial covariances, and the powers where they are not the first.

        Threads share the tiles, which are always the same, and whose results do not depend on each other.
        """
        count = max(round(self._bins / TILE), 1)
        width = -(-self._bins // (8 * count)) * 8  # whole vectors of 8 doubles
        lows = range(0, self._bins, width)
        self._tiles = [_Tile(self.sources, low, min(width, self._bins - low)) for low in lows]
        if self._threads == 1:
            for tile in self._tiles:
                self._fit_tile(tile)
        else:
            with ThreadPoolExecutor(self._threads) as pool:
                list(pool.map(self._fit_tile, self._tiles))

    def _fit_tile(self, tile: _Tile) -> None:
        from xumx.signal import em  # not above: LLVM takes some hundredths of a second

        loop = em.gather(self.sources)
        loop(self._v, self._x, tile.moments, self._frames, self._bins, tile.low, tile.width, 1 / self._scale)
        self._normalise(tile)
        if self._niter > 1:
            tile.power = np.empty((self.sources, self._frames, tile.width))
        for number in range(1, self._niter):
            self._iterate(tile, number == 1)
            self._normalise(tile)

    def _iterate(self, tile: _Tile, first: bool, y: np.ndarray | None = None, begin: int = 0) -> None:
        """An iteration over all frames; or the last one over those of y, which is filled."""
        from xumx.signal import em

        loop = em.iterate(self.sources, first, y is not None)
        if y is None:
            y, count = np.empty((0, 0, 0), np.complex64), self._frames
        else:
            count = y.shape[1]
        loop(
            self._v, self._x, tile.spatial, tile.power, tile.moments, y,
            self._frames, self._bins, tile.low, tile.width, begin, count,
            1 / self._scale, self._scale, self._channels,
        )  # fmt: skip

    def _normalise(self, tile: _Tile) -> None:
        """R of the sums over the frames, which start again at 0. Σ_t v is their trace / channels."""
        trace = (tile.moments[:, 0] + tile.moments[:, 1]) / self._channels
        np.multiply(tile.moments, (1 / (EPSILON + trace))[:, None], out=tile.spatial)
        tile.moments[...] = 0


def check_filter(niter: int, softmask: bool, alpha: float) -> None:
    """Raise a UsageError for options that cannot be right."""
    if niter < 0 or niter != int(niter):
        raise UsageError(f"`niter` must be a whole number, 0 or more, not {niter}")
    if not 0 < alpha < np.inf:
        raise UsageError(f"`alpha` must be above 0, not {alpha}")
    if alpha != 1 and not softmask:
        raise UsageError("`alpha` acts on the soft mask only: add `softmask`")


def _power(array: np.ndarray, alpha: float) -> np.ndarray:
    """array^alpha in float32, held below infinity."""
    with np.errstate(over="ignore"):
        return np.minimum(array.astype(np.float32, copy=False) ** np.float32(alpha), LARGEST)


def _with_residual(v: np.ndarray, x: np.ndarray, alpha: float) -> np.ndarray:
    """Magnitudes scaled to fit the mixture, and last what their sum leaves of it.

    Each channel and bin has one gain, Σ_t |x|^α V / (ε + Σ_t V²) with V = Σ_j V_j, the least-squares fit of
    V to |x|^α. The residual is max(0, |x|^α - V), of V before the gain, as in norbert.

    Parameters
    ----------
    v : float32 array (sources, frames, channels, bins)
    x : complex64 array (frames, channels, bins)

    Returns
    -------
    float32 array (sources + 1, frames, channels, bins)
    """
    epsilon = np.finfo(np.float32).eps
    mixture = np.maximum(_power(np.abs(x), alpha), epsilon)
    total = v.sum(axis=0, dtype=np.float64)
    gain = (mixture * total).sum(axis=0) / (epsilon + np.square(total).sum(axis=0))
    extended = np.empty((len(v) + 1, *x.shape), np.float32)
    for scaled, source in zip(extended, v):
        np.minimum(source * gain, LARGEST, out=scaled, casting="same_kind")
    np.maximum(mixture - total, 0, out=extended[-1], casting="same_kind")
    return extended


def _ratio(v: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Magnitudes of what the ratio mask makes of the mixture."""
    gain = np.abs(x) / (EPSILON + v.sum(axis=0, dtype=np.float64))
    return np.stack([source * gain for source in v]).astype(np.float32)


def _phase(x: np.ndarray) -> np.ndarray:
    """x / |x|, complex64; 1 where x is 0."""
    amplitude = np.abs(x)
    return np.divide(x, amplitude, out=np.ones_like(x), where=amplitude > 0)


def _norbert(v: np.ndarray, x: np.ndarray, niter: int, softmask: bool) -> np.ndarray:
    """The estimates of all frames, for any number of channels."""
    import norbert

    estimate = norbert.wiener(
        v.transpose(1, 3, 2, 0), x.swapaxes(1, 2).astype(np.complex128), niter, softmask
    )
    return estimate.transpose(3, 0, 2, 1).astype(np.complex64)
