"""The Wiener filter against norbert in double precision, and what must hold for any signal."""

from __future__ import annotations

from typing import Any

import norbert
import numpy as np
import pytest

from xumx.base.errors import UsageError
from xumx.signal import em
from xumx.signal.wiener import wiener

RTOL = 1e-5  # of the peak


def song(seed: int, sources: int, frames: int, channels: int, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Panned sources with a spectral slope, and magnitudes that are rough estimates of theirs.

    Returns magnitudes (sources, frames, channels, bins) and mixture (frames, channels, bins).
    """
    rng = np.random.default_rng(seed)
    shape = sources, frames, channels, bins
    pan = rng.standard_normal((sources, 1, channels, bins)) + 1j * rng.standard_normal(
        (sources, 1, channels, bins)
    )
    notes = rng.standard_normal((sources, frames, 1, bins)) + 1j * rng.standard_normal(
        (sources, frames, 1, bins)
    )
    ambience = 0.1 * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape))
    loudness = 100 * rng.random((sources, frames, 1, 1)) / (1 + np.arange(bins) / 50)
    images = loudness * (pan * notes + ambience)
    magnitude = (np.abs(images) * rng.uniform(0.3, 1.7, shape)).astype(np.float32)
    return magnitude, images.sum(axis=0).astype(np.complex64)


def reference(
    magnitude: np.ndarray,
    mixture: np.ndarray,
    niter: int = 1,
    softmask: bool = False,
    residual: bool = False,
    alpha: float = 1.0,
) -> np.ndarray:
    """norbert as the separation of Open-Unmix calls it, with its axes: frames, bins, channels, sources."""
    v, mixture = magnitude.transpose(1, 3, 2, 0), mixture.swapaxes(1, 2)
    v = v**alpha if softmask else v
    if residual:
        v = norbert.residual_model(v, mixture, alpha if softmask else 1)
    y = norbert.wiener(v, mixture.astype(np.complex128), niter, use_softmask=softmask)
    return y.transpose(3, 0, 2, 1)


def deviation(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference relative to the peak, or to the least float32; infinite where ours is not finite."""
    assert ours.shape == theirs.shape
    if not np.isfinite(ours).all():
        return float("inf")
    return float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), np.finfo(np.float32).tiny))


