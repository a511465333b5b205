from __future__ import annotations

import av
import numpy as np
import pytest
import soxr

from xumx.audio.samples import (
    Resampler,
    cropped,
    first_non_finite,
    float_samples,
    mixing_matrix,
    resample,
    resampled,
)


def split(rng: np.random.Generator, audio: np.ndarray) -> list[np.ndarray]:
    """The audio in blocks of random lengths, some of them empty."""
    cuts = np.sort(rng.integers(0, len(audio) + 1, 6))
    return np.split(audio, cuts)


@pytest.mark.parametrize(
    "rates", [(44100, 48000), (48000, 44100), (96000, 44100), (8000, 44100), (44100, 22050)]
)
def test_a_stream_resamples_like_the_whole(rates: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for samples in (1, 2, 10, 1000, 30_011):
        audio = rng.standard_normal((samples, 2)).astype(np.float32)
        before = audio.copy()
        streamed = np.concatenate(list(resampled(split(rng, audio), *rates)))
        assert len(streamed) == int(samples * rates[1] / rates[0] + 0.5), (rates, samples)
        np.testing.assert_allclose(
            streamed, soxr.resample(audio, *rates), atol=1e-6, err_msg=f"{rates} {samples}"
        )
        np.testing.assert_array_equal(audio, before)


def test_resampling_keeps_the_time_line() -> None:
    def tone(rate: int) -> np.ndarray:
        return np.sin(2 * np.pi * 997 * np.arange(rate) / rate)[:, None].astype(np.float32)

    for rates in ((44100, 48000), (48000, 44100), (22050, 44100)):
        error = np.abs(resample(tone(rates[0]), *rates) - tone(rates[1]))[500:-500].max()
        assert error < 1e-4, (rates, error)


def test_equal_rates_let_blocks_pass() -> None:
    block = np.ones((5, 2), np.float32)
    resampler = Resampler(44100, 44100, 2)
    assert resampler.push(block) is block
    assert resampler.flush().shape == (0, 2)
    assert list(resampled([], 44100, 48000)) == []


def test_resample_to_a_length() -> None:
    audio = np.ones((100, 1), np.float32)
    for samples in (0, 40, 100, 120):
        out = resample(audio, 8000, 8000, samples=samples)
        assert out.shape == (samples, 1)
        np.testing.assert_array_equal(out[100:], 0)
        np.testing.assert_array_equal(out[:100], audio[:samples])


def test_cropped_is_a_slice() -> None:
    rng = np.random.default_rng(1)
    audio = np.arange(60, dtype=np.float32).reshape(30, 2)
    for case in range(300):
        skip = int(rng.integers(0, 35))
        count = None if case % 4 == 0 else int(rng.integers(1, 35))
        blocks = list(cropped(split(rng, audio), skip, count))
        assert all(len(block) for block in blocks)
        out = np.concatenate([audio[:0], *blocks])
        np.testing.assert_array_equal(out, audio[skip:][:count], err_msg=f"skip {skip} count {count}")


def test_cropped_stops_asking() -> None:
    def blocks():
        yield np.zeros((10, 1), np.float32)
        raise AssertionError("asked for more than was needed")

    assert sum(map(len, cropped(blocks(), 2, 8))) == 8


def test_first_non_finite() -> None:
    block = np.zeros((100, 2), np.float32)
    assert first_non_finite(block) is None
    assert first_non_finite(block[:0]) is None
    assert first_non_finite(np.full((100, 2), 3e38, np.float32)) is None  # its sum is infinite
    for value in (np.nan, np.inf, -np.inf):
        for at, channel in ((0, 0), (57, 1), (99, 0)):
            bad = block.copy()
            bad[at:, channel] = value
            assert first_non_finite(bad) == at, (value, at, channel)


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1", "7.1"])
@pytest.mark.parametrize("name", ["u8", "s16", "s32", "flt", "dbl"])
@pytest.mark.parametrize("planar", [False, True])
def test_float_samples(name: str, planar: bool, layout: str) -> None:
    channels = av.AudioLayout(layout).nb_channels
    dtype = {"u8": "u1", "s16": "i2", "s32": "i4", "flt": "f4", "dbl": "f8"}[name]
    rng = np.random.default_rng(2)
    if dtype[0] == "f":
        raw = rng.uniform(-2, 2, (50, channels)).astype(dtype)
        expected = raw.astype(np.float32)
    else:
        info = np.iinfo(dtype)
        raw = rng.integers(info.min, info.max, (50, channels), endpoint=True).astype(dtype)
        raw[:2, 0] = info.min, info.max
        middle = 128 if name == "u8" else 0
        expected = ((raw.astype(np.float64) - middle) / 2.0 ** (8 * raw.itemsize - 1)).astype(np.float32)
    # Through FFmpeg's queue, as in reading: PyAV itself fails to make planar frames of 8 channels.
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(raw.reshape(1, -1)), name, layout)
    frame.sample_rate = 8000
    if planar:
        frame = av.AudioResampler(f"{name}p", layout, 8000).resample(frame)[0]
    block = float_samples(frame)
    assert block.dtype == np.float32 and block.flags.c_contiguous
    np.testing.assert_allclose(block, expected, rtol=0, atol=1e-7)


def test_mixing_matrices() -> None:
    half = 1 / (1 + 2 * np.sqrt(0.5))
    side = half * np.sqrt(0.5)
    surround = [[half, 0], [0, half], [side, side], [0, 0], [side, 0], [0, side]]
    cases = [
        ("mono", 1, None),
        ("stereo", 2, None),
        ("5.1", 6, None),
        ("mono", 2, [[1, 1]]),
        ("stereo", 1, [[0.5], [0.5]]),
        ("2.1", 2, [[1, 0], [0, 1], [0, 0]]),
        ("5.1", 2, surround),
        ("5.1(side)", 2, surround),
        ("5.1", 1, np.mean(surround, axis=1, keepdims=True)),
        ("9 channels", 2, np.full((9, 2), 1 / 9)),  # no standard layout
        ("ambisonic 1", 2, np.full((4, 2), 1 / 4)),  # not mixed by libswresample
    ]
    for layout, channels, expected in cases:
        matrix = mixing_matrix(av.AudioLayout(layout), channels)
        if expected is None:
            assert matrix is None, layout
        else:
            assert matrix is not None, layout
            np.testing.assert_allclose(matrix, expected, atol=1e-3, err_msg=f"{layout} to {channels}")


def test_a_mix_down_stays_within_full_scale() -> None:
    for layout in ("3.0", "quad", "5.1", "6.1", "7.1", "octagonal", "22.2"):
        matrix = mixing_matrix(av.AudioLayout(layout), 2)
        assert matrix is not None
        assert np.abs(matrix).sum(axis=0).max() <= 1 + 1e-6, layout
