r"""Expectation-maximisation of the local Gaussian model: the compiled loop of the Wiener filter.

At frame t and bin f the mixture is a sum of sources, x = Σ_j y_j, each a vector of as many complex numbers
as there are channels. The local Gaussian model [1]_ takes y_j as circular and normal with covariance
v_j R_j: a power v_j(t, f), and a spatial covariance R_j(f) that stays the same over time. Then x has the
covariance C = Σ_j v_j R_j, and the posterior mean of source j is

    E-step    y_j = v_j R_j z,   z = (C + r I)⁻¹ x

with r = sqrt(ε), the floor of a mixture that the model leaves no energy for. The M-step is not that of exact
EM: it drops the posterior covariance and takes the moments of the estimates themselves, with R_j the mean
of y_j y_jᴴ / v_j weighted by v_j, the variant that suits a network's estimates [2]_ :

    M-step    v_j = ‖y_j‖² / channels,   R_j = Σ_t y_j y_jᴴ / (ε + Σ_t v_j)

In stereo C + r I = [[a + r, c], [c*, b + r]], so that

    z = [(b + r) x_1 - c x_2, (a + r) x_2 - c* x_1] / det,   det = (ab - |c|²) + r (a + b) + r²

where ab - |c|² ≥ 0, since C is a covariance. A mono mixture is a stereo one whose second channel is silent.

Nothing couples two bins, so a tile of neighbouring bins goes through the frames alone, and the processor's
vectors run along the bins. Pass k over the frames takes v from pass k - 1 and R from its sums, filters, and
sums the moments of what comes out; the last pass stores it. All of it is in double precision, because det
is a small difference where channels are alike.

References
----------
.. [1] N. Duong, E. Vincent, R. Gribonval. Under-determined reverberant audio source separation using a
   full-rank spatial covariance model. IEEE TASLP 18(7), 2010.
.. [2] A. Nugraha, A. Liutkus, E. Vincent. Multichannel audio source separation with deep neural networks.
   IEEE/ACM TASLP 24(9), 2016.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from xumx.base.kernels import cached

EPSILON = float(np.finfo(np.float64).eps)
FLOOR = EPSILON**0.5  # r

# "contract" allows fused multiply-add, and nothing that takes numbers to be finite.
_compiled = njit(nogil=True, error_model="numpy", fastmath={"contract"})
# Inlined before compilation, so that each loop is compiled once. Loops write few rows each, because the
# compiler vectorises one only if few pairs of rows might overlap.
_row = njit(nogil=True, error_model="numpy", fastmath={"contract"}, inline="always")


@cached(_compiled)
def filter_bins(
    v: np.ndarray,
    x: np.ndarray,
    out: np.ndarray,
    scale: float,
    niter: int,
    softmask: bool,
    start: int,
    stop: int,
    width: int,
) -> None:
    """Write the sources' spectrograms from bin start up to bin stop into out, in tiles of width bins.

    Parameters
    ----------
    v : float32 array (sources, frames, channels, bins), read-only
        Magnitudes, or what the ratio mask is made of.
    x : complex64 array (frames, channels, bins), read-only
        The mixture, of one or two channels.
    out : complex64 array (sources, frames, channels, bins)
    scale : float
        Divides v and x before EM, and multiplies what comes of them.
    niter : int
        Iterations of EM.
    softmask : bool
        Start from the ratio mask, not from the magnitudes.
    """
    sources, frames, channels, _ = v.shape
    tiles = -(-(stop - start) // width)
    kept = frames if niter > 1 else 1  # the powers of the initial estimates are computed again in pass 1
    # Compilers vectorise interleaved numbers poorly: real and imaginary rows lie apart, (channel, part, bin),
    # and Hermitian matrices are rows R_11, R_22, Re R_12 and Im R_12.
    mixture = np.zeros((2, 2, width))
    unit = np.zeros((2, 2, width))
    y = np.zeros((2, 2, width))
    z = np.zeros((2, 2, width))
    covariance = np.zeros((4, width))
    powers = np.empty((tiles, kept, sources, width))
    spatial = np.zeros((tiles, sources, 4, width))
    moments = np.zeros((tiles, sources, 4, width))
    for k in range(niter + 1):
        for t in range(frames):
            for i in range(tiles):
                power = powers[i, t % kept]
                low = start + i * width
                high = min(low + width, stop)
                _load(x, t, low, high, scale, mixture)
                if k < 2:
                    if softmask:
                        _ratio(v, t, low, high, mixture, unit)
                    else:
                        _phase(mixture, channels, scale, unit)
                if k == 1:
                    _initial_power(v, t, low, high, unit, power)
                if k > 0:
                    _solve(power, spatial[i], mixture, covariance, z)
                for j in range(sources):
                    if k == 0:
                        _initial(v, j, t, low, high, unit, y)
                    else:
                        _estimate(power, spatial[i], j, z, y)
                    if k == niter:
                        _store(y, scale, out, j, t, low, high)
                    else:
                        _gather(y, channels, power, moments[i], j)
        for i in range(tiles):
            _normalise(moments[i], channels, spatial[i])


@_row
def _load(x: np.ndarray, t: int, low: int, high: int, scale: float, mixture: np.ndarray) -> None:
    """x / scale, apart into real and imaginary."""
    inverse = 1 / scale
    for c in range(x.shape[1]):
        row = x[t, c, low:high]
        for f in range(row.shape[0]):
            mixture[c, 0, f] = row[f].real * inverse
            mixture[c, 1, f] = row[f].imag * inverse


@_row
def _store(y: np.ndarray, scale: float, out: np.ndarray, j: int, t: int, low: int, high: int) -> None:
    """y · scale, together again."""
    for c in range(out.shape[2]):
        row = out[j, t, c, low:high]
        for f in range(row.shape[0]):
            row[f] = complex(y[c, 0, f] * scale, y[c, 1, f] * scale)


@_row
def _phase(mixture: np.ndarray, channels: int, scale: float, unit: np.ndarray) -> None:
    """What turns magnitudes into the initial estimate: the mixture's phase, divided by scale."""
    for c in range(channels):
        for f in range(unit.shape[2]):
            energy = mixture[c, 0, f] ** 2 + mixture[c, 1, f] ** 2
            inverse = 1 / (scale * np.sqrt(energy)) if energy > 0 else 0.0
            unit[c, 0, f] = mixture[c, 0, f] * inverse if energy > 0 else 1 / scale
            unit[c, 1, f] = mixture[c, 1, f] * inverse


