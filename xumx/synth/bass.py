"""Bass lines, from a sine to a slapped string whose harmonics reach into the mids."""

from __future__ import annotations

import numpy as np

from xumx.synth.effects import sweep
from xumx.synth.patch import Patch, drive, play, random_body
from xumx.synth.score import Score
from xumx.synth.sound import RATE, Note, band, chorus, pan

_LINES = {  # steps at which notes begin, and what they play of the chord: 0 root, 1 third, 2 fifth, 8 octave
    "roots": ((0, 0),),
    "halves": ((0, 0), (8, 2)),
    "eighths": tuple((step, 0) for step in range(0, 16, 2)),
    "pump": ((0, 0), (3, 0), (6, 0), (8, 0), (11, 0), (14, 2)),
    "octaves": tuple((step, 8 * (step % 4 // 2)) for step in range(0, 16, 2)),
    "walking": ((0, 0), (4, 1), (8, 2), (12, 1)),
    "funk": ((0, 0), (3, 8), (4, 0), (7, 0), (10, 8), (12, 2), (14, 0)),
    "dub": ((0, 0), (2, 0), (6, 2), (7, 0), (11, 0)),
    "sixteenths": tuple((step, 8 if step in (6, 14) else 0) for step in range(16)),
}


def render(score: Score, rng: np.random.Generator) -> np.ndarray:
    """Play the bass of a song: (2, samples) float32."""
    names = list(_LINES)
    low = int(rng.integers(26, 34))  # D1 to A#1: its lowest note
    short = float(rng.uniform(0.45, 0.98))
    line = {section.kind: str(rng.choice(names)) for section in score.sections}
    notes: list[Note] = []
    for section in score.sections:
        if "bass" not in section.parts:
            continue
        for bar, degree in enumerate(section.chords, section.first):
            notes += _bar(score, bar, degree, low, _LINES[line[section.kind]], short, section.energy, rng)
    kind, patch = _patch(rng)
    audio = play(patch, notes, score.samples, rng)
    if kind in ("slap", "picked", "growl"):
        # The upper harmonics of loud strings and of overdriven amplifiers.
        audio = drive(audio, float(rng.uniform(0.4, 1.6)))
    if kind == "sweep":
        audio = sweep(audio, corners(score, rng), float(rng.uniform(0.8, 5)))
    audio = band(audio, 28, None)
    if kind in ("saw", "growl", "sweep") and rng.uniform() < 0.4:
        wide = chorus(audio, rng)
        middle = band(audio, None, 150, 1)
        return band(wide, 150, None, 1) + middle
    return pan(audio, float(rng.uniform(-0.1, 0.1)))


def corners(score: Score, rng: np.random.Generator) -> np.ndarray:
    """How the corner of a synthesizer's filter moves: with the beat, or slowly over some bars. In Hz."""
    low = float(rng.uniform(120, 400))
    high = low * float(rng.uniform(4, 25))
    bar = score.time(1, 0) - score.time(0, 0)
    if rng.uniform() < 0.5:
        period = bar * float(rng.choice([1 / 8, 1 / 4, 1 / 3, 1 / 2, 1]))
    else:
        period = bar * float(rng.choice([2, 4, 8]))
    phase = np.arange(0, score.samples, 256) / RATE / period % 1
    falling, rising, both = 1 - phase, phase, 0.5 - 0.5 * np.cos(2 * np.pi * phase)
    shape = (falling, rising, both)[int(rng.integers(3))]
    return low * (high / low) ** shape


def _bar(
    score: Score,
    bar: int,
    degree: int,
    low: int,
    line: tuple[tuple[int, int], ...],
    short: float,
    energy: float,
    rng: np.random.Generator,
) -> list[Note]:
    steps = [(step, tone) for step, tone in line if step < score.steps]
    ends = [step for step, _ in steps[1:]] + [score.steps]
    root = low + (score.pitch(degree) - low) % 12
    third, fifth = (
        score.pitch(degree + 2) - score.pitch(degree),
        score.pitch(degree + 4) - score.pitch(degree),
    )
    above = {0: 0, 1: third, 2: fifth, 8: 12}
    notes = []
    for (step, tone), end in zip(steps, ends):
        if step and rng.uniform() < 0.06:
            continue
        if step and tone == 0 and rng.uniform() < 0.08:
            tone = int(rng.choice([2, 8]))
        length = (end - step) * score.step * (1.0 if end - step >= 8 else short)
        velocity = float(rng.uniform(0.7, 0.95)) * (0.7 + 0.3 * energy) * (1.0 if step % 4 == 0 else 0.88)
        start = score.time(bar, step) + float(rng.normal(0, 0.003))
        notes.append(Note(start, max(length, 0.06), root + above[tone], velocity))
    return notes


def _patch(rng: np.random.Generator) -> tuple[str, Patch]:
    """A name and a timbre."""
    u = rng.uniform
    kind = str(rng.choice(["sub", "saw", "finger", "slap", "picked", "growl", "square", "sweep"]))
    body = random_body(rng, 2.5)
    patches = {
        "sub": Patch(tilt=u(1.6, 2.4), dark=u(120, 200), bright=u(300, 700), fade=0.1, ring=20.0,
                     sustain=1.0, attack=0.008, release=0.06, body=body),
        "saw": Patch(tilt=1.0, dark=u(150, 350), bright=u(800, 3500), fade=u(0.06, 0.4), ring=1.5,
                     sustain=0.6, attack=0.004, release=0.05, detune=u(0, 14), tracking=0.3, body=body),
        "finger": Patch(tilt=1.0, pluck=u(0.12, 0.3), dark=u(220, 400), bright=u(900, 2200), fade=u(0.1, 0.3),
                        ring=u(0.8, 1.8), attack=0.006, release=0.06, chiff=u(0, 0.2), body=body),
        "slap": Patch(tilt=0.8, pluck=u(0.06, 0.14), dark=u(300, 600), bright=u(4000, 8000),
                      fade=u(0.06, 0.2), ring=u(0.6, 1.2), attack=0.001, release=0.04, chiff=u(0.3, 0.8),
                      body=body),
        "picked": Patch(tilt=0.9, pluck=u(0.08, 0.2), dark=u(350, 700), bright=u(2500, 5000),
                        fade=u(0.15, 0.4), ring=u(1.0, 2.0), attack=0.002, release=0.05, chiff=u(0.1, 0.4),
                        body=body),
        "growl": Patch(tilt=0.8, dark=u(250, 500), bright=u(1200, 3000), fade=-u(0.05, 0.3), ring=20.0,
                       sustain=1.0, attack=0.006, release=0.05, detune=u(0, 10), tracking=0.3, body=body),
        "sweep": Patch(tilt=u(0.7, 1.0), even=u(0.3, 1.0), dark=4000, bright=9000, fade=0.1, ring=20.0,
                       sustain=1.0, attack=0.004, release=0.05, detune=u(0, 16), body=body),
        "square": Patch(tilt=1.0, even=u(0.0, 0.25), dark=u(200, 500), bright=u(800, 3000), fade=u(0.1, 0.5),
                        ring=u(1.0, 3.0), sustain=0.4, attack=0.003, release=0.04, body=body),
    }  # fmt: skip
    return kind, patches[kind]
