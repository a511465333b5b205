"""Bass and all other instruments of SoundFonts: parts that suit the genre, amplifiers and places in the panorama."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xumx.synth.effects import amplify, cabinet, color, compress, echo, equalize, saturate
from xumx.synth.genres import BASS_LINES, Genre
from xumx.synth.sampler import Program, Sampler
from xumx.synth.score import Score, Section, melody
from xumx.synth.sound import Note, band, chorus, pan, reverberate, room

_VARIANTS = (0, 0, 0, 8, 16, 17)  # banks, General MIDI's and General Standard's
_DRIVEN = {"riff", "chunk"}
_GUITARS = (26, 27, 28, 29, 30)
_PROGRAMS = {  # of General MIDI; none of the choirs, which would be vocals
    "riff": (29, 30, 27, 26, 29, 30), "chunk": (28, 29, 30, 27),
    "strum": (24, 25, 25, 25, 26, 27, 25), "skank": (27, 28, 26, 16, 4, 0),
    "bed": (88, 89, 90, 92, 93, 94, 95, 48, 49, 50, 51, 48, 49, 16, 17, 18, 19, 0, 4, 5, 29),
    "comping": (0, 1, 2, 3, 4, 5, 4, 5, 6, 7, 16, 17, 18, 21, 24, 25, 26, 27, 62),
    "arpeggio": (0, 4, 5, 8, 10, 11, 12, 24, 25, 26, 27, 45, 46, 81, 80, 84, 98, 104, 105, 106, 107, 108, 15, 6),
    "lead": (29, 30, 30, 29, 27, 80, 81, 82, 84, 87, 40, 41, 56, 57, 59, 64, 65, 66, 71, 73, 75, 22, 68, 11, 0, 4, 16),
    "stab": (0, 1, 61, 62, 63, 81, 90, 50, 48, 18, 80, 55, 5),
    "brass": (61, 56, 57, 65, 66, 62, 61), "low": (42, 57, 0, 43, 58, 70, 48, 38, 19),
}  # fmt: skip
_COMPING = ((0, 6, 12), (0, 3, 6, 10, 14), (2, 6, 10, 14), (0, 4, 8, 12), (0, 8), (4, 12), (0, 3, 8, 11), (0, 7),
            (0, 2, 4, 6, 8, 10, 12, 14), (0, 6, 8, 14), (0, 10), (0,))  # fmt: skip
_STRUMS = ("d...d.u...u.d.u.", "d...d...d.u.d.u.", "d.d.d.d.d.d.d.d.", "d..ud..ud..ud..u", "d.dud.dud.dud.du",
           "d.......d...d.u.", "d...d.udu.udd.ud")  # fmt: skip
_RIFFS = ("X.xxX.xxX.xxX.xx", "X.......X.......", "X..X..X...X.X...", "X.x.X.x.X.x.X.x.", "X.....X.X.....X.",
          "X...............", "X.xxx.xxx.xxx.xx", "X..x..X..x..X.x.", "X.X...X.X..X....")  # fmt: skip


def bass(score: Score, genre: Genre, sampler: Sampler, rng: np.random.Generator) -> np.ndarray:
    """Play the bass of a song: (2, samples) float32."""
    names = [name for name in genre.lines] if score.beats == 4 else ["roots", "eighths", "ballad"]
    lines = {kind: str(rng.choice(names)) for kind in dict.fromkeys(s.kind for s in score.sections)}
    low, held = int(rng.integers(26, 33)), float(rng.uniform(0.6, 1.0))
    notes = [
        note
        for section in score.sections
        if "bass" in section.parts
        for bar, degree in enumerate(section.chords, section.first)
        for note in _bass_bar(score, section, bar, degree, low, held, lines[section.kind], rng)
    ]
    numbers = genre.basses if rng.uniform() < 0.85 else tuple(range(32, 40))
    program = _choose(sampler, numbers, rng)
    stereo = sampler.play(program, notes, score.samples, softer=float(rng.uniform(0.75, 1.05)))
    mono = stereo.mean(axis=0)
    u = rng.uniform
    if u() < 0.7:
        mono = compress(mono, float(u(2.5, 6)), -14, 0.01, 0.15)
    if u() < 0.6:  # an amplifier beside the clean signal
        dirt = saturate(
            equalize(mono, [(60, -6), (150, 0), (900, float(u(0, 9)))]), float(u(0.7, 1.5 + 5 * genre.drive))
        )
        dirt = (
            cabinet(dirt, rng)
            if u() < 0.6
            else equalize(dirt, [(100, -3), (4000, 0), (9000, float(u(-18, -3)))])
        )
        dirt *= np.float32(np.sqrt(np.mean(mono**2) / (np.mean(dirt**2) + 1e-12)))
        mono = mono + dirt * np.float32(u(0.1, 0.3 + 0.6 * genre.drive))
    else:
        mono = saturate(mono, float(u(0.2, 1.0)))
    mono = equalize(mono, [(30, -6), (60, u(-1, 4)), (120, u(-2, 3)), (250, u(-5, 1)), (700, u(-3, 4)),
                           (1800, u(-2, 8)), (4000, u(-3, 8)), (9000, u(-8, 4))])  # fmt: skip
    if program.number >= 38 and u() < 0.4:
        return band(chorus(mono, rng), 150, None, 1) + band(mono, None, 150, 1)
    return pan(mono, float(u(-0.08, 0.08)))


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


def other(score: Score, genre: Genre, sampler: Sampler, rng: np.random.Generator) -> np.ndarray:
    """Play all instruments of a song but drums and bass: (2, samples) float32."""
    count = int(rng.choice([2, 3, 3, 4, 4, 5]))
    roles = [str(role) for role in rng.choice(genre.roles, count)]
    audio = np.zeros((2, score.samples), np.float32)
    for number, role in enumerate(roles):
        part = rng.spawn(1)[0]
        sections = _present(score, number, part)
        kind = role if role in _WRITERS else "comping"
        notes = _WRITERS[kind](score, sections, part)
        if notes:
            sound = _instrument(role, notes, score, genre, sampler, part)
            heard = sound[:, np.abs(sound).max(axis=0) > 1e-3]
            loud = np.sqrt(np.mean(heard**2)) + 1e-9 if heard.size else 1.0
            level = 10 ** (part.normal(0 if role in _DRIVEN else -2, 2.5) / 20)
            audio += sound * np.float32(level / loud)
    if rng.uniform() < 0.6:
        audio = compress(audio, float(rng.uniform(1.5, 3)), -15, 0.01, 0.2)
    audio = equalize(audio, [(2500, 0), (6000, float(rng.uniform(-1, 4))), (11000, float(rng.uniform(0, 12)))])
    return audio


def _choose(sampler: Sampler, numbers: tuple[int, ...], rng: np.random.Generator) -> Program:
    """An instrument by number, of any SoundFont that has it, sometimes a variant of it."""
    order = [int(number) for number in rng.permutation(numbers)]
    bank = int(rng.choice(_VARIANTS))
    for number in [*order, *range(128)]:
        there = sampler.programs([number], [bank]) or sampler.programs([number])
        if there:
            return there[int(rng.integers(len(there)))]
    return sampler.programs(range(128), range(129))[0]


def _instrument(
    role: str, notes: list[Note], score: Score, genre: Genre, sampler: Sampler, rng: np.random.Generator
) -> np.ndarray:
    """Notes on an instrument, as it comes out of its microphones: (2, samples)."""
    u = rng.uniform
    program = _choose(sampler, _PROGRAMS.get(role, _PROGRAMS["comping"]), rng)
    driven = (
        program.number in _GUITARS and (role in _DRIVEN or role == "lead") and u() < 0.3 + 0.7 * genre.drive
    )
    if driven or (program.number in _GUITARS and role in _DRIVEN):
        return _guitars(role, program, notes, score, genre, sampler, driven, rng)
    sound = sampler.play(program, notes, score.samples, softer=float(u(0.75, 1.1)))
    sound = color(sound, rng, 3.0)
    if program.number in (16, 17, 18, 4, 5, 80, 81) and u() < 0.3:
        sound = saturate(sound, float(u(0.3, 1.5)))
    if u() < 0.25:
        sound = chorus(sound.mean(axis=0), rng, float(u(0.001, 0.004)))
    elif role in ("lead", "arpeggio", "skank", "strum") or u() < 0.4:
        sound = pan(sound.mean(axis=0), float(u(-0.9, 0.9) if role != "lead" else u(-0.3, 0.3)))
    if role in ("strum", "skank") and u() < 0.4:  # played twice, left and right
        again = [note._replace(start=max(note.start + float(rng.normal(0, 0.008)), 0)) for note in notes]
        other_take = color(sampler.play(program, again, score.samples).mean(axis=0), rng, 2.0)
        sound = pan(sound.mean(axis=0), -0.9) + pan(other_take, 0.9)
    return _space(role, sound, score, rng)


def _guitars(
    role: str,
    program: Program,
    notes: list[Note],
    score: Score,
    genre: Genre,
    sampler: Sampler,
    driven: bool,
    rng: np.random.Generator,
) -> np.ndarray:
    """Electric guitars through amplifiers: riffs twice, hard left and right; a lead in the middle."""
    takes = (
        [(-1.0, 0.0), (1.0, 0.0)]
        if role in _DRIVEN and rng.uniform() < 0.75
        else [(float(rng.uniform(-0.5, 0.5)), 0.0)]
    )
    drive = float(2 ** rng.uniform(0.5, 2 + 3 * genre.drive)) if driven else float(rng.uniform(0.3, 1.2))
    audio = np.zeros((2, score.samples), np.float32)
    width = float(rng.uniform(0.7, 1.0))
    for side, _ in takes:
        played = [
            note._replace(
                start=max(note.start + float(rng.normal(0, 0.007)), 0.0),
                velocity=min(note.velocity * float(rng.uniform(0.85, 1.1)), 1.0),
            )
            for note in notes
        ]
        if len(takes) > 1 and rng.uniform() < 0.4:
            program = _choose(sampler, _GUITARS, rng)
        clean = sampler.play(program, played, score.samples, float(rng.normal(0, 0.04))).mean(axis=0)
        audio += pan(amplify(clean, drive, rng), width * side)
    return _space(role, audio, score, rng)


def _space(role: str, sound: np.ndarray, score: Score, rng: np.random.Generator) -> np.ndarray:
    """Perhaps an echo or a room of its own."""
    if role in ("lead", "arpeggio", "skank") and rng.uniform() < 0.35:
        beat = 60 / score.tempo
        wet = echo(sound, beat * float(rng.choice([0.5, 0.75, 1.0])), float(rng.uniform(0.2, 0.5)))
        sound = sound + wet * np.float32(rng.uniform(0.3, 0.8))
    if rng.uniform() < 0.25:
        sound = sound + reverberate(sound, room(float(rng.uniform(0.5, 3)), rng)) * np.float32(
            rng.uniform(0.1, 0.4)
        )
    return sound


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
    "bed": _bed, "comping": _comping, "stab": _stab, "skank": _skank, "strum": _strum, "riff": _riff, "chunk": _riff,
    "arpeggio": _arpeggio, "lead": _lead, "brass": _brass,
}  # fmt: skip
