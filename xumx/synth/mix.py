"""From played sources to a song: levels, rooms, automation and a master bus that is one gain for all."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.ndimage import minimum_filter1d, uniform_filter1d

from xumx.synth.score import PARTS, Score
from xumx.synth.sound import RATE, ramps, reverberate, room, stretch, wander

LEVELS = {"drums": (-1.0, 1.5), "bass": (-2.0, 1.5), "other": (-0.5, 1.5), "vocals": (0.0, 1.2)}
"""Mean and standard deviation over songs, in dB, of the power of a source where it plays."""

_ROOMS = {"drums": (0.3, 1.0, 0.25), "other": (0.8, 2.6, 0.4), "vocals": (0.6, 2.2, 0.4)}
"""Shortest and longest reverberation in seconds, and the most of it in the sound."""

_BLOCK = 441


def mix(
    parts: Mapping[str, np.ndarray],
    score: Score,
    rng: np.random.Generator,
    push: float = 0.03,
    levels: Mapping[str, tuple[float, float]] = LEVELS,
) -> dict[str, np.ndarray]:
    """Give the played sources their levels, rooms and gain over time, so that they sum to the mixture.

    Parameters
    ----------
    parts : mapping of str to float32 array (2, samples)
        By name of `PARTS`.
    score : Score
    rng : numpy.random.Generator
    push : float
        How much of the time the limiter works: the more, the louder the song.
    levels : mapping of str to (float, float)
        Mean and standard deviation over songs, in dB, of the power of a source where it plays.

    Returns
    -------
    dict of str to float32 array (2, samples)
        In the order of `PARTS`; neither a source nor their sum is beyond full scale.
    """
    stems = {}
    for part in PARTS:
        stem = parts[part]
        drawn = rng.normal()
        if part in _ROOMS:
            shortest, longest, most = _ROOMS[part]
            wet = reverberate(stem, room(float(rng.uniform(shortest, longest)), rng))
            stem = stem + wet * np.float32(most * rng.uniform(0.2, 1.0) * 0.5)
        mean, deviation = levels[part]
        level = 10 ** ((mean + deviation * drawn) / 20) / _loudness(stem)
        stems[part] = stem * (np.float32(level) * _automation(score, rng))
    gain = _master(stems, float(rng.uniform(0.6, 0.93)), push)
    if score.samples > 15 * RATE:
        ramps(gain, 0.0, float(rng.choice([0.3, 1.0, 3.0])))
    return {part: stem * gain for part, stem in stems.items()}


def _loudness(stem: np.ndarray) -> float:
    """Root of the mean power of the blocks that are not silent."""
    n = stem.shape[1] // _BLOCK * _BLOCK
    power = np.mean(stem[:, :n].reshape(2, -1, _BLOCK) ** 2, axis=(0, 2))
    playing = power[power > 1e-3 * power.max()]
    return float(np.sqrt(playing.mean())) if len(playing) else 1.0


def _automation(score: Score, rng: np.random.Generator) -> np.ndarray:
    """Gain over time: sections of more energy are louder, and hands on faders never rest."""
    energies = np.repeat([s.energy for s in score.sections], [s.bars for s in score.sections])
    bars = np.array([score.time(bar, 0) for bar in range(len(energies))])
    seconds = np.arange(0, score.samples + _BLOCK, _BLOCK) / RATE
    loud = 5 * (energies[np.clip(np.searchsorted(bars, seconds, "right") - 1, 0, None)] - 1)
    loud = uniform_filter1d(loud, 31) + 0.8 * wander(len(seconds), 4.0 / _BLOCK, rng)
    return stretch(10 ** (loud / 20), _BLOCK, score.samples)


def _master(stems: Mapping[str, np.ndarray], ceiling: float, push: float) -> np.ndarray:
    """Gain over time, one for all stems, so that they sum to the mixture: a slow compressor and a limiter."""
    mixture = sum(stems.values(), start=np.zeros((), np.float32))
    samples = mixture.shape[1]
    power = _blocks(np.mean(mixture**2, axis=0)).mean(axis=1)
    power = uniform_filter1d(power, 21) + 1e-9
    gain = (power / np.median(power)) ** (-0.15)
    peaks = np.max(
        [_blocks(np.abs(audio).max(axis=0)).max(axis=1) for audio in (mixture, *stems.values())], axis=0
    )
    gain = np.minimum(gain, 4.0)
    gain *= ceiling / np.quantile(peaks * gain, 1 - push)
    gain = np.minimum(gain, ceiling / np.maximum(peaks, 1e-9))
    # The minimum reaches further than the mean, which therefore stays below what peaks allow.
    gain = uniform_filter1d(minimum_filter1d(gain, 9), 5)
    return stretch(gain, _BLOCK, samples)


def _blocks(audio: np.ndarray) -> np.ndarray:
    return np.pad(audio, (0, -len(audio) % _BLOCK)).reshape(-1, _BLOCK)