@_row
def _ratio(v: np.ndarray, t: int, low: int, high: int, mixture: np.ndarray, unit: np.ndarray) -> None:
    """What turns magnitudes into the initial estimate: the mixture divided by their sum."""
    for c in range(v.shape[2]):
        for f in range(unit.shape[2]):
            unit[c, 0, f] = EPSILON
        for j in range(v.shape[0]):
            row = v[j, t, c, low:high]
            for f in range(row.shape[0]):
                unit[c, 0, f] += row[f]
        for f in range(unit.shape[2]):
            inverse = 1 / unit[c, 0, f]
            unit[c, 0, f] = mixture[c, 0, f] * inverse
            unit[c, 1, f] = mixture[c, 1, f] * inverse


@_row
def _initial(v: np.ndarray, j: int, t: int, low: int, high: int, unit: np.ndarray, y: np.ndarray) -> None:
    """Initial estimate of a source."""
    for c in range(v.shape[2]):
        row = v[j, t, c, low:high]
        for f in range(row.shape[0]):
            y[c, 0, f] = row[f] * unit[c, 0, f]
            y[c, 1, f] = row[f] * unit[c, 1, f]


@_row
def _initial_power(v: np.ndarray, t: int, low: int, high: int, unit: np.ndarray, power: np.ndarray) -> None:
    """v of the initial estimates."""
    inverse = 1 / v.shape[2]
    for j in range(power.shape[0]):
        for f in range(power.shape[1]):
            power[j, f] = 0
        for c in range(v.shape[2]):
            row = v[j, t, c, low:high]
            for f in range(row.shape[0]):
                power[j, f] += (unit[c, 0, f] ** 2 + unit[c, 1, f] ** 2) * (row[f] * inverse * row[f])


