r"""Expectation-maximisation of the local Gaussian model: the compiled loops of the Wiener filter.

At frame t and bin f the mixture is a sum of sources, x = Σ_j y_j, each a vector of as many complex numbers
as there are channels. The local Gaussian model [1]_ takes y_j as circular and normal with covariance
v_j R_j: a power v_j(t, f), and a spatial covariance R_j(f) that stays the same over time. Then x has the
covariance C = Σ_j v_j R_j, and the posterior mean of source j is

    E-step    y_j = v_j R_j z,   z = (C + r I)⁻¹ x

with r = sqrt(ε), the floor of a mixture that the model leaves no energy for. The M-step is not that of exact
EM: it drops the posterior covariance and takes the moments of the estimates themselves, with R_j the mean
of y_j y_jᴴ / v_j weighted by v_j, the variant that suits a network's estimates [2]_ :

    M-step    v_j = ‖y_j‖² / channels,   R_j = Σ_t y_j y_jᴴ / (ε + Σ_t v_j)

The first estimates are magnitudes with the phases u of the mixture, y_j = V_j u. So their moments are V_1²,
V_2² and V_1 V_2 u_1 u_2*, where the last factor is the same for all sources.

In stereo C + r I = [[a + r, c], [c*, b + r]], so that

    z = [(b + r) x_1 - c x_2, (a + r) x_2 - c* x_1] / det,   det = (ab - |c|²) + r (a + b) + r²

where ab - |c|² ≥ 0, since C is a covariance. A mono mixture is a stereo one whose second channel is silent.

The processor's vectors run along the bins, of which nothing couples two: a tile of neighbouring ones goes
through the frames alone. Compilers vectorise interleaved numbers poorly: real and imaginary rows lie apart,
(x_1, x_2 as four rows, R_11, R_22, Re R_12 and Im R_12 as four). All of it is in double precision, because
det is a small difference where channels are alike.

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

ROWS = 12
"""Of memory that the loops work in."""

# "contract" allows fused multiply-add, and nothing that takes numbers to be finite.
_compiled = njit(nogil=True, error_model="numpy", fastmath={"contract"})
# Inlined before compilation, so that each loop is compiled once. Loops write few rows each, because the
# compiler vectorises one only if few pairs of rows might overlap. What they work in comes from outside:
# compiling what makes arrays takes as long as the loops.
_row = njit(nogil=True, error_model="numpy", fastmath={"contract"}, inline="always")


@cached(_compiled)
def gather(
    v: np.ndarray, x: np.ndarray, scale: float, low: int, moments: np.ndarray, rows: np.ndarray
) -> None:
    """Add the moments of the first estimates, magnitudes with the mixture's phase, over all frames.

    Parameters
    ----------
    v : float32 array (sources, frames, 2, bins), read-only
        Magnitudes.
    x : complex64 array (frames, 2, bins), read-only
        The mixture.
    scale : float
        Divides v and x.
    low : int
        First bin of the tile.
    moments : float64 array (sources, 4, bins of the tile)
    rows : float64 array (ROWS, bins of the tile)
        Overwritten.
    """
    inverse = 1 / scale
    width = moments.shape[2]
    for t in range(v.shape[1]):
        for c in range(2):
            row = x[t, c, low : low + width]
            for f in range(width):
                re = np.float64(row[f].real)
                im = np.float64(row[f].imag)
                energy = re * re + im * im
                shrink = 1 / np.sqrt(energy) if energy > 0 else 0.0
                rows[2 * c, f] = re * shrink if energy > 0 else 1.0  # silence has the phase 0
                rows[2 * c + 1, f] = im * shrink
        for f in range(width):
            rows[4, f] = rows[0, f] * rows[2, f] + rows[1, f] * rows[3, f]
            rows[5, f] = rows[1, f] * rows[2, f] - rows[0, f] * rows[3, f]
        for j in range(v.shape[0]):
            left = v[j, t, 0, low : low + width]
            right = v[j, t, 1, low : low + width]
            sums = moments[j]
            for f in range(width):
                first = left[f] * inverse
                second = right[f] * inverse
                sums[0, f] += first * first
                sums[1, f] += second * second
                sums[2, f] += first * second * rows[4, f]
                sums[3, f] += first * second * rows[5, f]


@cached(_compiled)
def powers(v: np.ndarray, scale: float, channels: int, begin: int, low: int, out: np.ndarray) -> None:
    """Write v_j of the first estimates, from frame ``begin`` and bin ``low`` on, to out.

    Parameters
    ----------
    v, scale
        As for :func:`gather`.
    channels : int
        1 where the second is silent for there is none.
    out : float64 array (frames, sources, bins of the tile)
    """
    factor = 1 / (scale * scale * channels)
    width = out.shape[2]
    for t in range(out.shape[0]):
        for j in range(out.shape[1]):
            left = v[j, begin + t, 0, low : low + width]
            right = v[j, begin + t, 1, low : low + width]
            row = out[t, j]
            for f in range(width):
                first = np.float64(left[f])
                second = np.float64(right[f])
                row[f] = (first * first + second * second) * factor


@cached(_compiled)
def estimate(
    power: np.ndarray,
    x: np.ndarray,
    scale: float,
    begin: int,
    low: int,
    spatial: np.ndarray,
    out: np.ndarray,
    rows: np.ndarray,
) -> None:
    """Write the estimates of the sources, from frame ``begin`` on.

    Parameters
    ----------
    power : float64 array (frames, sources, bins of the tile)
        v, from frame ``begin`` on.
    x, scale, low, rows
        As for :func:`gather`.
    spatial : float64 array (sources, 4, bins of the tile)
        R.
    out : complex64 array (sources, frames, 2, bins)
        From frame ``begin`` on.
    """
    width = spatial.shape[2]
    for t in range(out.shape[1]):
        _solve(power[t], x[begin + t], scale, low, spatial, rows)
        for j in range(out.shape[0]):
            v = power[t, j]
            r = spatial[j]
            for c in range(2):
                row = out[j, t, c, low : low + width]
                for f in range(width):
                    row[f] = complex(_real(r, rows, c, f) * v[f] * scale, _imag(r, rows, c, f) * v[f] * scale)


@cached(_compiled)
def iterate(
    power: np.ndarray,
    x: np.ndarray,
    scale: float,
    channels: int,
    low: int,
    spatial: np.ndarray,
    moments: np.ndarray,
    rows: np.ndarray,
) -> None:
    """Estimate the sources in all frames; put their v into ``power`` instead, and add their moments.

    Parameters
    ----------
    power, x, scale, low, spatial, moments, rows
        As for :func:`gather` and :func:`estimate`.
    channels : int
        As for :func:`powers`.
    """
    for t in range(power.shape[0]):
        _solve(power[t], x[t], scale, low, spatial, rows)
        for j in range(power.shape[1]):
            v = power[t, j]
            r = spatial[j]
            sums = moments[j]
            for f in range(spatial.shape[2]):
                left_re, left_im = v[f] * _real(r, rows, 0, f), v[f] * _imag(r, rows, 0, f)
                right_re, right_im = v[f] * _real(r, rows, 1, f), v[f] * _imag(r, rows, 1, f)
                first = left_re * left_re + left_im * left_im
                second = right_re * right_re + right_im * right_im
                v[f] = (first + second) / channels
                sums[0, f] += first
                sums[1, f] += second
                sums[2, f] += left_re * right_re + left_im * right_im
                sums[3, f] += left_im * right_re - left_re * right_im


@_row
def _solve(
    power: np.ndarray, x: np.ndarray, scale: float, low: int, spatial: np.ndarray, rows: np.ndarray
) -> None:
    """z of one frame in rows 0 to 3: z = (Σ_j v_j R_j + r I)⁻¹ x / scale."""
    inverse = 1 / scale
    width = spatial.shape[2]
    for c in range(2):
        row = x[c, low : low + width]
        for f in range(width):
            rows[4 + 2 * c, f] = row[f].real * inverse
            rows[5 + 2 * c, f] = row[f].imag * inverse
    for i in range(4):
        for f in range(width):
            rows[8 + i, f] = 0
    for j in range(power.shape[0]):
        v = power[j]
        r = spatial[j]
        for f in range(width):
            rows[8, f] += v[f] * r[0, f]
            rows[9, f] += v[f] * r[1, f]
            rows[10, f] += v[f] * r[2, f]
            rows[11, f] += v[f] * r[3, f]
    for f in range(width):
        a, b, re, im = rows[8, f], rows[9, f], rows[10, f], rows[11, f]
        model = a * b - (re**2 + im**2)
        shrink = 1 / ((model if model > 0 else 0.0) + FLOOR * (a + b) + EPSILON)
        a += FLOOR
        b += FLOOR
        rows[0, f] = (b * rows[4, f] - re * rows[6, f] + im * rows[7, f]) * shrink
        rows[1, f] = (b * rows[5, f] - re * rows[7, f] - im * rows[6, f]) * shrink
        rows[2, f] = (a * rows[6, f] - re * rows[4, f] - im * rows[5, f]) * shrink
        rows[3, f] = (a * rows[7, f] - re * rows[5, f] + im * rows[4, f]) * shrink


@_row
def _real(r: np.ndarray, z: np.ndarray, c: int, f: int) -> float:
    """Channel c of R z, its real part."""
    sign = 1 - 2 * c
    return r[c, f] * z[2 * c, f] + r[2, f] * z[2 - 2 * c, f] - sign * r[3, f] * z[3 - 2 * c, f]


@_row
def _imag(r: np.ndarray, z: np.ndarray, c: int, f: int) -> float:
    """Channel c of R z, its imaginary part."""
    sign = 1 - 2 * c
    return r[c, f] * z[2 * c + 1, f] + r[2, f] * z[3 - 2 * c, f] + sign * r[3, f] * z[2 - 2 * c, f]
