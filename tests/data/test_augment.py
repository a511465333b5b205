from __future__ import annotations

import numpy as np
import pytest

from xumx.base.errors import UsageError
from xumx.data.source import AUGMENTATIONS, augmentations, channelswap, gain


def test_gain_is_uniform_and_the_same_for_all_samples() -> None:
    rng = np.random.default_rng(0)
    audio = rng.standard_normal((50, 2)).astype(np.float32)
    factors = []
    for _ in range(2000):
        louder = gain(audio, rng)
        factors.append(louder[0, 0] / audio[0, 0])
        np.testing.assert_allclose(louder, audio * factors[-1], rtol=1e-5)
    assert 0.25 <= min(factors) < 0.27 and 1.23 < max(factors) <= 1.25
    assert np.mean(factors) == pytest.approx(0.75, abs=0.03)


def test_channels_are_swapped_in_half_of_the_cases() -> None:
    rng = np.random.default_rng(0)
    audio = np.array([[1, 4], [2, 5], [3, 6]], np.float32)
    swapped = 0
    for _ in range(1000):
        result = channelswap(audio, rng)
        swapped += np.array_equal(result, audio[:, ::-1])
        assert np.array_equal(result, audio) or np.array_equal(result, audio[:, ::-1])
    assert 430 < swapped < 570


@pytest.mark.parametrize("channels", [1, 3])
def test_only_stereo_is_swapped(channels: int) -> None:
    audio = np.arange(3 * channels, dtype=np.float32).reshape(3, channels)
    assert all(np.array_equal(channelswap(audio, np.random.default_rng(seed)), audio) for seed in range(8))


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_the_input_stays_and_the_result_follows_from_the_random_state(name: str, channels: int) -> None:
    audio = np.random.default_rng(1).standard_normal((7, channels)).astype(np.float32)
    before = audio.copy()
    (augment,) = augmentations([name])
    first, second = (augment(audio, np.random.default_rng(2)) for _ in range(2))
    assert np.array_equal(audio, before) and np.array_equal(first, second)
    assert first.dtype == np.float32 and first.shape == audio.shape


def test_names_are_looked_up_in_order() -> None:
    assert augmentations(["channelswap", "gain"]) == (channelswap, gain)
    assert augmentations([]) == ()
    with pytest.raises(UsageError, match="unknown source augmentation 'gian'; did you mean 'gain'"):
        augmentations(["gian"])
    with pytest.raises(UsageError, match="use one of gain, channelswap"):
        augmentations(["reverb"])
