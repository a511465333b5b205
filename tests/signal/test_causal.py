"""The Wiener filter that knows the past alone, against the offline one over songs that end at each frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from xumx.base.errors import UsageError
from xumx.signal.causal import CausalFilter
from xumx.signal.wiener import wiener


def scene(channels: int, loud: float = 30.0) -> tuple[np.ndarray, np.ndarray]:
    """Magnitudes that are off, (frames, sources, channels, bins), and the mixture; it grows louder."""
    rng = np.random.default_rng(channels)
    shape = (12, 3, channels, 17)
    sources = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    sources *= rng.exponential(size=(12, 3, 1, 17)) * np.geomspace(0.1, loud, 12)[:, None, None, None]
    magnitude = np.abs(sources) * rng.uniform(0.5, 1.5, shape)
    mixture = sources.sum(axis=1)
    mixture[3, :, 5] = 0
    return magnitude.astype(np.float32), mixture.astype(np.complex64)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"niter": 0},
        {"residual": True, "niter": 0},
        {"softmask": True, "alpha": 1.5},
        {"softmask": True, "residual": True, "alpha": 2.0, "niter": 0},
    ],
    ids=str,
)
def test_each_frame_is_the_last_of_a_song_that_ends_there(channels: int, options: dict[str, Any]) -> None:
    """Nothing is forgotten, and one iteration at most: then the offline filter says what it must give."""
    magnitude, mixture = scene(channels)
    causal = CausalFilter(3, channels, 17, 1.0, **options)
    for t, (v, x) in enumerate(zip(magnitude, mixture)):
        past = magnitude[: t + 1].swapaxes(0, 1), mixture[: t + 1]
        expected = wiener(*past, **options)[:, -1]
        assert np.abs(causal(v, x) - expected).max() < 1e-5 * np.abs(expected).max(), t


@pytest.mark.parametrize("niter", [1, 3])
def test_sources_sum_to_the_mixture_and_what_is_forgotten_does_not_matter(niter: int) -> None:
    magnitude, mixture = scene(2, loud=1.0)
    causal = CausalFilter(3, 2, 17, 0.5, niter)
    for v, x in zip(magnitude, mixture):
        assert np.abs(causal(v, x).sum(axis=0) - x).max() < 1e-4 * np.abs(mixture).max()
    other = CausalFilter(3, 2, 17, 0.5, niter)
    for v, x in zip(magnitude[::-1], mixture[::-1]):  # another past, with the same peak
        other(v, x)
    after, silence = np.float32(0.1) * magnitude, np.float32(0.1) * mixture
    far = []
    for _ in range(4):
        for v, x in zip(after, silence):
            found, expected = causal(v, x), other(v, x)
            far.append(np.abs(found - expected).max() / np.abs(expected).max())
    assert far[0] > 1e-2 and max(far[-12:]) < 1e-5


def test_what_no_filter_can_be() -> None:
    with pytest.raises(UsageError, match="one or two channels"):
        CausalFilter(3, 4, 17, 0.9)
    for decay in (0, 1.1):
        with pytest.raises(UsageError, match="decay"):
            CausalFilter(3, 2, 17, decay)