@_row
def _gather(y: np.ndarray, channels: int, power: np.ndarray, moments: np.ndarray, j: int) -> None:
    """v = ‖y‖² / channels; and y yᴴ added to the sum over the frames."""
    inverse = 1 / channels
    for f in range(power.shape[1]):
        first = y[0, 0, f] ** 2 + y[0, 1, f] ** 2
        second = y[1, 0, f] ** 2 + y[1, 1, f] ** 2
        power[j, f] = (first + second) * inverse
        moments[j, 0, f] += first
        moments[j, 1, f] += second
    for f in range(power.shape[1]):
        moments[j, 2, f] += y[0, 0, f] * y[1, 0, f] + y[0, 1, f] * y[1, 1, f]
        moments[j, 3, f] += y[0, 1, f] * y[1, 0, f] - y[0, 0, f] * y[1, 1, f]


@_row
def _normalise(moments: np.ndarray, channels: int, spatial: np.ndarray) -> None:
    """R of the sums over the frames, which start again at 0. Σ_t v is their trace / channels."""
    for j in range(spatial.shape[0]):
        for f in range(spatial.shape[2]):
            inverse = 1 / (EPSILON + (moments[j, 0, f] + moments[j, 1, f]) / channels)
            for i in range(4):
                spatial[j, i, f] = moments[j, i, f] * inverse
                moments[j, i, f] = 0


@_row
def _solve(
    power: np.ndarray, spatial: np.ndarray, mixture: np.ndarray, covariance: np.ndarray, z: np.ndarray
) -> None:
    """z = (Σ_j v_j R_j + r I)⁻¹ x."""
    for i in range(4):
        for f in range(power.shape[1]):
            covariance[i, f] = 0
    for j in range(power.shape[0]):
        for f in range(power.shape[1]):
            covariance[0, f] += power[j, f] * spatial[j, 0, f]
            covariance[1, f] += power[j, f] * spatial[j, 1, f]
            covariance[2, f] += power[j, f] * spatial[j, 2, f]
            covariance[3, f] += power[j, f] * spatial[j, 3, f]
    for f in range(power.shape[1]):
        a, b, re, im = covariance[0, f], covariance[1, f], covariance[2, f], covariance[3, f]
        model = a * b - (re**2 + im**2)
        inverse = 1 / ((model if model > 0 else 0.0) + FLOOR * (a + b) + EPSILON)
        a += FLOOR
        b += FLOOR
        z[0, 0, f] = (b * mixture[0, 0, f] - re * mixture[1, 0, f] + im * mixture[1, 1, f]) * inverse
        z[0, 1, f] = (b * mixture[0, 1, f] - re * mixture[1, 1, f] - im * mixture[1, 0, f]) * inverse
        z[1, 0, f] = (a * mixture[1, 0, f] - re * mixture[0, 0, f] - im * mixture[0, 1, f]) * inverse
        z[1, 1, f] = (a * mixture[1, 1, f] - re * mixture[0, 1, f] + im * mixture[0, 0, f]) * inverse


@_row
def _estimate(power: np.ndarray, spatial: np.ndarray, j: int, z: np.ndarray, y: np.ndarray) -> None:
    """y = v R z."""
    for f in range(power.shape[1]):
        v = power[j, f]
        a, b, re, im = spatial[j, 0, f], spatial[j, 1, f], spatial[j, 2, f], spatial[j, 3, f]
        y[0, 0, f] = v * (a * z[0, 0, f] + re * z[1, 0, f] - im * z[1, 1, f])
        y[0, 1, f] = v * (a * z[0, 1, f] + re * z[1, 1, f] + im * z[1, 0, f])
        y[1, 0, f] = v * (b * z[1, 0, f] + re * z[0, 0, f] + im * z[0, 1, f])
        y[1, 1, f] = v * (b * z[1, 1, f] + re * z[0, 1, f] - im * z[0, 0, f])
