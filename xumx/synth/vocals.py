"""Singing by formants: a glottal wave and breath through resonances that move from vowel to vowel.

Facts of the voice: formant frequencies after Peterson and Barney ("Control methods used in a study of the
vowels", JASA, 1952); parallel resonators after Klatt ("Software for a cascade/parallel formant synthesizer",
JASA, 1980).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter1d

from xumx.synth.formants import formants
from xumx.synth.score import Score, melody
from xumx.synth.sound import (
    RATE,
    Note,
    Singer,
    band,
    hertz,
    noise,
    pan,
    phase,
    place,
    ramps,
    stretch,
    wander,
    wavetable,
)

# Five formants: Hz of a man, and dB.
_VOWELS = {
    "a": ((730, 1090, 2440, 3400, 4500), (0, -3, -14, -18, -24)),
    "ae": ((660, 1720, 2410, 3450, 4500), (0, -7, -11, -17, -24)),
    "e": ((500, 1840, 2480, 3500, 4500), (0, -10, -12, -17, -24)),
    "i": ((290, 2290, 3010, 3600, 4600), (0, -14, -14, -17, -24)),
    "o": ((520, 880, 2410, 3300, 4500), (0, -6, -22, -25, -30)),
    "u": ((320, 870, 2240, 3300, 4500), (0, -11, -27, -30, -34)),
    "uh": ((640, 1190, 2390, 3400, 4500), (0, -5, -15, -19, -26)),
    "er": ((490, 1350, 1690, 3300, 4500), (0, -8, -10, -20, -26)),
}
_CLOSED = {  # voiced consonants
    "m": ((260, 1100, 2200, 3300, 4500), (-6, -26, -30, -36, -40)),
    "l": ((360, 1100, 2700, 3400, 4500), (-5, -18, -22, -28, -32)),
    "w": ((300, 700, 2200, 3300, 4500), (-5, -14, -32, -36, -40)),
}
_NOISES = {  # unvoiced ones: low and high in Hz, seconds, level
    "s": (4800, 11000, 0.11, 0.5),
    "sh": (2200, 7000, 0.11, 0.5),
    "f": (1500, 12000, 0.08, 0.16),
    "t": (3000, 9000, 0.035, 0.6),
    "k": (1400, 4000, 0.04, 0.6),
    "p": (400, 2500, 0.03, 0.5),
}
_DIPHTHONGS = {"a": ("i", "u"), "e": ("i",), "o": ("u",), "ae": ("uh",), "uh": ("er",)}
_CONTROL = 64
"""Samples between two points of the contours of pitch and loudness."""


@dataclass(frozen=True)
class Voice(Singer):
    """A singer made of formants.

    Parameters
    ----------
    tilt : float
        Amplitude of the glottal harmonic k is k ** -tilt.
    breath, consonants : float
        Levels of noise in and between the vowels.
    colour : array (5,)
        Gains of the formants in dB.
    """

    tilt: float
    breath: float
    consonants: float
    colour: np.ndarray


def render(score: Score, rng: np.random.Generator) -> np.ndarray:
    """Sing a song, (2, samples) float32: a lead, and in some songs a second voice in the choruses."""
    voice = random_voice(rng)
    density = float(rng.uniform(0.6, 1.6))
    phrases: list[list[Note]] = []
    second: list[list[Note]] = []
    interval = int(rng.choice([2, 2, -3, 5]))  # degrees of the scale
    ladder = [pitch for pitch in range(20, 110) if (pitch - score.key) % 12 in score.scale]
    for section in score.sections:
        if "vocals" in section.parts:
            sung = melody(score, section, voice.low, voice.high, rng, density)
            phrases += sung
            if section.kind == "chorus":
                second += [
                    [note._replace(pitch=ladder[ladder.index(int(note.pitch)) + interval]) for note in phrase]
                    for phrase in sung
                ]
    lead = sing(voice, phrases, score.samples, rng)
    audio = pan(lead, float(rng.uniform(-0.15, 0.15)))
    if second and rng.uniform() < 0.4:
        backing = sing(random_voice(rng), second, score.samples, rng)
        audio += pan(backing, float(rng.choice([-1, 1]) * rng.uniform(0.2, 0.7))) * np.float32(
            rng.uniform(0.35, 0.6)
        )
    return audio


def random_voice(rng: np.random.Generator) -> Voice:
    """Draw a man's or a woman's voice."""
    u = rng.uniform
    man = u() < 0.5
    low = int(rng.integers(45, 53) if man else rng.integers(55, 61))
    return Voice(
        low=low,
        high=low + 16,
        size=float(u(0.93, 1.06) if man else u(1.1, 1.24)),
        tilt=float(u(0.7, 1.35)),
        breath=float(u(0.01, 0.1)),
        consonants=float(u(0.6, 1.5)),
        rate=float(u(4.8, 6.6)),
        depth=float(u(15, 65)),
        glide=float(u(0.03, 0.09)),
        scoop=float(u(0, 2.5)),
        colour=rng.normal(0, 2.5, 5),
    )


class _Take(NamedTuple):
    """What a singer does, filled note by note: contours have a point every `_CONTROL` samples."""

    level: np.ndarray
    vibrato: np.ndarray  # in semitones
    scoop: np.ndarray  # in semitones
    breath: np.ndarray
    consonants: np.ndarray  # (samples,): those that are noise
    vowels: list[tuple[float, np.ndarray]]  # keys of `formants`


def sing(
    voice: Voice, phrases: Sequence[Sequence[Note]], samples: int, rng: np.random.Generator
) -> np.ndarray:
    """Sing phrases with one voice: (samples,) float32, silent between them."""
    if not phrases:
        return np.zeros(samples, np.float32)
    level, vibrato, scoop, breath = np.zeros((4, samples // _CONTROL + 2), np.float32)
    take = _Take(level, vibrato, scoop, breath, np.zeros(samples, np.float32), [])
    noises = {name: _noise(name, voice, rng) for name in _NOISES}
    spans: list[tuple[float, float, float]] = []  # start, end and pitch of what is sung
    for phrase in phrases:
        for index, note in enumerate(phrase):
            end = note.start + note.length
            if index + 1 < len(phrase) and phrase[index + 1].start - end < 0.1:
                end = phrase[index + 1].start  # legato
            spans.append((note.start, end, note.pitch))
            _syllable(voice, note, end, take, noises, rng)
            if index == 0:
                _begin(voice, note.start, take, rng)
    pulse = phase(stretch(_frequency(voice, spans, take, rng), _CONTROL, samples))
    source = np.zeros(samples, np.float32)
    tables: dict[float, np.ndarray] = {}
    for start, end, pitch in spans:
        if pitch not in tables:
            tables[pitch] = _glottis(voice, hertz(pitch + 1))
        part = slice(int(start * RATE), min(int((end + 0.1) * RATE), samples))
        source[part] = tables[pitch][pulse[part]]
    aspiration = noise(samples, rng)
    source += aspiration * np.float32(voice.breath)
    level = uniform_filter1d(take.level, int(0.025 * RATE / _CONTROL))
    source *= stretch(level, _CONTROL, samples)
    source += aspiration * stretch(take.breath, _CONTROL, samples)
    return take.consonants + formants(source, take.vowels)


def _frequency(
    voice: Voice, spans: Sequence[tuple[float, float, float]], take: _Take, rng: np.random.Generator
) -> np.ndarray:
    """The fundamental in Hz: notes, glides between them, vibrato and the unrest of every voice."""
    points = len(take.level)
    seconds = np.arange(points) * (_CONTROL / RATE)
    notes = np.searchsorted([start for start, _, _ in spans], seconds, "right") - 1
    held = np.array([pitch for _, _, pitch in spans], np.float32)[np.maximum(notes, 0)]
    width = max(int(voice.glide * RATE / _CONTROL), 1)
    pitch = uniform_filter1d(uniform_filter1d(held + take.scoop, width), width)
    rate = voice.rate * (1 + 0.06 * wander(points, 0.005, rng))
    pitch += take.vibrato * np.sin(2 * np.pi * np.cumsum(rate) * (_CONTROL / RATE))
    pitch += np.float32(0.06) * wander(points, 0.0004, rng)
    return np.asarray(440 * 2 ** ((pitch - 69) / 12))


def _between(contour: np.ndarray, start: float, end: float) -> np.ndarray:
    """The part of a contour between two seconds, to be written to."""
    first, last = (max(int(second * RATE / _CONTROL), 0) for second in (start, end))
    return contour[first:last]


def _syllable(
    voice: Voice, note: Note, end: float, take: _Take, noises: dict[str, np.ndarray], rng: np.random.Generator
) -> None:
    """One note: a vowel, perhaps with a glide to another, and how it begins."""
    vowel = str(rng.choice(list(_VOWELS)))
    later = str(rng.choice(_DIPHTHONGS[vowel])) if vowel in _DIPHTHONGS and rng.uniform() < 0.4 else vowel
    start = note.start
    sung = _between(take.level, start, end)
    sung[:] = (0.5 + 0.5 * note.velocity) * (1 - 0.3 * np.linspace(0, 1, len(sung)) ** 2)
    onset = str(rng.choice(["none", "noise", "closed", "h"], p=[0.22, 0.42, 0.26, 0.1]))
    if onset == "noise":
        sound = noises[str(rng.choice(list(noises)))]
        gap = min(len(sound) / RATE, 0.5 * note.length)
        _between(take.level, start - gap, start)[:] = 0
        gain = voice.consonants * float(rng.uniform(0.6, 1.2))
        place(take.consonants, start - gap, sound[: int(gap * RATE) + 400], gain)
    elif onset == "closed":
        row = _row(_CLOSED[str(rng.choice(list(_CLOSED)))], voice)
        take.vowels.extend([(start - 0.03, row), (start + 0.035, row)])
    elif onset == "h":
        _between(take.breath, start - 0.06, start + 0.02)[:] += 0.12
        _between(take.level, start - 0.06, start)[:] *= 0.2
    row = _row(_VOWELS[vowel], voice)
    take.vowels.extend([(start + 0.07, row), (start + 0.6 * (end - start), row)])
    take.vowels.append((max(end - 0.05, start + 0.08), _row(_VOWELS[later], voice)))
    if end - start > 0.28:
        swing = _between(take.vibrato, start, end)
        seconds = np.arange(len(swing)) * (_CONTROL / RATE)
        swing[:] = voice.depth / 100 * np.clip((seconds - 0.18) / 0.25, 0, 1)


def _begin(voice: Voice, start: float, take: _Take, rng: np.random.Generator) -> None:
    """The first note of a phrase is reached from below, after a breath."""
    scoop = _between(take.scoop, start - 0.05, start + 0.25)
    scoop[:] = -voice.scoop * np.exp(-np.arange(len(scoop)) * (_CONTROL / RATE) / 0.06)
    inhale = _between(take.breath, start - float(rng.uniform(0.2, 0.4)) - 0.08, start - 0.08)
    inhale += np.float32(0.07 * voice.consonants) * np.hanning(len(inhale))


def _row(vowel: tuple[Sequence[float], Sequence[float]], voice: Voice) -> np.ndarray:
    """Five frequencies in Hz and five gains in dB, as the voice has them."""
    frequencies, gains = vowel
    return np.concatenate([np.asarray(frequencies) * voice.size, np.asarray(gains) + voice.colour])


def _noise(name: str, voice: Voice, rng: np.random.Generator) -> np.ndarray:
    low, high, length, level = _NOISES[name]
    n = int(length * float(rng.uniform(0.8, 1.2)) * RATE)
    sound = band(noise(n, rng), low * voice.size, high * voice.size)
    attack = 0.3 * length if length > 0.06 else 0.002
    return ramps(sound / np.sqrt(np.mean(sound**2)), attack, 0.5 * length) * np.float32(0.3 * level)


def _glottis(voice: Voice, frequency: float) -> np.ndarray:
    k = np.arange(1, int(15000 / frequency) + 1)
    # Folds close smoothly, and lose more at high frequencies. The phases leave it one pulse a period.
    table = wavetable(k**-voice.tilt / np.sqrt(1 + (k * frequency / 2500) ** 2), 0.3 * k)
    return table / np.float32(np.sqrt(np.mean(table**2)))
