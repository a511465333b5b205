"""What a studio does to a sound: filters of any shape, compressors, amplifiers, echoes and doubles.

All take and give (2, samples) or (samples,) of float32; none changes its input.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.fft
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from scipy.signal import istft, oaconvolve, resample_poly, stft

from xumx.synth.sound import RATE, stretch, wander

_TAPS = 2048
_BLOCK = 64


def equalize(audio: np.ndarray, points: Sequence[tuple[float, float]]) -> np.ndarray:
    """Filter by gains in dB at some frequencies in Hz, lines between them over the logarithm of frequency.

    The filter is of minimum phase, as those of loudspeakers and mixers are.

    Examples
    --------
    >>> tone = np.sin(2 * np.pi * 100 / RATE * np.arange(RATE)).astype(np.float32)
    >>> quiet = equalize(tone, [(500, -20), (2000, 0)])
    >>> round(float(np.abs(quiet[RATE // 2 :]).max()), 2)
    0.1
    """
    hz, gains = np.array(sorted(points)).T
    bins = np.maximum(np.arange(_TAPS + 1) * (RATE / 2 / _TAPS), 1.0)
    response = np.interp(np.log(bins), np.log(hz), gains) * (np.log(10) / 20)
    cepstrum = scipy.fft.irfft(response)
    cepstrum[1:_TAPS] *= 2
    cepstrum[_TAPS + 1 :] = 0
    taps = scipy.fft.irfft(np.exp(scipy.fft.rfft(cepstrum)))[:_TAPS].astype(np.float32)
    taps *= np.linspace(1, 0, _TAPS, dtype=np.float32)
    wet = oaconvolve(audio, taps[None] if audio.ndim == 2 else taps, axes=-1)
    return np.asarray(wet[..., : audio.shape[-1]], np.float32)


def sweep(audio: np.ndarray, corners: np.ndarray, resonance: float) -> np.ndarray:
    """Filter by a low-pass of two poles whose corner moves, as synthesizers do.

    Parameters
    ----------
    audio : float32 array (samples,)
    corners : array
        In Hz, at times that are spread evenly over the audio.
    resonance : float
        Gain at the corner; 0.7 has none.

    Examples
    --------
    >>> tone = np.sin(2 * np.pi * 2000 / RATE * np.arange(RATE)).astype(np.float32)
    >>> swept = sweep(tone, np.geomspace(200, 8000, 50), 2.0)
    >>> early, late = (float(np.abs(part).max()) for part in (swept[5000:8000], swept[-8000:-5000]))
    >>> early < 0.05, late > 0.9
    (True, True)
    """
    hz, times, spectrum = stft(audio, RATE, nperseg=1024, noverlap=768)
    places = np.linspace(0, len(audio) / RATE, len(corners))
    ratio = (hz[:, None] / np.interp(times, places, corners)) ** 2
    spectrum /= np.sqrt((1 - ratio) ** 2 + ratio / resonance**2)
    return np.asarray(istft(spectrum, RATE, nperseg=1024, noverlap=768)[1][: len(audio)], np.float32)


def color(audio: np.ndarray, rng: np.random.Generator, spread: float = 3.0) -> np.ndarray:
    """Filter as no microphone, room and engineer are the same: random gains of this deviation in dB."""
    hz = 40 * 2.2 ** np.arange(8)
    return equalize(audio, list(zip(hz, rng.normal(0, spread, 8))))


def compress(
    audio: np.ndarray, ratio: float, threshold: float = -12.0, attack: float = 0.005, release: float = 0.12
) -> np.ndarray:
    """Make loud parts quieter: above ``threshold``, in dB from the loudest, a growth by ratio becomes 1."""
    if not audio.any():
        return audio.copy()
    samples = audio.shape[-1]
    mono = np.abs(audio).max(axis=0) if audio.ndim == 2 else np.abs(audio)
    blocks = np.pad(mono, (0, -samples % _BLOCK)).reshape(-1, _BLOCK).max(axis=1)
    width = max(int(release * RATE / _BLOCK), 3)
    # Held for the release after a peak, not before it.
    level = maximum_filter1d(blocks, width, origin=(width - 1) // 2)
    level = uniform_filter1d(level, max(width // 3, 1)) + 1e-9
    limit = level.max() * 10 ** (threshold / 20)
    gain = np.maximum(level / limit, 1.0) ** (1 / ratio - 1)
    late = int(attack * RATE / _BLOCK)
    gain = np.concatenate([np.full(late, gain[0]), gain])[: len(gain)]
    return audio * stretch(gain, _BLOCK, samples)


def saturate(audio: np.ndarray, amount: float) -> np.ndarray:
    """Clip softly, the more the larger the amount, keeping the mean power of what sounds."""
    sounding = audio[np.abs(audio) > 1e-4]
    if not sounding.size:
        return audio.copy()
    loud = np.float32(np.sqrt(np.mean(sounding**2)))
    wet = np.tanh(audio * np.float32(amount) / loud)
    after = np.float32(np.sqrt(np.mean(wet[np.abs(audio) > 1e-4] ** 2)))
    return np.asarray(wet * (loud / after), np.float32)


def amplify(audio: np.ndarray, drive: float, rng: np.random.Generator) -> np.ndarray:
    """Play a guitar, (samples,), through an overdriven amplifier and a loudspeaker of random make."""
    tight = float(rng.uniform(60, 180))
    dry = equalize(
        audio, [(tight / 2, -18), (tight, -3), (700, 0), (1500, float(rng.uniform(0, 8))), (9000, 0)]
    )
    loud = np.sqrt(np.mean(dry[np.abs(dry) > 1e-4] ** 2)) if np.any(np.abs(dry) > 1e-4) else 1.0
    up = resample_poly(dry / np.float32(loud), 2, 1)  # fewer of the clipper's harmonics come back as others
    bias = float(rng.uniform(0, 0.3))
    wet = np.tanh(np.float32(drive) * up + np.float32(bias)) - np.float32(np.tanh(bias))
    if drive > 8:
        wet = np.tanh(np.float32(2.0) * wet)
    return cabinet(resample_poly(wet, 1, 2)[: len(audio)].astype(np.float32), rng)


def cabinet(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Play through a guitarist's loudspeaker: nothing below 70 Hz and above 6 kHz, and bumps between."""
    u = rng.uniform
    top = u(4200, 6500)
    bumps = [(hz, float(rng.normal(0, 3))) for hz in (220, 330, 480, 700, 1000, 1400, 2000)]
    points = [(45, -24), (u(75, 110), u(0, 5)), *bumps, (u(2400, 3600), u(2, 8)), (top, 0), (1.35 * top, -18),
              (2 * top, -36), (20000, -60)]  # fmt: skip
    return equalize(audio, points)


def echo(audio: np.ndarray, seconds: float, feedback: float, dark: float = 3500.0) -> np.ndarray:
    """Repeat (2, samples) after so many seconds, again and again and from side to side: only the repeats."""
    step = max(int(seconds * RATE), 1)
    wet = np.zeros_like(audio)
    again = equalize(audio, [(150, -12), (300, 0), (dark, 0), (4 * dark, -24)])
    gain = 1.0
    for number in range(1, 8):
        gain *= feedback
        late = number * step
        if gain < 0.03 or late >= audio.shape[1]:
            break
        wet[:, late:] += np.float32(gain) * (again if number % 2 else again[::-1])[:, :-late]
    return wet


def double(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Perform (samples,) once more: late by 10 to 35 ms and out of tune, both wandering."""
    samples = len(audio)
    delay = rng.uniform(0.01, 0.035) + 0.004 * wander(samples // _BLOCK + 2, 0.6 / _BLOCK, rng)
    at = np.arange(samples, dtype=np.float64) - RATE * stretch(np.maximum(delay, 0.002), _BLOCK, samples)
    return np.interp(at, np.arange(samples), audio, left=0.0).astype(np.float32)
