"""Pitched instruments: two wavetables a note, a bright and a dark one, and how they fade into each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from xumx.synth.sound import RATE, Note, band, decay, hertz, noise, phase, place, ramps, wavetable


@dataclass(frozen=True)
class Patch:
    """The timbre of an instrument.

    Parameters
    ----------
    tilt : float
        Amplitude of harmonic k is k ** -tilt.
    even : float
        Gain of the even harmonics: 0 for hollow sounds.
    pluck : float
        Where the string is plucked, as a part of its length; 0 for no string.
    dark, bright : float
        Cutoff of the two wavetables in Hz.
    tracking : float
        How much the cutoffs follow the note: 1 keeps the timbre, 0 the frequency.
    fade : float
        Seconds in which bright becomes dark; negative: dark becomes bright.
    attack, ring, sustain, release : float
        Seconds in which the note rises, falls to ``sustain`` of its amplitude, and ends.
    detune : float
        Cents between two oscillators; 0 for a single one.
    vibrato, tremolo : float
        Depth in cents and as a part of the amplitude.
    chiff : float
        Noise at the beginning.
    body : array (7,)
        Resonances: gains in dB at 60, 150, 375, 940, 2350, 5900 and 14700 Hz.
    """

    tilt: float = 1.0
    even: float = 1.0
    pluck: float = 0.0
    dark: float = 800.0
    bright: float = 6000.0
    tracking: float = 0.5
    fade: float = 0.3
    attack: float = 0.005
    ring: float = 2.0
    sustain: float = 0.0
    release: float = 0.08
    detune: float = 0.0
    vibrato: float = 0.0
    tremolo: float = 0.0
    chiff: float = 0.0
    body: np.ndarray = field(default_factory=lambda: np.zeros(7))


def random_body(rng: np.random.Generator, spread: float = 4.0) -> np.ndarray:
    """Draw the resonances of a `Patch`: gains in dB, (7,), of this standard deviation."""
    return rng.normal(0, spread, 7)


def play(patch: Patch, notes: Sequence[Note], samples: int, rng: np.random.Generator) -> np.ndarray:
    """Play notes on one instrument: (samples,) float32; what rings on beyond the end is cut.

    Examples
    --------
    >>> audio = play(Patch(), [Note(0.1, 0.2, 60, 0.8)], 22050, np.random.default_rng(0))
    >>> audio.shape, bool(audio[:4410].any()), bool(audio[4410:].any())
    ((22050,), False, True)
    """
    audio = np.zeros(samples, np.float32)
    tables: dict[float, tuple[np.ndarray, np.ndarray]] = {}
    for note in notes:
        if note.pitch not in tables:
            tables[note.pitch] = _tables(patch, hertz(note.pitch))
        place(audio, note.start, _sound(patch, note, *tables[note.pitch], rng))
    return audio


def _tables(patch: Patch, frequency: float) -> tuple[np.ndarray, np.ndarray]:
    """The dark wavetable, and what the bright one has more."""
    k = np.arange(1, max(int(min(18000.0, 200 * frequency) / frequency), 1) + 1)
    hz = k * frequency
    amplitudes = k**-patch.tilt * np.where(k % 2 == 0, patch.even, 1.0)
    if patch.pluck:
        amplitudes = amplitudes * np.abs(np.sin(np.pi * k * patch.pluck))
    gains = np.interp(np.log(hz), np.log(60 * 2.5 ** np.arange(7)), patch.body)
    amplitudes = amplitudes * 10 ** (gains / 20)
    scale = (frequency / 220) ** patch.tracking
    # Phases that are no line in k spread the energy over the period.
    dark, bright = (
        wavetable(amplitudes / np.sqrt(1 + (hz / (cutoff * scale)) ** 4), 0.7 * k**1.3)
        for cutoff in (patch.dark, patch.bright)
    )
    loudness = np.sqrt(np.mean((0.5 * (dark + bright)) ** 2)) + 1e-9
    return dark / loudness, (bright - dark) / loudness


def _sound(
    patch: Patch, note: Note, dark: np.ndarray, more: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    ring_out = 0.0 if patch.sustain else 4 * patch.ring
    length = min(note.length, ring_out) if ring_out else note.length
    n = int((length + patch.release) * RATE)
    frequency = hertz(note.pitch) * 2 ** (rng.normal(0, 1.5) / 1200)
    if patch.vibrato:
        seconds = np.arange(n, dtype=np.float32) / RATE
        depth = np.clip(seconds / 0.4 - 0.4, 0, 1) * np.float32(patch.vibrato / 1200 * np.log(2))
        swing = depth * np.sin(np.float32(2 * np.pi * rng.uniform(4.8, 6.2)) * seconds)
        index = phase(np.float32(frequency) * (1 + swing), start=rng.uniform())
    else:
        index = phase(frequency, n, rng.uniform())
    level = decay(n, patch.ring) if patch.ring < 10 else np.ones(n, np.float32)
    if patch.sustain:
        level = patch.sustain + (1 - patch.sustain) * level
    brightness = decay(n, abs(patch.fade))
    if patch.fade < 0:
        brightness = 1 - brightness
    brightness *= np.float32(0.25 + 0.75 * note.velocity)
    if patch.detune:
        other = phase(frequency * 2 ** (patch.detune / 1200), n, rng.uniform())
        sound = 0.7 * (dark[index] + dark[other] + brightness * (more[index] + more[other]))
    else:
        sound = dark[index] + brightness * more[index]
    sound *= level
    if patch.tremolo:
        seconds = np.arange(n, dtype=np.float32) / RATE
        sound *= 1 - patch.tremolo * (0.5 + 0.5 * np.sin(np.float32(2 * np.pi * 5.5) * seconds))
    if patch.chiff:
        m = min(int(0.06 * RATE), n)
        sound[:m] += np.float32(3 * patch.chiff) * band(noise(m, rng), 800, 7000) * decay(m, 0.01)
    return ramps(sound, patch.attack, patch.release) * np.float32(note.velocity)


def bells(
    notes: Sequence[Note],
    samples: int,
    partials: Sequence[tuple[float, float, float]],
    rng: np.random.Generator,
) -> np.ndarray:
    """Strike metal or wood: (samples,) float32.

    Parameters
    ----------
    notes : sequence of Note
    samples : int
    partials : sequence of (float, float, float)
        Of each: its frequency as a multiple of the note's, its amplitude, and in how many seconds it falls to
        1/e where the note is of 440 Hz.
    rng : numpy.random.Generator
    """
    table = wavetable(np.ones(1))
    audio = np.zeros(samples, np.float32)
    for note in notes:
        frequency = hertz(note.pitch)
        for ratio, amplitude, ring in partials:
            hz, ring = ratio * frequency, ring * (440 / frequency) ** 0.5
            if hz < 16000:
                n = int(min(5 * ring, note.length + 1.0) * RATE)
                sound = table[phase(hz, n, rng.uniform())] * decay(n, ring)
                place(audio, note.start, ramps(sound, 0.001, 0.1), amplitude * note.velocity)
    return audio


def drive(audio: np.ndarray, amount: float) -> np.ndarray:
    """Clip softly, keeping the level of what is loud: an array of the same shape, float32."""
    loud = float(np.sqrt(np.mean(audio[audio != 0] ** 2))) if audio.any() else 1.0
    return np.tanh(audio * np.float32(amount / loud)) * np.float32(loud)
