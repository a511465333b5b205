"""Everything else: two to four instruments a song, from low cellos to high bells."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xumx.synth.patch import Patch, bells, drive, play, random_body
from xumx.synth.score import Score, Section, melody
from xumx.synth.sound import Note, band, chorus, pan

_COMPING = ((0, 6, 12), (0, 3, 6, 10, 14), (2, 6, 10, 14), (0, 4, 8, 12), (0, 8), (4, 12), (0, 3, 8, 11),
            tuple(range(0, 16, 2)))  # fmt: skip


def render(score: Score, rng: np.random.Generator) -> np.ndarray:
    """Play all instruments of a song but drums and bass: (2, samples) float32."""
    roles = ["bed", str(rng.choice(["comping", "arpeggio"]))]
    roles += [
        str(role) for role in rng.choice(["lead", "arpeggio", "low", "comping"], int(rng.integers(1, 3)))
    ]
    audio = np.zeros((2, score.samples), np.float32)
    for number, role in enumerate(roles):
        part = rng.spawn(1)[0]
        notes = _ROLES[role](score, _present(score, number, part), part)
        if notes:
            sound = _voice(role, notes, score, part)
            heard = sound[:, np.abs(sound).max(axis=0) > 1e-3]
            loud = np.sqrt(np.mean(heard**2)) + 1e-9 if heard.size else 1.0
            audio += sound * np.float32(part.uniform(0.6, 1.2) / loud)
    return audio


def _present(score: Score, number: int, rng: np.random.Generator) -> list[Section]:
    """The sections in which an instrument plays; the first plays in all that the source has."""
    kinds = {kind: rng.uniform() < 0.75 for kind in dict.fromkeys(s.kind for s in score.sections)}
    sections = [section for section in score.sections if "other" in section.parts]
    chosen = [section for section in sections if number == 0 or kinds[section.kind]]
    return chosen or sections[:1]


def _bed(score: Score, sections: list[Section], rng: np.random.Generator) -> list[Note]:
    """Long chords."""
    low, size = int(rng.integers(43, 60)), int(rng.integers(3, 6))
    notes = []
    for section in sections:
        for bar, degree in enumerate(section.chords, section.first):
            begin, end = score.time(bar, 0), score.time(bar + 1, 0)
            for pitch in score.chord(degree, low, low + 26)[:size]:
                notes.append(Note(begin, end - begin, pitch, float(rng.uniform(0.65, 0.9)) * section.energy))
    return notes


def _comping(score: Score, sections: list[Section], rng: np.random.Generator) -> list[Note]:
    """Chords in rhythm, strummed or struck."""
    low, size, strum = (
        int(rng.integers(48, 66)),
        int(rng.integers(3, 5)),
        float(rng.choice([0.0, 0.004, 0.014])),
    )
    held = float(rng.uniform(0.4, 1.1))
    patterns = {s.kind: _COMPING[int(rng.integers(len(_COMPING)))] for s in sections}
    notes = []
    for section in sections:
        steps = [step for step in patterns[section.kind] if step < score.steps]
        ends = [*steps[1:], score.steps]
        for bar, degree in enumerate(section.chords, section.first):
            pitches = score.chord(degree, low, low + 20)[:size]
            for step, end in zip(steps, ends):
                velocity = float(rng.uniform(0.55, 0.9)) * (1.0 if step % 4 == 0 else 0.85)
                start = score.time(bar, step) + float(rng.normal(0, 0.004))
                for index, pitch in enumerate(pitches):
                    length = (end - step) * score.step * held
                    notes.append(Note(start + index * strum, length, pitch, velocity))
    return notes


def _arpeggio(score: Score, sections: list[Section], rng: np.random.Generator) -> list[Note]:
    """Broken chords."""
    low, every = int(rng.integers(52, 74)), int(rng.choice([1, 2, 2]))
    order, held = int(rng.integers(3)), float(rng.uniform(0.6, 2.0))
    notes = []
    for section in sections:
        for bar, degree in enumerate(section.chords, section.first):
            chord = score.chord(degree, low, low + 19)
            cycle = [chord, chord[::-1], chord + chord[-2:0:-1]][order]
            for index, step in enumerate(range(0, score.steps, every)):
                if rng.uniform() < 0.93:
                    start = score.time(bar, step) + float(rng.normal(0, 0.003))
                    velocity = float(rng.uniform(0.55, 0.9))
                    length = every * score.step * held
                    notes.append(Note(start, length, cycle[index % len(cycle)], velocity))
    return notes


def _lead(score: Score, sections: list[Section], rng: np.random.Generator) -> list[Note]:
    """A melody in the singers' range or above."""
    low = int(rng.integers(55, 72))
    phrases = [phrase for section in sections for phrase in melody(score, section, low, low + 17, rng, 1.6)]
    return [note for phrase in phrases for note in phrase]


