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

Nothing couples two bins, so a tile of neighbouring ones goes through the frames alone, and the processor's
vectors run along the bins. All of it is in double precision, because det is a small difference where channels
are alike. Below, R is four real numbers a source and bin: R_11, R_22, Re R_12 and Im R_12.

References
----------
.. [1] N. Duong, E. Vincent, R. Gribonval. Under-determined reverberant audio source separation using a
   full-rank spatial covariance model. IEEE TASLP 18(7), 2010.
.. [2] A. Nugraha, A. Liutkus, E. Vincent. Multichannel audio source separation with deep neural networks.
   IEEE/ACM TASLP 24(9), 2016.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir

from xumx.base.loops import Code, Complex, Number, Row, compiled

EPSILON = float(np.finfo(np.float64).eps)
FLOOR = EPSILON**0.5  # r

Loop = Callable[..., None]
Place = tuple[Any, Any]


@functools.lru_cache(maxsize=16)
def gather(sources: int) -> Loop:
    """Make the loop that adds up the moments of the first estimates, over all frames.

    It takes v, x and moments, the sizes frames, bins, low and width, and factor, of :func:`iterate`.
    """

    def write(code: Code, v: ir.Value, x: ir.Value, moments: ir.Value, *sizes: ir.Value) -> None:
        frames, bins, low, width, factor = sizes
        sums = [_parts(code, moments, j, width) for j in range(sources)]
        with code.loop(frames) as t:
            left, right = (code.row(x, (t, frames), (c, 2), (low, bins)) for c in range(2))
            magnitudes = [_pair(code, v, (j, 1), (t, frames), (low, bins)) for j in range(sources)]

            def body() -> None:
                turn = _phase(left.complex()).times_conj(_phase(right.complex()))
                for pair, parts in zip(magnitudes, sums, strict=True):
                    first, second = (row.number() * code.number(factor) for row in pair)
                    _add(parts, first * first, second * second, turn * (first * second))

            code.across(width, body)

    return compiled(["float32", "complex64", "float64", *["int"] * 4, "float"], write)


@functools.lru_cache(maxsize=16)
def iterate(sources: int, first: bool, last: bool) -> Loop:
    """Make the loop of an E-step and the M-step after it; of the last iteration, that of the E-step alone.

    It takes

    - v, float32 (sources, frames, 2, bins): the magnitudes, of which the first iteration takes the powers
    - x, complex64 (frames, 2, bins): the mixture
    - spatial, float64 (sources, 4, width): R in a tile of bins
    - power, float64 (sources, frames, width): v of the model, which others than the first iteration read, and
      others than the last one write
    - moments, float64 (sources, 4, width): to which others than the last iteration add
    - y, complex64 (sources, count, 2, bins): the estimates, which the last iteration writes
    - sizes: frames, bins, the tile's first bin (low) and width, the first frame and the count of frames
    - numbers: factor, with which x and v are multiplied; with which y is; and the channels
    """

    def write(code: Code, *arguments: ir.Value) -> None:
        v, x, spatial, power, moments, y, frames, bins, low, width, begin, count, *numbers = arguments
        models, sums = ([_parts(code, a, j, width) for j in range(sources)] for a in (spatial, moments))
        with code.loop(count) as i:
            t = code.builder.add(begin, i)
            mixture = [code.row(x, (t, frames), (c, 2), (low, bins)) for c in range(2)]
            magnitudes = [_pair(code, v, (j, 1), (t, frames), (low, bins)) for j in range(sources)]
            powers = [code.row(power, (j, 1), (t, frames), (0, width)) for j in range(sources)]
            estimates = [_pair(code, y, (j, 1), (i, count), (low, bins)) for j in range(sources)]

            def body() -> None:
                factor, scale, channels = map(code.number, numbers)
                if first:
                    squares = ([row.number() * row.number() for row in pair] for pair in magnitudes)
                    known = [(a + b) * (factor * factor * channels.inverse()) for a, b in squares]
                else:
                    known = [row.number() for row in powers]
                found = _posterior(known, models, [row.complex() * factor for row in mixture])
                for j, (left, right) in enumerate(found):
                    if last:
                        estimates[j][0].write(left * scale)
                        estimates[j][1].write(right * scale)
                    else:
                        powers[j].write((left.energy() + right.energy()) * channels.inverse())
                        _add(sums[j], left.energy(), right.energy(), left.times_conj(right))

            code.across(width, body)

    arrays = ["float32", "complex64", "float64", "float64", "float64", "complex64"]
    return compiled([*arrays, *["int"] * 6, *["float"] * 3], write)


def _parts(code: Code, array: ir.Value, j: int, width: ir.Value) -> list[Row]:
    """The four rows of a covariance of source j."""
    return [code.row(array, (j, 1), (part, 4), (0, width)) for part in range(4)]


def _pair(code: Code, array: ir.Value, source: Place, frame: Place, bins: Place) -> list[Row]:
    """Both channels of a source in a frame."""
    return [code.row(array, source, frame, (c, 2), bins) for c in range(2)]


def _add(parts: Sequence[Row], first: Number, second: Number, both: Complex) -> None:
    """Add to the four rows of a covariance."""
    for row, more in zip(parts, (first, second, both.re, both.im), strict=True):
        row.write(row.number() + more)


def _phase(x: Complex) -> Complex:
    """x / |x|; 1 where x is 0."""
    energy = x.energy()
    shrink = energy.sqrt().inverse()
    return Complex(energy.if_positive(x.re * shrink, 1.0), energy.if_positive(x.im * shrink, 0.0))


def _posterior(
    power: Sequence[Number], models: Sequence[Sequence[Row]], x: Sequence[Complex]
) -> list[tuple[Complex, Complex]]:
    """The E-step: both channels of each source."""
    spatial = [[part.number() for part in parts] for parts in models]
    weighted = [[v * part for part in parts] for v, parts in zip(power, spatial, strict=True)]
    a, b, re, im = (functools.reduce(Number.__add__, parts) for parts in zip(*weighted, strict=True))
    c = Complex(re, im)
    model = a * b - c.energy()
    shrink = (model.if_positive(model, 0.0) + (a + b) * FLOOR + EPSILON).inverse()
    z_1 = (x[0] * (b + FLOOR) - c * x[1]) * shrink
    z_2 = (x[1] * (a + FLOOR) - x[0].times_conj(c)) * shrink
    found = []
    for v, (r_11, r_22, *both) in zip(power, spatial, strict=True):
        r_12 = Complex(*both)
        found.append(((z_1 * r_11 + r_12 * z_2) * v, (z_2 * r_22 + z_1.times_conj(r_12)) * v))
    return found
