"""What a band plays on its basses, keyboards, guitars and winds: notes for each role, without a timbre."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xumx.synth.genres import BASS_LINES, Genre
from xumx.synth.score import Score, Section, melody
from xumx.synth.sound import Note

_COMPING = ((0, 6, 12), (0, 3, 6, 10, 14), (2, 6, 10, 14), (0, 4, 8, 12), (0, 8), (4, 12), (0, 3, 8, 11),
            (0, 7), (0, 2, 4, 6, 8, 10, 12, 14), (0, 6, 8, 14), (0, 10), (0,))  # fmt: skip
_STRUMS = ("d...d.u...u.d.u.", "d...d...d.u.d.u.", "d.d.d.d.d.d.d.d.", "d..ud..ud..ud..u", "d.dud.dud.dud.du",
           "d.......d...d.u.", "d...d.udu.udd.ud")  # fmt: skip
_RIFFS = ("X.xxX.xxX.xxX.xx", "X.......X.......", "X..X..X...X.X...", "X.x.X.x.X.x.X.x.", "X.....X.X.....X.",
          "X...............", "X.xxx.xxx.xxx.xx", "X..x..X..x..X.x.", "X.X...X.X..X....")  # fmt: skip


def bass(score: Score, genre: Genre, rng: np.random.Generator) -> list[Note]:
    """Write the bass of a song: a line for each kind of section."""
    names = genre.lines if score.beats == 4 else ("roots", "eighths", "ballad")
    lines = {kind: str(rng.choice(names)) for kind in dict.fromkeys(s.kind for s in score.sections)}
    low, held = int(rng.integers(26, 33)), float(rng.uniform(0.6, 1.0))
    return [
        note
        for section in score.sections
        if "bass" in section.parts
        for bar, degree in enumerate(section.chords, section.first)
        for note in _bass_bar(score, section, bar, degree, low, held, lines[section.kind], rng)
    ]


def _bass_bar(
    score: Score,
    section: Section,
    bar: int,
    degree: int,
    low: int,
    held: float,
    line: str,
    rng: np.random.Generator,
) -> list[Note]:
    root = low + (score.pitch(degree) - low) % 12
    above = {
        tone: score.pitch(degree + step) - score.pitch(degree) for tone, step in ((1, 2), (2, 4), (7, 6))
    }
    above |= {0: 0, 8: 12}
    notes = []
    for step, tone, steps in BASS_LINES[line]:
        if step >= score.steps or (step and rng.uniform() < 0.04):
            continue
        if step and tone == 0 and rng.uniform() < 0.06:
            tone = int(rng.choice([2, 7, 8]))
        velocity = (
            float(rng.uniform(0.7, 0.95)) * (0.75 + 0.25 * section.energy) * (1 if step % 4 == 0 else 0.9)
        )
        length = min(steps, score.steps - step) * score.step * (held if steps < 8 else 1.0)
        start = max(score.time(bar, step) + float(rng.normal(0, 0.004)), 0.0)
        notes.append(Note(start, max(length, 0.07), root + above[tone], velocity))
    if notes and rng.uniform() < 0.12:  # leads to the next chord
        lead = root + int(rng.choice([-2, -1, 2, 5, 7]))
        notes.append(Note(score.time(bar, score.steps - 2), 1.8 * score.step, lead, 0.75))
    return notes


def write(role: str, number: int, score: Score, rng: np.random.Generator) -> list[Note]:
    """Write what the instrument of some number plays in a song; number 0 rests least.

    Parameters
    ----------
    role : str
        Of `Genre.roles`.
    number : int
    score : Score
    rng : numpy.random.Generator

    Returns
    -------
    list of Note
    """
    return _WRITERS[role](score, _present(score, number, rng), rng)


def _present(score: Score, number: int, rng: np.random.Generator) -> list[Section]:
    """The sections in which an instrument plays; the first plays in all that the source has."""
    kinds = {kind: rng.uniform() < 0.75 for kind in dict.fromkeys(s.kind for s in score.sections)}
    sections = [section for section in score.sections if "other" in section.parts]
    return [section for section in sections if number == 0 or kinds[section.kind]] or sections[:1]


def _bed(score: Score, sections: list[Section], rng: np.random.Generator) -> list[Note]:
    """Long chords."""
    low, size = int(rng.integers(43, 62)), int(rng.integers(3, 6))
    notes = []
    for section in sections:
        for bar, degree in enumerate(section.chords, section.first):
            begin, end = score.time(bar, 0), score.time(bar + 1, 0)
            for pitch in score.chord(degree, low, low + 26)[:size]:
                notes.append(Note(begin, end - begin, pitch, float(rng.uniform(0.55, 0.9)) * section.energy))
    return notes


def _chords(score: Score, sections: list[Section], rng: np.random.Generator, held: float) -> list[Note]:
    low, size = int(rng.integers(48, 66)), int(rng.integers(3, 6))
    roll = float(rng.choice([0.0, 0.0, 0.006, 0.014]))
    patterns = {s.kind: _COMPING[int(rng.integers(len(_COMPING)))] for s in sections}
    left = rng.uniform() < 0.4  # the other hand plays the root
    notes = []
    for section in sections:
        steps = [step for step in patterns[section.kind] if step < score.steps]
        for bar, degree in enumerate(section.chords, section.first):
            pitches = score.chord(degree, low, low + 20)[:size]
            if left:
                root = 36 + score.pitch(degree) % 12
                notes.append(Note(score.time(bar, 0), score.steps * score.step * 0.9, root, 0.7))
            for step, end in zip(steps, [*steps[1:], score.steps]):
                velocity = float(rng.uniform(0.5, 0.92)) * (1.0 if step % 4 == 0 else 0.85)
                start = score.time(bar, step) + float(abs(rng.normal(0, 0.005)))
                for index, pitch in enumerate(pitches):
                    late, soft = index * roll, float(rng.uniform(0.9, 1.0))
                    notes.append(Note(start + late, (end - step) * score.step * held, pitch, velocity * soft))
    return notes


def _comping(score: Score, sections: list[Section], rng: np.random.Generator) -> list[Note]:
    """Chords in rhythm."""
    return _chords(score, sections, rng, float(rng.uniform(0.4, 1.1)))


def _stab(score: Score, sections: list[Section], rng: np.random.Generator) -> list[Note]:
    """Short chords."""
    return _chords(score, sections, rng, float(rng.uniform(0.15, 0.4)))


def _skank(score: Score, sections: list[Section], rng: np.random.Generator) -> list[Note]:
    """Short chords where the beat is not, or in sixteenths."""
    low, dense = int(rng.integers(54, 64)), rng.uniform() < 0.4
    notes = []
    for section in sections:
        for bar, degree in enumerate(section.chords, section.first):
            pitches = score.chord(degree, low, low + 16)[:4]
            for step in range(score.steps):
                if (step % 4 == 2) if not dense else rng.uniform() < 0.55:
                    start = score.time(bar, step) + float(abs(rng.normal(0, 0.004)))
                    length = score.step * float(rng.uniform(0.3, 0.9))
                    notes += [
                        Note(start + 0.003 * i, length, p, float(rng.uniform(0.5, 0.95)))
                        for i, p in enumerate(pitches)
                    ]
    return notes


def _strum(score: Score, sections: list[Section], rng: np.random.Generator) -> list[Note]:
    """Six strings, down and up."""
    patterns = {s.kind: _STRUMS[int(rng.integers(len(_STRUMS)))] for s in sections}
    capo, rake = int(rng.integers(0, 6)), float(rng.uniform(0.004, 0.013))
    notes = []
    for section in sections:
        for bar, degree in enumerate(section.chords, section.first):
            tones = score.chord(degree, 40 + capo, 70 + capo)
            strings = (
                [tones[index] for index in np.linspace(0, len(tones) - 1, 6).astype(int)] if tones else []
            )
            steps = [(s, mark) for s, mark in enumerate(patterns[section.kind][: score.steps]) if mark != "."]
            for index, (step, mark) in enumerate(steps):
                end = steps[index + 1][0] if index + 1 < len(steps) else score.steps
                order = list(dict.fromkeys(strings if mark == "d" else strings[:1:-1]))
                force = float(rng.uniform(0.55, 0.85)) * (1.0 if step % 4 == 0 else 0.85)
                start = score.time(bar, step)
                for place_in, pitch in enumerate(order):
                    late = place_in * rake * float(rng.uniform(0.7, 1.3))
                    notes.append(
                        Note(
                            start + late,
                            (end - step) * score.step,
                            pitch,
                            force * float(rng.uniform(0.85, 1.1)),
                        )
                    )
    return notes


def _riff(score: Score, sections: list[Section], rng: np.random.Generator) -> list[Note]:
    """Chords of root, fifth and octave, held or damped, with runs between."""
    low, open_chords = int(rng.integers(38, 45)), rng.uniform() < 0.25
    patterns = {s.kind: _RIFFS[int(rng.integers(len(_RIFFS)))] for s in sections}
    notes = []
    for section in sections:
        for bar, degree in enumerate(section.chords, section.first):
            root = low + (score.pitch(degree) - low) % 12
            chord = score.chord(degree, root, root + 19)[:5] if open_chords else [root, root + 7, root + 12]
            marks = [(s, m) for s, m in enumerate(patterns[section.kind][: score.steps]) if m != "."]
            for index, (step, mark) in enumerate(marks):
                end = marks[index + 1][0] if index + 1 < len(marks) else score.steps
                held = 1.0 if mark == "X" else 0.5
                pitches = chord if mark == "X" else chord[: int(rng.integers(1, 3))]
                if mark == "x" and rng.uniform() < 0.1:
                    pitches = [score.pitch(degree + int(rng.integers(1, 5))) % 12 + root]
                start = score.time(bar, step)
                for string, pitch in enumerate(pitches):
                    velocity = (0.9 if mark == "X" else 0.65) * float(rng.uniform(0.9, 1.05))
                    notes.append(
                        Note(start + 0.002 * string, (end - step) * score.step * held, pitch, velocity)
                    )
    return notes


def _arpeggio(score: Score, sections: list[Section], rng: np.random.Generator) -> list[Note]:
    """Broken chords."""
    low, every = int(rng.integers(50, 74)), int(rng.choice([1, 2, 2, 2, 4]))
    order, held = int(rng.integers(4)), float(rng.uniform(0.6, 3.0))
    notes = []
    for section in sections:
        for bar, degree in enumerate(section.chords, section.first):
            chord = score.chord(degree, low, low + 19)
            cycle = [chord, chord[::-1], chord + chord[-2:0:-1], [*chord[::2], *chord[1::2]]][order]
            for index, step in enumerate(range(0, score.steps, every)):
                if rng.uniform() < 0.93:
                    start = score.time(bar, step) + float(abs(rng.normal(0, 0.004)))
                    velocity = float(rng.uniform(0.5, 0.9))
                    notes.append(Note(start, every * score.step * held, cycle[index % len(cycle)], velocity))
    return notes


def _lead(score: Score, sections: list[Section], rng: np.random.Generator) -> list[Note]:
    """A melody in the singers' range or above."""
    low, density = int(rng.integers(55, 74)), float(rng.uniform(1.0, 2.2))
    phrases = [p for section in sections for p in melody(score, section, low, low + 17, rng, density)]
    return [note for phrase in phrases for note in phrase]


def _brass(score: Score, sections: list[Section], rng: np.random.Generator) -> list[Note]:
    """A melody of several winds at once."""
    notes = _lead(score, sections, rng)
    steps = [pitch for pitch in range(20, 115) if (pitch - score.key) % 12 in score.scale]
    third = [
        note._replace(pitch=steps[max(steps.index(int(note.pitch)) - 2, 0)])
        for note in notes
        if note.pitch in steps
    ]
    return notes + third if rng.uniform() < 0.6 else notes


_WRITERS: dict[str, Callable[[Score, list[Section], np.random.Generator], list[Note]]] = {
    "bed": _bed, "comping": _comping, "stab": _stab, "skank": _skank, "strum": _strum, "riff": _riff,
    "chunk": _riff, "arpeggio": _arpeggio, "lead": _lead, "brass": _brass,
}  # fmt: skip
