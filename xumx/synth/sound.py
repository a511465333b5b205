"""What all instruments and singers share: wavetables, oscillators, envelopes, noise and room.

Audio is float32 at `RATE`, (samples,) for one channel and (2, samples) for two.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import scipy.fft
from scipy.signal import butter, sosfilt

RATE = 44100
"""In Hz."""

_BITS = 14  # of a wavetable's index: what is between its samples is 60 dB below the tenth harmonic

_TOGETHER = 1 << 15  # samples that are worked on at once, so that they stay in the processor's cache


class Note(NamedTuple):
    """One note: start and length in seconds, pitch as MIDI counts it (69 is 440 Hz), velocity 0 to 1."""

    start: float
    length: float
    pitch: float
    velocity: float


@dataclass(frozen=True)
class Singer:
    """How somebody sings, whatever the sound is made of.

    Parameters
    ----------
    low, high : int
        Range as MIDI pitches.
    size : float
        Factor of the formants' frequencies: of a man's, or of those that were recorded.
    rate, depth : float
        Vibrato in Hz and cents.
    glide : float
        Seconds from note to note.
    scoop : float
        Semitones from below at the beginning of phrases.
    """

    low: int
    high: int
    size: float
    rate: float
    depth: float
    glide: float
    scoop: float


def hertz(pitch: float) -> float:
    """Return the frequency of a MIDI pitch in Hz.

    >>> hertz(69), hertz(57)
    (440.0, 220.0)
    """
    return float(440 * 2 ** ((pitch - 69) / 12))


def wavetable(amplitudes: np.ndarray, phases: np.ndarray | None = None) -> np.ndarray:
    """Sum sines to one period of a sound: (16384,) float32.

    Harmonic k + 1 has ``amplitudes[k]`` and, in radians, ``phases[k]``.

    >>> table = wavetable(np.array([0.5]))
    >>> [round(float(table[quarter * len(table) // 4]), 3) + 0 for quarter in range(4)]
    [0.0, 0.5, 0.0, -0.5]
    """
    size = 1 << _BITS
    spectrum = np.zeros(size // 2 + 1, np.complex64)
    spectrum[1 : len(amplitudes) + 1] = amplitudes * (-0.5j * size)
    if phases is not None:
        spectrum[1 : len(amplitudes) + 1] *= np.exp(1j * phases)
    return np.asarray(scipy.fft.irfft(spectrum, size), np.float32)


@lru_cache(maxsize=1)
def sine() -> np.ndarray:
    """Return the wavetable of a sine."""
    return wavetable(np.ones(1))


def phase(frequency: float | np.ndarray, samples: int = 0, start: float = 0.0) -> np.ndarray:
    """Count through a wavetable: the index at each sample, (samples,).

    Phases are counted in integers that wrap around, so that long notes stay in tune.

    Parameters
    ----------
    frequency : float or float32 array (samples,)
        In Hz: constant, or one a sample.
    samples : int
        How many, of a constant frequency.
    start : float
        Phase of the first sample, in periods.

    Examples
    --------
    >>> len(sine()), phase(RATE / 4, 5).tolist()
    (16384, [0, 4096, 8192, 12288, 0])
    """
    scale = 2.0**32 / RATE
    first = np.uint32(int(start * 2**32) % 2**32)
    if isinstance(frequency, np.ndarray):
        steps = np.cumsum((frequency * np.float32(scale)).astype(np.uint32), dtype=np.uint32)
    else:
        steps = np.arange(samples, dtype=np.uint32) * np.uint32(round(frequency * scale))
    return ((steps + first) >> np.uint32(32 - _BITS)).astype(np.intp)


def decay(samples: int, seconds: float) -> np.ndarray:
    """Fall from 1 to 1/e in so many seconds, and on: (samples,) float32.

    >>> round(float(decay(RATE + 1, 1.0)[-1]), 4)
    0.3679
    """
    return np.exp(np.arange(samples, dtype=np.float32) * np.float32(-1 / (max(seconds, 1e-4) * RATE)))


def ramps(audio: np.ndarray, attack: float, release: float) -> np.ndarray:
    """Fade (samples,) in and out, in place, in so many seconds each, with the flanks of a cosine."""
    for seconds, flank in ((attack, slice(None)), (release, slice(None, None, -1))):
        n = min(int(seconds * RATE), len(audio))
        if n:
            audio[flank][:n] *= _flank(n)
    return audio


@lru_cache(maxsize=256)
def _flank(n: int) -> np.ndarray:
    return (0.5 - 0.5 * np.cos(np.pi * (np.arange(n) + 0.5) / n)).astype(np.float32)


def noise(samples: int, rng: np.random.Generator) -> np.ndarray:
    """Draw white noise of standard deviation 1: (samples,) float32."""
    return rng.standard_normal(samples, np.float32)


def band(audio: np.ndarray, low: float | None, high: float | None, order: int = 2) -> np.ndarray:
    """Filter along the last axis between two frequencies in Hz, or on one side of one: float32.

    It is a causal Butterworth filter. ``low`` alone is a high pass, ``high`` alone a low pass.

    >>> tone = np.sin(2 * np.pi * 100 / RATE * np.arange(RATE))
    >>> bool(np.abs(band(tone, 1000, None)[RATE // 2 :]).max() < 0.02)
    True
    """
    top = 0.49 * RATE
    if low and high:
        sos = butter(order, [low, min(high, top)], "bandpass", fs=RATE, output="sos")
    elif low:
        sos = butter(order, low, "highpass", fs=RATE, output="sos")
    else:
        sos = butter(order, min(high or top, top), "lowpass", fs=RATE, output="sos")
    return np.asarray(sosfilt(sos.astype(np.float32), audio), np.float32)


def place(audio: np.ndarray, second: float, sound: np.ndarray, gain: float = 1.0) -> None:
    """Add a sound to ``audio``, (samples,), in place from a second on, as far as it fits.

    >>> audio = np.zeros(4, np.float32)
    >>> place(audio, 2 / RATE, np.ones(4, np.float32), gain=0.5)
    >>> audio.tolist()
    [0.0, 0.0, 0.5, 0.5]
    """
    first = max(int(second * RATE), 0)
    n = min(len(sound), len(audio) - first)
    if n > 0:
        audio[first : first + n] += np.float32(gain) * sound[:n]


def pan(audio: np.ndarray, position: float) -> np.ndarray:
    """Place (samples,) between left (-1) and right (1), at the same power everywhere: (2, samples).

    >>> pan(np.ones(1, np.float32), 0.0).round(3).tolist()
    [[0.7070000171661377], [0.7070000171661377]]
    """
    angle = (position + 1) * np.pi / 4
    return np.stack([audio * np.float32(np.cos(angle)), audio * np.float32(np.sin(angle))])


def wander(samples: int, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a line through random points, one every so many seconds, of deviation 1: (samples,) float32."""
    points = int(samples / (seconds * RATE)) + 3
    at = np.arange(samples, dtype=np.float32) / np.float32(seconds * RATE)
    return np.interp(at, np.arange(points), rng.standard_normal(points)).astype(np.float32)


def stretch(curve: np.ndarray, hop: int, samples: int) -> np.ndarray:
    """Draw a line through a curve's points, one every ``hop`` samples: (samples,) float32.

    >>> stretch(np.array([0.0, 1.0]), 4, 6).tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    """
    points = curve[: -(-samples // hop) + 1].astype(np.float32)
    points = np.pad(points, (0, -(-samples // hop) + 1 - len(points)), mode="edge")
    line = np.arange(hop, dtype=np.float32) / np.float32(hop)
    return (points[:-1, None] + np.diff(points)[:, None] * line).reshape(-1)[:samples]


def chorus(audio: np.ndarray, rng: np.random.Generator, depth: float = 0.0025) -> np.ndarray:
    """Add to (samples,) itself behind a delay that sways, another a channel: (2, samples), wide."""
    wide = np.empty((2, len(audio)), np.float32)
    for channel in wide:
        sway = sine()[phase(rng.uniform(0.2, 0.9), len(audio), rng.uniform())]
        for first in range(0, len(audio), _TOGETHER):
            part = slice(first, first + _TOGETHER)
            delay = (sway[part] * np.float32(depth / 2) + np.float32(0.008 + depth / 2)) * np.float32(RATE)
            whole = delay.astype(np.intp)
            index = np.maximum(np.arange(first, first + len(delay)) - whole, 1)
            late = delay - whole.astype(np.float32)
            channel[part] = audio[index] * (1 - late) + audio[index - 1] * late
    wide += audio
    wide *= np.float32(0.7)
    return wide


def room(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the impulse response of a room: (2, samples) of noise that falls by 60 dB in so many seconds."""
    n = int(seconds * RATE)
    response = rng.standard_normal((2, n), np.float32) * decay(n, seconds / 6.9)
    bright = decay(n, seconds / 16)
    dark = band(response, 150, rng.uniform(2000, 4500), 1)
    response = dark + (response - dark) * bright
    start = int(rng.uniform(0.005, 0.03) * RATE)
    response[:, :start] *= np.float32(0.2)
    return np.asarray(response / np.sqrt(np.sum(response**2, axis=1, keepdims=True)), np.float32)


def reverberate(audio: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Convolve the sum of both channels of (2, samples) with a room's response, (2, any): (2, samples)."""
    samples = audio.shape[1]
    size = 1 << max((3 * response.shape[1]).bit_length(), 15)
    step = size - response.shape[1] + 1
    filters = scipy.fft.rfft(response, size)
    wet = np.zeros((2, samples + size), np.float32)
    for first in range(0, samples, step):
        block = audio[0, first : first + step] + audio[1, first : first + step]
        wet[:, first : first + size] += scipy.fft.irfft(scipy.fft.rfft(block, size) * filters, size)
    return wet[:, :samples]
