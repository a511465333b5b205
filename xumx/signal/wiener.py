r"""Multichannel Wiener filter: what the mixture and the sources' magnitudes say about the sources.

From magnitudes V_j, the initial estimates of the sources y_j are V_j x/|x|, that is the magnitudes with the
phase of the mixture x, or those of the ratio mask, V_j^α / (ε + Σ_k V_k^α) x, which is Wiener's filter for
α-stable sources [1]_. Iterations of expectation-maximisation refine them (:mod:`xumx.signal.em`).

References
----------
.. [1] A. Liutkus, R. Badeau. Generalized Wiener filtering with fractional power spectrograms. ICASSP 2015.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from xumx.base.errors import UsageError

LARGEST = np.finfo(np.float32).max
TILE = 512  # bins, about: the rows that a tile works on stay in the caches nearest to the core


def wiener(
    magnitude: np.ndarray,
    spectrogram: np.ndarray,
    niter: int = 1,
    *,
    softmask: bool = False,
    residual: bool = False,
    alpha: float = 1.0,
    threads: int = 1,
    memory: np.ndarray | None = None,
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
    memory : complex64 array, optional
        C-contiguous, with room for the result, which is then a view of it: for callers that filter again and
        again, since fresh pages take a tenth of the time.

    Returns
    -------
    complex64 array (sources [+ 1], frames, channels, bins)

    Raises
    ------
    UsageError
        Where ``niter``, ``alpha`` or ``threads`` cannot be right.
    ValueError
        Where the shapes do not fit each other, or ``memory`` does not fit the result.

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
    check_filter(niter, softmask, alpha)
    if threads < 1:
        raise UsageError(f"threads must be at least 1, not {threads}")
    if spectrogram.ndim != 3 or magnitude.shape[1:] != spectrogram.shape:
        raise ValueError(
            "magnitude must be (sources, frames, channels, bins) and spectrogram (frames, channels, bins), "
            f"not {magnitude.shape} and {spectrogram.shape}"
        )
    x = _contiguous(spectrogram, np.complex64)
    v = magnitude if alpha == 1 else _power(magnitude, alpha)
    if residual:
        v = _with_residual(v, x, alpha)
    if memory is None:
        memory = np.empty(v.size, np.complex64)
    elif memory.dtype != np.complex64 or memory.size < v.size:
        raise ValueError(f"memory must hold {v.size} complex64, not {memory.size} {memory.dtype}")
    y = memory.reshape(-1)[: v.size].reshape(v.shape)
    if x.shape[1] <= 2:
        _filter(_contiguous(v, np.float32), x, niter, softmask, threads, y)
    else:
        _norbert(v, x, niter, softmask, y)
    return y


def check_filter(niter: int, softmask: bool, alpha: float) -> None:
    """Raise a UsageError for options that cannot be right."""
    if niter < 0 or niter != int(niter):
        raise UsageError(f"`niter` must be a whole number, 0 or more, not {niter}")
    if not 0 < alpha < np.inf:
        raise UsageError(f"`alpha` must be above 0, not {alpha}")
    if alpha != 1 and not softmask:
        raise UsageError("`alpha` acts on the soft mask only: add `softmask`")


def _contiguous(array: np.ndarray, dtype: type) -> np.ndarray:
    """The array, or a copy, such that every input is of one type to the compiler: C order, read-only."""
    view = np.require(array, dtype, ["C", "A"]).view()
    view.flags.writeable = False
    return view


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


def _norbert(v: np.ndarray, x: np.ndarray, niter: int, softmask: bool, y: np.ndarray) -> None:
    """As :func:`_filter`, for any number of channels."""
    import norbert

    estimate = norbert.wiener(
        v.transpose(1, 3, 2, 0), x.swapaxes(1, 2).astype(np.complex128), niter, softmask
    )
    y[...] = estimate.transpose(3, 0, 2, 1)


def _filter(v: np.ndarray, x: np.ndarray, niter: int, softmask: bool, threads: int, y: np.ndarray) -> None:
    """Share the bins among threads, always in the same tiles, whose results do not depend on each other.

    Parameters
    ----------
    v : float32 array (sources, frames, channels, bins)
    x : complex64 array (frames, channels, bins)
    y : complex64 array (sources, frames, channels, bins)
        The result.
    """
    from xumx.signal.em import filter_bins  # not above: numba takes a tenth of a second to import

    # ε and r of EM are absolute: loud mixtures go down to a peak of 10, quiet ones stay, as in norbert.
    scale = max(1.0, float(np.abs(x).max(initial=0)) / 10) if niter else 1.0
    bins = x.shape[2]
    tiles = max(round(bins / TILE), 1)
    width = -(-bins // (8 * tiles)) * 8  # whole vectors of 8 doubles
    # Memory is walked fastest along whole rows. From two iterations on, all powers are kept between passes:
    # then one tile at a time, which bounds them.
    step = -(-tiles // threads) * width if niter < 2 else width

    def run(start: int) -> None:
        stop = min(start + step, bins)
        filter_bins(v, x, y, scale, int(niter), bool(softmask), start, stop, width)

    if threads == 1:
        for start in range(0, bins, step):
            run(start)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(run, range(0, bins, step)))