def _low(score: Score, sections: list[Section], rng: np.random.Generator) -> list[Note]:
    """Octaves or fifths in the bass's range: a piano's left hand, cellos."""
    fifth, low = rng.uniform() < 0.5, int(rng.integers(33, 42))
    notes = []
    for section in sections:
        for bar, degree in enumerate(section.chords, section.first):
            root = low + (score.pitch(degree) - low) % 12
            for step in range(0, score.steps, 4 * int(rng.choice([1, 2, 2]))):
                start = score.time(bar, step)
                for pitch in (root, root + (7 if fifth and step else 12)):
                    notes.append(Note(start, 7 * score.step, pitch, float(rng.uniform(0.6, 0.9))))
    return notes


_ROLES: dict[str, Callable[[Score, list[Section], np.random.Generator], list[Note]]] = {
    "bed": _bed, "comping": _comping, "arpeggio": _arpeggio, "lead": _lead, "low": _low,
}  # fmt: skip
_INSTRUMENTS = {
    "bed": ("pad", "strings", "organ", "sweep", "piano"),
    "comping": ("piano", "keys", "guitar", "distorted", "brass", "organ", "stab"),
    "arpeggio": ("pluck", "guitar", "piano", "bell", "keys", "marimba"),
    "lead": ("lead", "distorted", "flute", "brass", "hollow", "bell"),
    "low": ("piano", "strings", "brass", "hollow"),
}


def _voice(role: str, notes: list[Note], score: Score, rng: np.random.Generator) -> np.ndarray:
    """Notes on an instrument that suits them, (2, samples)."""
    name = str(rng.choice(_INSTRUMENTS[role]))
    if name in ("bell", "marimba"):
        partials = [(1.0, 1.0, 0.9), (2.76, 0.5, 0.5), (5.4, 0.3, 0.25), (8.9, 0.15, 0.12)]
        if name == "marimba":
            partials = [(1.0, 1.0, 0.3), (3.93, 0.35, 0.08), (9.2, 0.2, 0.03)]
        stretched = [(ratio ** rng.uniform(0.94, 1.03), gain, ring) for ratio, gain, ring in partials]
        audio = bells(notes, score.samples, stretched, rng)
    else:
        audio = play(_patch(name, rng), notes, score.samples, rng)
    if name == "distorted":
        audio = drive(audio, float(rng.uniform(2, 8)))
        audio = band(band(audio, 90, None), None, rng.uniform(3500, 6500))
    if name in ("pad", "strings", "organ", "sweep", "keys") or rng.uniform() < 0.3:
        return chorus(audio, rng, float(rng.uniform(0.001, 0.004)))
    return pan(audio, float(rng.uniform(-0.75, 0.75)))


