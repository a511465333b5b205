from __future__ import annotations

import numpy as np
import pytest

from xumx.base.errors import UsageError
from xumx.data.augment import AUGMENTATIONS, augmentations, channelswap, gain, peaking


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
    assert first.dtype == np.float32 and (name == "repitch" or first.shape == audio.shape)


def test_names_are_looked_up_in_order() -> None:
    assert augmentations(["channelswap", "gain"]) == (channelswap, gain)
    assert augmentations([]) == ()
    with pytest.raises(UsageError, match="unknown source augmentation 'gian'; did you mean 'gain'"):
        augmentations(["gian"])
    with pytest.raises(UsageError, match="use one of gain, channelswap,"):
        augmentations(["reverb"])


def tone(seconds: float = 1.0, pitch: float = 1000.0) -> np.ndarray:
    """Of full scale, in stereo."""
    phase = 2 * np.pi * pitch * np.arange(round(44100 * seconds)) / 44100
    return np.stack([np.sin(phase), np.cos(phase)], axis=1).astype(np.float32)


def test_the_sign_flips_in_half_of_the_cases() -> None:
    (flip,), rng = augmentations(["signflip"]), np.random.default_rng(0)
    signs = [flip(np.ones((1, 2), np.float32), rng)[0, 0] for _ in range(1000)]
    assert set(signs) == {-1, 1} and 430 < signs.count(-1) < 570


def test_repitched_audio_is_shorter_by_as_much_as_it_is_higher() -> None:
    """A tone's frequency is counted by its zero crossings."""
    (repitch,), rng = augmentations(["repitch:p=1,max=12"]), np.random.default_rng(0)
    speeds = []
    for _ in range(12):
        result = repitch(tone(), rng)
        crossings = np.count_nonzero(np.diff(np.sign(result[:, 0])))
        speeds.append(44100 / len(result))
        assert crossings / 2 * 44100 / len(result) == pytest.approx(1000 * speeds[-1], rel=2e-3)
    assert 0.88 <= min(speeds) < 0.95 and 1.05 < max(speeds) <= 1.12 and repitch.reach == 1.12


def test_the_equaliser_changes_levels_at_its_centres_and_no_more_than_it_may() -> None:
    nothing = peaking(500, 0, 1, 44100)
    assert nothing[:3] == pytest.approx(nothing[3:]), "without gain it does nothing"
    (equalise,), rng = augmentations(["equaliser:p=1,db=6,bands=1"]), np.random.default_rng(0)
    click = np.zeros((1 << 14, 1), np.float32)
    click[0] = 1
    for _ in range(8):
        levels = 20 * np.log10(np.abs(np.fft.rfft(equalise(click, rng), axis=0)))
        largest = levels[np.abs(levels).argmax()]
        assert 0 < abs(largest) <= 6.01 and np.abs(levels[0]) < 0.1
        assert np.all(levels * np.sign(largest) > -0.01), "one band goes one way"


def test_the_codec_loses_and_stays_in_place() -> None:
    (codec,) = augmentations(["codec:p=1,low=64,high=64"])
    rng = np.random.default_rng(0)
    audio = (0.3 * tone() + 0.03 * rng.standard_normal((44100, 2))).astype(np.float32)
    result = codec(audio, rng)
    assert result.shape == audio.shape
    errors = [np.square(np.roll(result, shift, axis=0) - audio).mean() for shift in range(-3, 4)]
    assert np.argmin(errors) == 3 and 1e-6 < errors[3] < 0.03**2 * 2
    high = np.abs(np.fft.rfft(result[:, 0]))[18000:]
    assert high.max() < 0.1 * np.abs(np.fft.rfft(audio[:, 0]))[18000:].max(), "64 kbit/s leave no treble"


@pytest.mark.parametrize(
    "text, said",
    [
        ("repitch:q=1", "repitch has no parameter 'q'; it has p, max"),
        ("repitch:p", "repitch:p: p must be a number from 0 to 1, not ''"),
        ("signflip:p=1.5", "p must be a number from 0 to 1, not '1.5'"),
        ("signflip:p=nan", "p must be a number from 0 to 1, not 'nan'"),
        ("equaliser:bands=2.5", "bands must be a whole number from 1 to 20, not '2.5'"),
        ("codec:low=300", "codec:low=300: low is above high"),
        ("codec:p=1,p=0", "p is given twice"),
    ],
)
def test_parameters_that_cannot_be_are_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        augmentations([text])
    assert said in str(raised.value)
