r"""One iteration of the Wiener filter, and its gradient with respect to the magnitudes: to train through it.

The filter is that of :mod:`xumx.signal.wiener` with ``niter=1``; here it is in NumPy, bin by bin in double
precision, so that each step of it can be walked back. With u = x / |x|, magnitudes V and their estimates
y⁰_j = V_j u, channels C, and the constants ε and r of :mod:`xumx.signal.em`, bin by bin::

    v_j = ‖y⁰_j‖² / C      M_j = Σ_t y⁰_j y⁰_jᴴ      n_j = ε + Σ_t v_j      R_j = M_j / n_j
    A = Σ_j v_j R_j + r I      z = A⁻¹ x      w_j = R_j z      y_j = v_j w_j

A gradient of a complex number a is ∂L/∂Re a + i ∂L/∂Im a, written ā; that of b = K a then is ā = Kᴴ b̄. R_j
and A are Hermitian. From ȳ_j backwards::

    q = A⁻¹ Σ_j v_j R_j ȳ_j      d_j = ȳ_j - q
    v̄_j = Re w_jᴴ d_j - Re ⟨R_j, R̄_j⟩ / n_j      R̄_j = Σ_t v_j d_j zᴴ
    ȳ⁰_j = (R̄_j + R̄_jᴴ) y⁰_j / n_j + 2 v̄_j y⁰_j / C      V̄_j = Re u* ȳ⁰_j

d_j holds both ways to y_j: by v_j R_j itself, and, with the other sign, by what A takes of it.
"""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import NamedTuple

import numpy as np

from xumx.signal.em import EPSILON, FLOOR

TILE = 128
"""Bins that are filtered together: some MB."""


class _Steps(NamedTuple):
    """What the gradient needs of a tile of bins."""

    unit: np.ndarray  # u / scale: (channels, frames, bins)
    first: np.ndarray  # y⁰: (sources, channels, frames, bins)
    power: np.ndarray  # v: (sources, frames, bins)
    total: np.ndarray  # n: (sources, bins)
    spatial: np.ndarray  # R: (sources, channels, channels, bins)
    inverse: np.ndarray  # A⁻¹: (channels, channels, frames, bins)
    solved: np.ndarray  # z: (channels, frames, bins)
    shares: np.ndarray  # w: (sources, channels, frames, bins)


def filtered(magnitude: np.ndarray, spectrogram: np.ndarray) -> np.ndarray:
    """Filter as ``wiener(magnitude, spectrogram, 1)``.

    Parameters
    ----------
    magnitude : float array (sources, frames, channels, bins)
    spectrogram : complex array (frames, channels, bins)
        Of one channel or two.

    Returns
    -------
    complex64 array (sources, frames, channels, bins)

    Examples
    --------
    >>> from xumx.signal.wiener import wiener
    >>> rng = np.random.default_rng(0)
    >>> x = (rng.normal(size=(8, 2, 33)) + 1j * rng.normal(size=(8, 2, 33))).astype(np.complex64)
    >>> v = rng.uniform(0, 1, (3, 8, 2, 33)).astype(np.float32)
    >>> bool(np.abs(filtered(v, x) - wiener(v, x, 1)).max() < 1e-5)
    True
    """
    scale, result = _scale(spectrogram), np.empty(magnitude.shape, np.complex64)
    for part in _tiles(magnitude):
        steps = _walk(magnitude[..., part], spectrogram[..., part], scale)
        y = steps.power[:, None] * steps.shares * scale
        result[..., part] = y.swapaxes(1, 2)
    return result


def gradient(magnitude: np.ndarray, spectrogram: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """Walk :func:`filtered` back.

    Parameters
    ----------
    magnitude, spectrogram
        As there.
    outer : complex array (sources, frames, channels, bins)
        The gradient with respect to the result: ∂L/∂Re + i ∂L/∂Im.

    Returns
    -------
    float32 array (sources, frames, channels, bins)
        With respect to the magnitudes.
    """
    scale, result = _scale(spectrogram), np.empty(magnitude.shape, np.float32)
    for part in _tiles(magnitude):
        steps = _walk(magnitude[..., part], spectrogram[..., part], scale)
        result[..., part] = _walk_back(steps, scale * outer[..., part].swapaxes(1, 2)).swapaxes(1, 2)
    return result


def _scale(spectrogram: np.ndarray) -> float:
    return max(1.0, float(np.abs(spectrogram).max(initial=0)) / 10)


def _tiles(magnitude: np.ndarray) -> list[slice]:
    return [slice(low, low + TILE) for low in range(0, magnitude.shape[-1], TILE)]


def _walk(magnitude: np.ndarray, spectrogram: np.ndarray, scale: float) -> _Steps:
    x = spectrogram.swapaxes(0, 1).astype(np.complex128)
    level = np.abs(x)
    unit = np.where(level > 0, x, 1) / np.where(level > 0, level, 1) / scale
    first = magnitude.swapaxes(1, 2) * unit
    channels = len(x)
    power = np.square(np.abs(first)).sum(axis=1) / channels
    total = EPSILON + power.sum(axis=1)
    spatial = np.einsum("jatf,jbtf->jabf", first, first.conj()) / total[:, None, None]
    inverse = _inverse(np.einsum("jtf,jabf->abtf", power, spatial))
    solved = np.einsum("abtf,btf->atf", inverse, x / scale)
    return _Steps(unit, first, power, total, spatial, inverse, solved, _times(spatial, solved[None]))


def _inverse(covariance: np.ndarray) -> np.ndarray:
    """(covariance + r I)⁻¹ of one channel or two, finite where rounding leaves a determinant below 0."""
    a = covariance[0, 0].real + FLOOR
    if len(covariance) == 1:
        return 1 / a[None, None]
    b, c = covariance[1, 1].real + FLOOR, covariance[0, 1]
    model = np.maximum((a - FLOOR) * (b - FLOOR) - np.square(np.abs(c)), 0)
    determinant = model + FLOOR * (a + b - 2 * FLOOR) + EPSILON
    return np.stack([np.stack([b, -c]), np.stack([-c.conj(), a])]) / determinant


def _times(spatial: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """R_j times vectors (sources or 1, channels, frames, bins)."""
    channels = range(spatial.shape[2])
    return reduce(add, (spatial[:, :, b, None] * vectors[:, b, None] for b in channels))


def _walk_back(steps: _Steps, outer: np.ndarray) -> np.ndarray:
    """From ȳ (sources, channels, frames, bins) to V̄."""
    power = steps.power[:, None]
    into = _times(steps.spatial, power * outer).sum(axis=0)
    apart = outer - np.einsum("abtf,btf->atf", steps.inverse, into)
    spatial = np.einsum("jatf,btf->jabf", power * apart, steps.solved.conj())
    total = -(steps.spatial.conj() * spatial).real.sum(axis=(1, 2)) / steps.total
    powers = (steps.shares.conj() * apart).real.sum(axis=1) + total[:, None]
    moments = (spatial + spatial.conj().swapaxes(1, 2)) / steps.total[:, None, None]
    first = _times(moments, steps.first) + 2 / len(steps.unit) * powers[:, None] * steps.first
    return (steps.unit.conj() * first).real
