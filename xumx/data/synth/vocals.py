"""Singing by formants: a glottal wave and breath through resonances that move from vowel to vowel.

Facts of the voice: formant frequencies after Peterson and Barney ("Control methods used in a study of the
vowels", JASA, 1952); parallel resonators after Klatt ("Software for a cascade/parallel formant synthesizer",
JASA, 1980).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d

from xumx.data.synth.formants import formants
from xumx.data.synth.score import Score, melody
from xumx.data.synth.sound import (
    RATE,
    Note,
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
class Voice:
    """A singer.

    Parameters
    ----------
    low, high : int
        Range as MIDI pitches.
    size : float
        Of the formants' frequencies, to those of a man.
    tilt : float
        Amplitude of the glottal harmonic k is k ** -tilt.
    breath, consonants : float
        Levels of noise in and between the vowels.
    rate, depth : float
        Vibrato in Hz and cents.
    glide : float
        Seconds from note to note.
    scoop : float
        Semitones from below at the beginning of phrases.
    colour : array (5,)
        Gains of the formants in dB.
    """

    low: int
    high: int
    size: float
    tilt: float
    breath: float
    consonants: float
    rate: float
    depth: float
    glide: float
    scoop: float
    colour: np.ndarray


def render(score: Score, rng: np.random.Generator) -> np.ndarray:
    """The singing of a song, (2, samples): a lead, and in some songs a second voice in the choruses."""
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
    """A man's or a woman's voice."""
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


def sing(
    voice: Voice, phrases: Sequence[Sequence[Note]], samples: int, rng: np.random.Generator
) -> np.ndarray:
    """Phrases by one voice, (samples,)."""
    audio = np.zeros(samples, np.float32)
    if not phrases:
        return audio
    points = samples // _CONTROL + 2
    seconds = np.arange(points, dtype=np.float32) * (_CONTROL / RATE)
    level, vibrato, breath = (np.zeros(points, np.float32) for _ in range(3))
    scoop = np.zeros(points, np.float32)
    keys: list[tuple[float, np.ndarray]] = []
    noises = {name: _noise(name, voice, rng) for name in _NOISES}
    spans: list[tuple[float, float, float]] = []
    for phrase in phrases:
        for index, note in enumerate(phrase):
            end = note.start + note.length
            if index + 1 < len(phrase) and phrase[index + 1].start - end < 0.1:
                end = phrase[index + 1].start
            spans.append((note.start, end, note.pitch))
            _syllable(voice, note, end, index == 0, (level, vibrato, scoop, breath), keys, audio, noises, rng)
    # The consonants are in `audio`; now what has a pitch, or passes through the formants.
    starts = np.array([start for start, _, _ in spans])
    pitches = np.array([pitch for _, _, pitch in spans], np.float32)
    held = pitches[np.clip(np.searchsorted(starts, seconds, "right") - 1, 0, None)]
    width = max(int(voice.glide * RATE / _CONTROL), 1)
    contour = uniform_filter1d(uniform_filter1d(held + scoop, width), width)
    contour += vibrato * np.sin(
        2 * np.pi * np.cumsum(voice.rate * (1 + 0.06 * wander(points, 0.005, rng))) * (_CONTROL / RATE)
    )
    contour += np.float32(0.06) * wander(points, 0.0004, rng)
    level = uniform_filter1d(level, max(int(0.025 * RATE / _CONTROL), 1))
    pulse = phase(stretch(440 * 2 ** ((contour - 69) / 12), _CONTROL, samples))
    source = np.zeros(samples, np.float32)
    tables: dict[float, np.ndarray] = {}
    for start, end, pitch in spans:
        if pitch not in tables:
            tables[pitch] = _glottis(voice, hertz(pitch + 1))
        part = slice(int(start * RATE), min(int((end + 0.1) * RATE), samples))
        source[part] = tables[pitch][pulse[part]]
    aspiration = noise(samples, rng)
    source += aspiration * np.float32(voice.breath)
    source *= stretch(level, _CONTROL, samples)
    source += aspiration * stretch(breath, _CONTROL, samples)
    audio += formants(source, keys)
    return audio


def _syllable(
    voice: Voice,
    note: Note,
    end: float,
    first: bool,
    contours: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    keys: list[tuple[float, np.ndarray]],
    audio: np.ndarray,
    noises: dict[str, np.ndarray],
    rng: np.random.Generator,
) -> None:
    """Write one note into the contours, its vowel into the keys and its consonant into the audio."""
    level, vibrato, scoop, breath = contours

    def at(second: float) -> int:
        return max(int(second * RATE / _CONTROL), 0)

    vowel = str(rng.choice(list(_VOWELS)))
    later = str(rng.choice(_DIPHTHONGS[vowel])) if vowel in _DIPHTHONGS and rng.uniform() < 0.4 else vowel
    start = note.start
    loud = np.float32(0.5 + 0.5 * note.velocity)
    # A swell, and less breath towards the end.
    n = at(end) - at(start)
    level[at(start) : at(end)] = (loud * (1 - 0.3 * np.linspace(0, 1, max(n, 0)) ** 2))[
        : len(level[at(start) : at(end)])
    ]
    onset = str(rng.choice(["none", "noise", "closed", "h"], p=[0.22, 0.42, 0.26, 0.1]))
    if onset == "noise":
        name = str(rng.choice(list(noises)))
        gap = min(len(noises[name]) / RATE, 0.5 * note.length)
        level[at(start - gap) : at(start)] = 0
        place(
            audio,
            start - gap,
            noises[name][: int(gap * RATE) + 400],
            voice.consonants * float(rng.uniform(0.6, 1.2)),
        )
    elif onset == "closed":
        row = _row(_CLOSED[str(rng.choice(list(_CLOSED)))], voice)
        keys += [(start - 0.03, row), (start + 0.035, row)]
    elif onset == "h":
        breath[at(start - 0.06) : at(start + 0.02)] += 0.12
        level[at(start - 0.06) : at(start)] *= 0.2
    keys += [
        (start + 0.07, _row(_VOWELS[vowel], voice)),
        (start + 0.6 * (end - start), _row(_VOWELS[vowel], voice)),
    ]
    keys.append((max(end - 0.05, start + 0.08), _row(_VOWELS[later], voice)))
    if end - start > 0.28:
        t = np.arange(at(start), min(at(end), len(vibrato)), dtype=np.float32) * (_CONTROL / RATE) - start
        vibrato[at(start) : at(end)] = voice.depth / 100 * np.clip((t - 0.18) / 0.25, 0, 1)
    if first:
        part = scoop[at(start - 0.05) : at(start + 0.25)]
        part[:] = -voice.scoop * np.exp(-np.arange(len(part)) * _CONTROL / RATE / 0.06)
        length = float(rng.uniform(0.2, 0.4))
        inhale = breath[at(start - length - 0.08) : at(start - 0.08)]
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
    # Above 2 kHz folds that close smoothly lose more.
    table = wavetable(k**-voice.tilt / np.sqrt(1 + (k * frequency / 2500) ** 2), 0.3 * k)
    return table / np.float32(np.sqrt(np.mean(table**2)))
