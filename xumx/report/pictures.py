"""Pictures of signals that come in blocks: waveforms as SVG paths, spectrograms as PNG files."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import Any

import av
import numpy as np
import scipy
from numpy.lib.stride_tricks import sliding_window_view

COLUMNS = 1200
"""Of a picture, at most; one of a short signal has fewer."""

BANDS = 128
"""Rows of a spectrogram: equal steps of log frequency from `LOWEST` to `HIGHEST` Hz."""

LOWEST, HIGHEST = 40, 16_000

RANGE = 60
"""Decibels from the darkest to the brightest colour; there is a colour a decibel."""

HEIGHT = 200
"""Of a waveform's view box; silence is a line in its middle."""

_LAB_TO_LMS = np.array(
    [
        [1, 0.3963377774, 0.2158037573],
        [1, -0.1055613458, -0.0638541728],
        [1, -0.0894841775, -1.2914855480],
    ]
)
_LMS_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)
_N_FFT = 4096
_SHORTEST_HOP = _N_FFT // 16


class Picture:
    """What a picture shows of a signal, gathered block by block in memory that does not grow.

    A column stands for ``step`` samples. Its waveform is their least and greatest value in any channel, its
    spectrum the mean power, over channels and over Hann windows around equal parts of it, in `BANDS`.

    Parameters
    ----------
    samples : int
        Length of the signal.
    sample_rate : int
        In Hz.
    channels : int

    Examples
    --------
    >>> picture = Picture(44100, 44100, channels=1)
    >>> picture.add(np.zeros((44100, 1), np.float32))
    >>> extremes, power = picture.finish()
    >>> len(extremes) == len(power) == math.ceil(44100 / picture.step), power.shape[1] == BANDS
    (True, True)
    """

    def __init__(self, samples: int, sample_rate: int, channels: int = 2) -> None:
        windows = max(1, math.ceil(samples / (COLUMNS * _N_FFT)))  # a column, so that no sample is left out
        self._hop = max(_SHORTEST_HOP, math.ceil(samples / (COLUMNS * windows)))
        self._windows = windows
        self.step = windows * self._hop
        self._filters = _filters(sample_rate)
        before = (_N_FFT - self._hop) // 2
        self._held = np.zeros((before, channels), np.float32)
        self._after = np.zeros((_N_FFT - self._hop - before, channels), np.float32)
        self._extremes: list[np.ndarray] = []
        self._spectra: list[np.ndarray] = []

    def add(self, block: np.ndarray) -> None:
        """Append a block, (samples, channels) float32: a multiple of ``step`` samples, or the last."""
        block = np.pad(block, ((0, -len(block) % self.step), (0, 0)))
        columns = block.reshape(-1, self.step * block.shape[1])
        self._extremes.append(np.stack((columns.min(axis=1), columns.max(axis=1)), axis=1))
        self._look(block)

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the extremes, (columns, 2), and the power, (columns, `BANDS`), of all that was added."""
        self._look(self._after)
        power = np.concatenate(self._spectra).reshape(-1, self._windows, BANDS).mean(axis=1)
        return np.concatenate(self._extremes), power

    def _look(self, block: np.ndarray) -> None:
        samples = np.concatenate((self._held, block))
        count = max(0, (len(samples) - _N_FFT) // self._hop + 1)
        self._held = samples[count * self._hop :]
        if count:
            channels = np.ascontiguousarray(samples.T)
            windows = sliding_window_view(channels, _N_FFT, axis=1)[:, : count * self._hop : self._hop]
            parts = scipy.fft.rfft(windows * _hann(), axis=2).view(np.float32)
            squares = np.square(parts, out=parts).mean(axis=0)
            power = squares[:, ::2] + squares[:, 1::2]  # many times faster than a sum over pairs
            # Sparse: few bins are in a band, and BLAS would keep all cores waiting between such products.
            self._spectra.append((self._filters @ power.T).T)


def waveform(extremes: np.ndarray, peak: float) -> str:
    """Draw the outline of a waveform as the data of an SVG path.

    Parameters
    ----------
    extremes : array (columns, 2)
        Least and greatest sample of each column.
    peak : float
        The sample value that is drawn at the full height; 0 draws a line.

    Returns
    -------
    str
        For a view box from 0 to ``columns - 1`` and from 0 to `HEIGHT`.

    Examples
    --------
    >>> waveform(np.array([[-0.5, 0.5], [0, 0]]), peak=1)
    'M0 51 1 99 1 101 0 149Z'
    """
    middle = HEIGHT / 2
    scaled = np.clip(extremes / (peak or 1), -1, 1) * (middle - 2)
    # A line a unit thick stays where there is silence.
    low, high = np.minimum(scaled[:, 0], -1), np.maximum(scaled[:, 1], 1)
    rows = np.rint(middle - np.concatenate((high, low[::-1]))).astype(int)
    places = [*range(len(extremes)), *reversed(range(len(extremes)))]
    return f"M{' '.join(f'{x} {y}' for x, y in zip(places, rows.tolist()))}Z"


def spectrogram(power: np.ndarray, loudest: float) -> bytes:
    """Draw a spectrogram as a PNG file, `BANDS` rows high, low frequencies below.

    Parameters
    ----------
    power : array (columns, bands)
    loudest : float
        The power of the brightest colour; the darkest is `RANGE` dB below.
    """
    with np.errstate(divide="ignore"):
        level = 10 * np.log10(power / (loudest or 1))
    return png(np.clip(np.rint(level + RANGE), 0, RANGE).astype(np.uint8).T[::-1], palette(RANGE + 1))


def height_of(frequency: float) -> float:
    """Tell how high in a spectrogram a frequency in Hz stands: 0 below, 1 above.

    >>> height_of(LOWEST), height_of(HIGHEST)
    (0.0, 1.0)
    """
    return math.log(frequency / LOWEST) / math.log(HIGHEST / LOWEST)


def png(picture: np.ndarray, colours: np.ndarray) -> bytes:
    """A PNG file of indexed colours, by FFmpeg's encoder.

    Parameters
    ----------
    picture : uint8 array (rows, columns)
        Indices of colours.
    colours : uint8 array (colours, 3)
        Red, green and blue in sRGB; 256 at most.
    """
    argb = np.full((256, 4), 255, np.uint8)
    argb[: len(colours), 1:] = colours
    codec = av.VideoCodecContext.create("png", "w")
    codec.height, codec.width = picture.shape
    codec.pix_fmt, codec.time_base = "pal8", Fraction(1)
    codec.options = {"pred": "none"}  # a neighbour's index says little: differences make noise larger
    pixels: Any = np.ascontiguousarray(picture), argb  # which PyAV's types do not know
    frame = av.VideoFrame.from_ndarray(pixels, format="pal8")
    return b"".join(map(bytes, [*codec.encode(frame), *codec.encode(None)]))


def palette(count: int) -> np.ndarray:
    """Mix colours from near black over violet, red and orange to near white: (count, 3) uint8 in sRGB.

    Lightness grows in equal steps as the eye sees them: the colours are points of OKLab (B. Ottosson: A
    perceptual color space for image processing, 2020).
    """
    t = np.linspace(0, 1, count)
    hue = np.deg2rad(np.interp(t, (0, 0.25, 0.6, 1), (275, 310, 390, 460)))
    chroma = np.interp(t, (0, 0.2, 0.55, 0.8, 1), (0.03, 0.12, 0.19, 0.14, 0.04))
    lab = np.stack((0.13 + 0.85 * t, chroma * np.cos(hue), chroma * np.sin(hue)))
    linear = np.clip(_LMS_TO_RGB @ (_LAB_TO_LMS @ lab) ** 3, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * encoded).astype(np.uint8).T


@lru_cache(maxsize=2)
def _filters(sample_rate: int) -> scipy.sparse.csr_array:
    """Triangles around the bands' frequencies, (`BANDS`, bins) float32.

    Each reaches to the next band, or to the next bin where bins are farther apart than bands: there it
    interpolates between them.
    """
    centres = np.geomspace(LOWEST, HIGHEST, BANDS)[:, None]
    bins = np.arange(_N_FFT // 2 + 1) * sample_rate / _N_FFT
    width = np.maximum(centres * (centres[1] / centres[0] - 1), sample_rate / _N_FFT)
    return scipy.sparse.csr_array(np.maximum(0, 1 - np.abs(bins - centres) / width).astype(np.float32))


@lru_cache(maxsize=1)
def _hann() -> np.ndarray:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_N_FFT) / _N_FFT)).astype(np.float32)