def _patch(name: str, rng: np.random.Generator) -> Patch:
    u, body = rng.uniform, random_body(rng)
    patches = {
        "pad": Patch(tilt=u(0.9, 1.3), dark=u(400, 900), bright=u(1500, 5000), fade=-u(0.5, 2.5), ring=20.0,
                     sustain=1.0, attack=u(0.15, 0.5), release=u(0.3, 0.8), detune=u(5, 16), body=body),
        "strings": Patch(tilt=u(0.9, 1.2), dark=u(900, 1800), bright=u(3000, 8000), fade=-u(0.1, 0.6),
                         ring=20.0, sustain=1.0, attack=u(0.06, 0.25), release=u(0.15, 0.4), detune=u(3, 9),
                         vibrato=u(5, 20), body=body),
        "organ": Patch(tilt=u(0.5, 1.0), even=u(0.5, 1.3), dark=u(700, 1500), bright=u(1500, 4500), fade=20.0,
                       ring=20.0, sustain=1.0, attack=0.006, release=0.03, tremolo=u(0, 0.5), tracking=0.2,
                       chiff=u(0, 0.15), body=1.5 * body),
        "sweep": Patch(tilt=1.0, dark=u(250, 500), bright=u(4000, 10000), fade=u(0.6, 2.0), ring=20.0,
                       sustain=1.0, attack=u(0.02, 0.2), release=u(0.2, 0.6), detune=u(6, 18), body=body),
        "piano": Patch(tilt=u(1.0, 1.4), pluck=u(0.1, 0.14), dark=u(500, 900), bright=u(3000, 6500),
                       fade=u(0.15, 0.4), ring=u(0.7, 1.6), attack=0.002, release=u(0.1, 0.3), detune=u(1, 3),
                       chiff=u(0.05, 0.2), body=body),
        "keys": Patch(tilt=u(1.2, 2.0), even=u(0.2, 1.0), dark=u(300, 600), bright=u(1800, 5000),
                      fade=u(0.1, 0.35), ring=u(0.8, 1.8), attack=0.003, release=u(0.1, 0.25),
                      tremolo=u(0, 0.6), body=body),
        "guitar": Patch(tilt=u(0.7, 1.1), pluck=u(0.08, 0.3), dark=u(500, 1000), bright=u(3500, 9000),
                        fade=u(0.08, 0.3), ring=u(0.5, 1.2), attack=0.002, release=0.06, chiff=u(0.1, 0.4),
                        body=body),
        "distorted": Patch(tilt=u(0.7, 1.0), pluck=u(0.1, 0.3), dark=u(900, 1500), bright=u(3000, 6000),
                           fade=u(0.3, 1.0), ring=u(2.0, 5.0), attack=0.004, release=0.06, vibrato=u(0, 25),
                           body=body),
        "brass": Patch(tilt=u(0.8, 1.1), dark=u(500, 900), bright=u(2500, 6000), fade=-u(0.03, 0.1), ring=0.5,
                       sustain=0.7, attack=u(0.02, 0.06), release=0.06, detune=u(2, 7), vibrato=u(0, 12),
                       body=body),
        "stab": Patch(tilt=u(0.8, 1.0), dark=u(400, 900), bright=u(3000, 9000), fade=u(0.05, 0.15),
                      ring=u(0.15, 0.4), attack=0.002, release=0.05, detune=u(6, 20), body=body),
        "pluck": Patch(tilt=u(0.7, 1.1), even=u(0.0, 1.0), dark=u(300, 700), bright=u(3000, 10000),
                       fade=u(0.03, 0.12), ring=u(0.1, 0.5), attack=0.001, release=0.05, detune=u(0, 8),
                       body=body),
        "lead": Patch(tilt=u(0.7, 1.0), even=u(0.2, 1.0), dark=u(900, 2000), bright=u(4000, 11000),
                      fade=u(0.1, 0.6), ring=3.0, sustain=0.7, attack=0.006, release=0.06, detune=u(0, 12),
                      vibrato=u(5, 35), body=body),
        "flute": Patch(tilt=u(1.6, 2.6), even=u(0.4, 1.0), dark=u(900, 1800), bright=u(2000, 5000), fade=-0.1,
                       ring=20.0, sustain=1.0, attack=u(0.03, 0.08), release=0.08, vibrato=u(8, 30),
                       tremolo=u(0.05, 0.25), chiff=u(0.1, 0.4), body=body),
        "hollow": Patch(tilt=u(0.8, 1.2), even=u(0.0, 0.1), dark=u(700, 1500), bright=u(2500, 6000),
                        fade=-0.06, ring=20.0, sustain=1.0, attack=u(0.015, 0.05), release=0.06,
                        vibrato=u(0, 20), body=body),
    }  # fmt: skip
    return patches[name]
