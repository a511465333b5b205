import io

import av
import numpy as np
import pytest

from tests.networks import music
from xumx.report.pictures import (
    BANDS,
    COLUMNS,
    HEIGHT,
    RANGE,
    Picture,
    height_of,
    palette,
    png,
    spectrogram,
    waveform,
)


def drawn(audio, rate=44100, blocks=(1,)):
    """Extremes and power of audio that comes in blocks of so many columns, in turn."""
    picture = Picture(len(audio), rate, audio.shape[1])
    at, turn = 0, 0
    while at < len(audio):
        size = blocks[turn % len(blocks)] * picture.step
        picture.add(audio[at : at + size])
        at, turn = at + size, turn + 1
    return *picture.finish(), picture.step


@pytest.mark.parametrize("samples", [1, 500, 1024, 44100, 1_300_001, 6_000_000])
def test_columns_cover_the_signal(samples):
    audio = np.random.default_rng(0).uniform(-1, 1, (samples, 2)).astype(np.float32)
    extremes, power, step = drawn(audio, blocks=(7,))
    assert len(extremes) == len(power) == -(-samples // step) <= COLUMNS, (samples, step)
    assert (extremes[:, 0].min(), extremes[:, 1].max()) == (min(audio.min(), 0), max(audio.max(), 0)) or (
        samples % step == 0
    )
    for column in (0, len(extremes) // 2):
        part = audio[column * step : (column + 1) * step]
        low, high = part.min(), part.max()
        if len(part) < step:
            low, high = min(low, 0), max(high, 0)
        assert tuple(extremes[column]) == (low, high), (samples, column)


def test_blocks_do_not_matter():
    audio = music(20)
    whole = drawn(audio, blocks=(10_000,))
    for blocks in ((1,), (3, 1, 50)):
        extremes, power, _ = drawn(audio, blocks=blocks)
        np.testing.assert_array_equal(extremes, whole[0])
        np.testing.assert_allclose(power, whole[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("frequency", [60, 440, 1000, 5000, 12_000])
@pytest.mark.parametrize("seconds", [2, 150])
def test_a_tone_stands_at_its_height_while_it_sounds(frequency, seconds):
    t = np.arange(seconds * 44100)
    audio = 0.5 * np.sin(2 * np.pi * frequency * t / 44100, dtype=np.float32)[:, None]
    audio[: len(audio) // 2] = 0
    _, power, _ = drawn(audio, blocks=(100,))
    loud = power.sum(axis=1)
    begins = np.argmax(loud > 0.5 * loud.max()) / len(power)
    assert begins == pytest.approx(0.5, abs=0.015), (frequency, seconds)
    band = power[len(power) * 3 // 4].argmax()
    assert band / (BANDS - 1) == pytest.approx(height_of(frequency), abs=0.02), (frequency, seconds)


def test_silence_and_a_rate_that_reaches_no_high_bands():
    extremes, power, _ = drawn(np.zeros((9000, 1), np.float32), rate=8000)
    assert not extremes.any() and not power.any()
    assert waveform(extremes, 0).startswith("M0 99 1 99")
    assert image(spectrogram(power, 0)).shape == (BANDS, len(power), 3)


def test_a_waveform_is_symmetric_and_stays_in_its_box():
    extremes = np.array([[-1, 1], [-0.5, 0.25], [0, 0], [-3, 0]], np.float32)
    path = waveform(extremes, 1.0)
    assert path[0] == "M" and path[-1] == "Z"
    points = np.array(path[1:-1].split(), int).reshape(-1, 2)
    assert points[:, 0].tolist() == [0, 1, 2, 3, 3, 2, 1, 0]
    assert points[:, 1].min() >= 0 and points[:, 1].max() <= HEIGHT
    top, bottom = points[:4, 1], points[:3:-1, 1]
    assert top.tolist() == [2, 76, 99, 99] and bottom.tolist() == [198, 149, 101, 198]


def image(data):
    """The pixels that FFmpeg finds in a PNG file."""
    with av.open(io.BytesIO(data)) as container:
        (frame,) = container.decode(video=0)
        return frame.to_ndarray(format="rgb24")


def test_png_holds_the_colours():
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (3, 7), (128, 1200)):
        colours = rng.integers(0, 256, (61, 3), np.uint8)
        picture = rng.integers(0, 61, shape, np.uint8)
        np.testing.assert_array_equal(image(png(picture, colours)), colours[picture], err_msg=str(shape))


def test_a_colour_a_decibel_from_the_loudest_down():
    levels = np.array([0, -1, -20, -RANGE, -RANGE - 30, 10])
    power = np.repeat(10 ** (levels / 10)[:, None], BANDS, axis=1) * 7
    pixels = image(spectrogram(power, 7.0))
    colours = palette(RANGE + 1)
    expected = colours[np.clip(RANGE + levels, 0, RANGE)]
    np.testing.assert_array_equal(pixels, np.broadcast_to(expected, pixels.shape))


def test_pictures_of_noise_are_no_larger_than_reckoned_with():
    noise = np.random.default_rng(0).standard_normal((4_000_000, 2)).astype(np.float32)
    extremes, power, _ = drawn(noise, blocks=(50,))
    assert len(waveform(extremes, 3)) + 4 / 3 * len(spectrogram(power, power.max())) < 200_000


def test_the_palette_grows_lighter_in_equal_steps():
    """CIE L*, which is not the measure that the colours were made with."""
    rgb = palette(64) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    lightness = 116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16
    steps = np.diff(lightness)
    assert lightness[0] < 3 and lightness[-1] > 95
    assert (steps > 0).all() and steps[5:].max() < 3 * steps[5:].min()
