r"""Wiener filter of a stream: the EM of :mod:`xumx.signal.em` with covariances that know the past alone.

Over a whole song the M-step of the local Gaussian model takes the spatial covariance of source j at bin f
from all frames, R_j = Σ_t y_j y_jᴴ / (ε + Σ_t v_j), with v_j = ‖y_j‖² / channels. A stream has no frames
after t. There

    M_j(t) = λ M_j(t - 1) + y_j(t) y_j(t)ᴴ,   R_j(t) = M_j(t) / (ε + tr M_j(t) / channels)

since the trace of y yᴴ is ‖y‖², so that the sum over v needs no memory of its own. This is the M-step over
the frames up to t, in which one n frames ago counts λⁿ: with λ = exp(-hop / (rate · `MEMORY`)) about the last
`MEMORY` seconds. With λ = 1 it is that of a song that ends with frame t. The E-step is of one frame as it is,

    y_j(t) = v_j(t) R_j(t) z,   z = (Σ_j v_j(t) R_j(t) + r I)⁻¹ x(t)

and for every further iteration the same goes on behind it, from estimates to estimates, with an M_j of its
own. No step looks ahead, and what a frame costs does not depend on how many came before.

Two more things of the offline filter are of a whole song. It divides by its peak, max(1, max |x| / 10), so
that ε and r mean the same at any level: here by the peak up to now, which scales ε and r and leaves M_j as it
is. And the gain of :func:`xumx.signal.wiener.wiener` with ``residual``, Σ_t |x| V / (ε + Σ_t V²), becomes a
quotient of two running sums with the same λ.

The sources sum to the mixture as offline: Σ_j y_j = C (C + r I)⁻¹ x.
"""

from __future__ import annotations

import numpy as np

from xumx.base.errors import UsageError
from xumx.signal.wiener import LARGEST, check_filter

MEMORY = 10.0
"""Seconds after which a frame counts 1/e: as long as the offline chunks. It matters little (docs/live.md)."""

EPSILON = float(np.finfo(np.float64).eps)
FLOOR = EPSILON**0.5  # r


class CausalFilter:
    """Shares frames of the mixture out among the sources, one after the other.

    Parameters
    ----------
    sources, channels, bins : int
        At most two channels, unless ``niter`` is 0.
    decay : float
        λ, above 0 and up to 1.
    niter, softmask, alpha, residual
        As for :func:`xumx.signal.wiener.wiener`.

    Raises
    ------
    UsageError
        For options that cannot be.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sources = rng.normal(size=(2, 8, 2, 33)) + 1j * rng.normal(size=(2, 8, 2, 33))
    >>> causal = CausalFilter(2, 2, 33, 0.99)
    >>> for frame in sources.swapaxes(0, 1):
    ...     estimate = causal(np.abs(frame).astype(np.float32), frame.sum(axis=0).astype(np.complex64))
    >>> bool(np.abs(estimate.sum(axis=0) - frame.sum(axis=0)).max() < 1e-3)  # nothing of the mixture is lost
    True
    """

    def __init__(
        self,
        sources: int,
        channels: int,
        bins: int,
        decay: float,
        niter: int = 1,
        *,
        softmask: bool = False,
        alpha: float = 1.0,
        residual: bool = False,
    ) -> None:
        check_filter(niter, softmask, alpha)
        if channels > 2 and niter:
            raise UsageError(
                f"the causal filter is for one or two channels, not {channels}; `niter` 0 does without it"
            )
        if not 0 < decay <= 1:
            raise UsageError(f"decay must be above 0 and at most 1, not {decay}")
        self._softmask, self._alpha, self._decay, self._channels = softmask, alpha, decay, channels
        self._peak = 0.0
        self._fit = np.zeros((2, channels, bins)) if residual else None
        estimated = sources + residual
        # Of each iteration, M_11 and M_22 of all sources, and M_12.
        self._moments = [
            (np.zeros((2, estimated, bins)), np.zeros((estimated, bins), np.complex128)) for _ in range(niter)
        ]

    def __call__(self, magnitude: np.ndarray, spectrum: np.ndarray) -> np.ndarray:
        """Estimate the sources in the next frame.

        Parameters
        ----------
        magnitude : float32 array (sources, channels, bins)
            Estimated magnitudes, not negative.
        spectrum : complex64 array (channels, bins)
            The mixture.

        Returns
        -------
        complex64 array (sources [+ 1], channels, bins)
        """
        x, v = spectrum.astype(np.complex128), magnitude.astype(np.float64)
        amplitude = np.abs(x)
        if self._alpha != 1:
            v = np.minimum(v**self._alpha, LARGEST)
        if self._fit is not None:
            v = self._with_residual(v, amplitude, self._fit)
        if self._softmask:
            y = v * (x / (EPSILON + v.sum(axis=0)))
        else:
            y = v * np.divide(x, amplitude, out=np.ones_like(x), where=amplitude > 0)
        if self._moments:
            self._peak = max(self._peak, float(amplitude.max()))
            unit = max(1.0, self._peak / 10) ** 2
            for diagonal, cross in self._moments:
                y = self._iterated(y, x, diagonal, cross, unit)
        return y.astype(np.complex64)

    def _iterated(
        self, y: np.ndarray, x: np.ndarray, diagonal: np.ndarray, cross: np.ndarray, unit: float
    ) -> np.ndarray:
        """Make better estimates, (sources, channels, bins), of estimates and the mixture (channels, bins).

        A mono mixture is a stereo one whose second channel is silent. ``unit`` scales ε and r.
        """
        if self._channels == 1:
            y, x = (np.concatenate([one, np.zeros_like(one)], axis=-2) for one in (y, x))
        energy = np.square(y.real) + np.square(y.imag)
        diagonal *= self._decay
        diagonal += energy.swapaxes(0, 1)
        cross *= self._decay
        cross += y[:, 0] * y[:, 1].conj()
        r = FLOOR * unit
        # v R = (v / (ε + tr M / channels)) M
        weight = energy.sum(axis=1) / (self._channels * EPSILON * unit + diagonal.sum(axis=0))
        a, b = (weight * diagonal).sum(axis=1)
        c = (weight * cross).sum(axis=0)
        model = np.maximum(a * b - np.square(c.real) - np.square(c.imag), 0)
        inverse = 1 / (model + r * (a + b) + r * r)
        first = ((b + r) * x[0] - c * x[1]) * inverse
        second = ((a + r) * x[1] - c.conj() * x[0]) * inverse
        found = np.empty_like(y)
        found[:, 0] = weight * (diagonal[0] * first + cross * second)
        found[:, 1] = weight * (diagonal[1] * second + cross.conj() * first)
        return found[:, : self._channels]

    def _with_residual(self, v: np.ndarray, amplitude: np.ndarray, fit: np.ndarray) -> np.ndarray:
        """Magnitudes scaled to fit the mixture up to now, and last what they leave of this frame of it."""
        epsilon = float(np.finfo(np.float32).eps)
        mixture = np.maximum(np.minimum(amplitude**self._alpha, LARGEST), epsilon)
        total = v.sum(axis=0)
        fit *= self._decay
        fit += mixture * total, np.square(total)
        return np.concatenate([v * (fit[0] / (epsilon + fit[1])), np.maximum(mixture - total, 0)[None]])