SHAPES = [  # sources, frames, channels, bins
    (4, 12, 2, 65),
    (4, 9, 2, 1100),  # several tiles, the last not full
    (1, 7, 2, 33),
    (2, 1, 2, 40),  # one frame
    (6, 15, 2, 1),  # one bin
    (5, 10, 1, 50),
    (1, 1, 1, 1),
    (3, 6, 3, 21),  # more channels than the compiled filter knows
]
OPTIONS: list[dict[str, Any]] = [
    {"niter": 0},
    {"niter": 1},
    {"niter": 2},
    {"niter": 3},
    {"niter": 0, "softmask": True},
    {"niter": 2, "softmask": True},
    {"niter": 0, "softmask": True, "alpha": 0.5},
    {"niter": 1, "softmask": True, "alpha": 0.5},
    {"niter": 1, "softmask": True, "alpha": 2.0},
    {"niter": 0, "residual": True},
    {"niter": 1, "residual": True},
    {"niter": 3, "residual": True},
    {"niter": 1, "softmask": True, "residual": True, "alpha": 2.0},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_norbert(shape: tuple[int, int, int, int], options: dict[str, Any]) -> None:
    magnitude, mixture = song(sum(shape), *shape)
    estimate = wiener(magnitude, mixture, **options)
    assert estimate.dtype == np.complex64
    error = deviation(estimate, reference(magnitude, mixture, **options))
    assert error < RTOL, f"{shape}, {options}: {error:.1e} of the peak"


def silent(magnitude: np.ndarray, mixture: np.ndarray) -> None:
    magnitude[:] = mixture[:] = 0


def silent_frames(magnitude: np.ndarray, mixture: np.ndarray) -> None:
    magnitude[:, 3:6] = mixture[3:6] = 0


def silent_mixture(magnitude: np.ndarray, mixture: np.ndarray) -> None:
    mixture[:] = 0


def silent_models(magnitude: np.ndarray, mixture: np.ndarray) -> None:
    magnitude[:] = 0


def silent_source(magnitude: np.ndarray, mixture: np.ndarray) -> None:
    magnitude[1] = 0


def left_only(magnitude: np.ndarray, mixture: np.ndarray) -> None:
    magnitude[..., 1, :] = mixture[..., 1, :] = 0


def right_only(magnitude: np.ndarray, mixture: np.ndarray) -> None:
    magnitude[..., 0, :] = mixture[..., 0, :] = 0


def left_only_models_both(magnitude: np.ndarray, mixture: np.ndarray) -> None:
    mixture[..., 1, :] = 0


def same_in_both(magnitude: np.ndarray, mixture: np.ndarray) -> None:
    magnitude[..., 1, :], mixture[..., 1, :] = magnitude[..., 0, :], mixture[..., 0, :]


def opposite(magnitude: np.ndarray, mixture: np.ndarray) -> None:
    magnitude[..., 1, :], mixture[..., 1, :] = magnitude[..., 0, :], -mixture[..., 0, :]


def faint(magnitude: np.ndarray, mixture: np.ndarray) -> None:
    factor = np.float32(1e-8) / np.abs(mixture).max()
    magnitude *= factor
    mixture *= factor


def loud(magnitude: np.ndarray, mixture: np.ndarray) -> None:
    factor = np.float32(1e4) / np.abs(mixture).max()
    magnitude *= factor
    mixture *= factor


CASES = [
    silent,
    silent_frames,
    silent_mixture,
    silent_models,
    silent_source,
    left_only,
    right_only,
    left_only_models_both,
    same_in_both,
    opposite,
    faint,
    loud,
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_degenerate_signals(case: Any, options: dict[str, Any]) -> None:
    magnitude, mixture = song(5, 4, 11, 2, 30)
    case(magnitude, mixture)
    error = deviation(wiener(magnitude, mixture, **options), reference(magnitude, mixture, **options))
    assert error < RTOL, f"{case.__name__}, {options}: {error:.1e} of the peak"


def test_finite_where_norbert_divides_by_zero() -> None:
    magnitude, mixture = song(6, 4, 11, 2, 30)
    same_in_both(magnitude, mixture)
    magnitude *= np.float32(1e7)
    with np.errstate(all="ignore"):
        assert not np.isfinite(reference(magnitude, mixture)).all()
    for niter in (1, 2, 3):
        assert np.isfinite(wiener(magnitude, mixture, niter)).all(), niter


def test_rounding_leaves_the_covariance_positive() -> None:
    r_12 = np.nextafter(1.0, 2.0)  # above sqrt(R_11 R_22), by rounding
    spatial = np.array([[[1.0], [1.0], [r_12], [0.0]]])
    across = np.array([[[1], [-1]]], np.complex64)  # where R is all but 0
    y, unused = np.zeros((1, 1, 2, 1), np.complex64), np.zeros((0, 0, 0))
    v = np.full((1, 1, 2, 1), 1e5, np.float32)
    em.iterate(1, True, True)(v, across, spatial, unused, unused, y, 1, 1, 0, 1, 0, 1, 1.0, 1.0, 2.0)
    # With det above 0, z is (1, -1) times something positive, and y = v R z has R_11 - R_12 < 0 in it.
    assert y[0, 0, 0, 0].real < 0 < y[0, 0, 1, 0].real, y.ravel()


def test_finite_where_powers_overflow() -> None:
    magnitude, mixture = song(7, 3, 11, 2, 30)
    loud(magnitude, mixture)
    options: dict[str, Any] = {"niter": 1, "softmask": True, "alpha": 12.0}
    with np.errstate(all="ignore"):
        assert not np.isfinite(reference(magnitude, mixture, **options)).all()
    for residual in (False, True):
        assert np.isfinite(wiener(magnitude, mixture, residual=residual, **options)).all(), residual


@pytest.mark.parametrize("niter", [1, 2, 3])
@pytest.mark.parametrize("shape", [(4, 20, 2, 64), (2, 20, 1, 64)], ids=str)
def test_sources_sum_to_the_mixture(shape: tuple[int, int, int, int], niter: int) -> None:
    magnitude, mixture = song(8, *shape)
    error = deviation(wiener(magnitude, mixture, niter).sum(axis=0), mixture)
    assert error < 1e-4, f"{shape}, niter {niter}: {error:.1e} of the peak"


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_order_of_sources_follows(options: dict[str, Any]) -> None:
    magnitude, mixture = song(9, 4, 10, 2, 40)
    order = np.array([2, 0, 3, 1])
    plain = wiener(magnitude, mixture, **options)
    permuted = wiener(magnitude[order], mixture, **options)
    error = deviation(permuted[:4], plain[order])
    assert error < 1e-6, f"{options}: {error:.1e} of the peak"
    if options.get("residual"):
        assert deviation(permuted[4], plain[4]) < 1e-6, options


@pytest.mark.parametrize("niter", [0, 1, 3])
def test_scales_with_a_loud_mixture(niter: int) -> None:
    magnitude, mixture = song(10, 4, 10, 2, 40)
    assert np.abs(mixture).max() > 10
    doubled = wiener(magnitude * 2, mixture * 2, niter)
    assert deviation(doubled, 2 * wiener(magnitude, mixture, niter)) < 1e-6


@pytest.mark.parametrize("niter", [0, 1, 2])
@pytest.mark.parametrize("threads", [2, 3, 8])
def test_threads_do_not_matter(threads: int, niter: int) -> None:
    magnitude, mixture = song(11, 4, 40, 2, 1700)
    alone = wiener(magnitude, mixture, niter)
    together = wiener(magnitude, mixture, niter, threads=threads)
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_inputs_unchanged(channels: int, options: dict[str, Any]) -> None:
    magnitude, mixture = song(12, 3, 8, channels, 20)
    before = magnitude.copy(), mixture.copy()
    wiener(magnitude, mixture, **options)
    np.testing.assert_array_equal(magnitude, before[0])
    np.testing.assert_array_equal(mixture, before[1])
    assert magnitude.flags.writeable and mixture.flags.writeable


def channels_last(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array.swapaxes(-1, -2)).swapaxes(-1, -2)


def misaligned(array: np.ndarray) -> np.ndarray:
    raw = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    raw[...] = array
    return raw


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "layout",
    [
        channels_last,
        np.asfortranarray,
        misaligned,
        read_only,
        lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
        lambda array: array.astype(np.result_type(array, np.float64)),
    ],
    ids=["channels last", "Fortran", "misaligned", "read-only", "strided", "double"],
)
def test_any_layout(layout: Any) -> None:
    magnitude, mixture = song(13, 4, 6, 2, 45)
    plain = wiener(magnitude, mixture)
    np.testing.assert_array_equal(wiener(layout(magnitude), layout(mixture)), plain)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_result_lies_as_its_axes_say(channels: int) -> None:
    magnitude, mixture = song(14, 4, 6, channels, 45)
    plain = wiener(magnitude, mixture)
    assert plain.shape == (4, 6, channels, 45)
    assert plain.flags.c_contiguous


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"niter": -1}, "`niter`"),
        ({"softmask": True, "alpha": 0.0}, "`alpha`"),
        ({"softmask": True, "alpha": -1.0}, "`alpha`"),
        ({"softmask": True, "alpha": float("nan")}, "`alpha`"),
        ({"alpha": 2.0}, "`softmask`"),
        ({"threads": 0}, "threads"),
    ],
    ids=str,
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        wiener(*song(15, 2, 3, 2, 4), **options)


@pytest.mark.parametrize(
    ("magnitude", "mixture"),
    [((2, 3, 2, 4), (3, 2, 5)), ((3, 2, 4), (3, 2, 4)), ((2, 3, 2, 4), (3, 4)), ((2, 3, 1, 4), (3, 2, 4))],
)
def test_wrong_shapes(magnitude: tuple[int, ...], mixture: tuple[int, ...]) -> None:
    with pytest.raises(ValueError) as error:
        wiener(np.zeros(magnitude, np.float32), np.zeros(mixture, np.complex64))
    assert str(magnitude) in str(error.value) and str(mixture) in str(error.value)
