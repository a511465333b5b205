"""Bass and all other instruments of SoundFonts: programs that suit, amplifiers, and places left and right."""

from __future__ import annotations

import numpy as np

from xumx.synth import parts
from xumx.synth.bass import corners
from xumx.synth.effects import amplify, cabinet, color, compress, echo, equalize, saturate, sweep
from xumx.synth.genres import Genre
from xumx.synth.sampler import Program, Sampler
from xumx.synth.score import Score
from xumx.synth.sound import Note, band, chorus, pan, reverberate, room

_VARIANTS = (0, 0, 0, 8, 16, 17)  # banks, General MIDI's and General Standard's
_DRIVEN = {"riff", "chunk"}
_GUITARS = (26, 27, 28, 29, 30)
_SINGING = {52, 53, 54, 85, 91}  # General MIDI's choirs, which would be vocals
_PROGRAMS = {  # of General MIDI
    "riff": (29, 30, 27, 26, 29, 30),
    "chunk": (28, 29, 30, 27),
    "strum": (24, 25, 25, 25, 26, 27, 25),
    "skank": (27, 28, 26, 16, 4, 0),
    "bed": (88, 89, 90, 92, 93, 94, 95, 48, 49, 50, 51, 48, 49, 16, 17, 18, 19, 0, 4, 5, 29),
    "comping": (0, 1, 2, 3, 4, 5, 4, 5, 6, 7, 16, 17, 18, 21, 24, 25, 26, 27, 62),
    "arpeggio": (0, 4, 5, 8, 10, 11, 12, 24, 25, 26, 27, 45, 46, 81, 80, 84, 98, 104, 105, 106, 107, 108, 15,
                 6),
    "lead": (29, 30, 30, 29, 27, 80, 81, 82, 84, 87, 40, 41, 56, 57, 59, 64, 65, 66, 71, 73, 75, 22, 68, 11,
             0, 4, 16),
    "stab": (0, 1, 61, 62, 63, 81, 90, 50, 48, 18, 80, 55, 5),
    "brass": (61, 56, 57, 65, 66, 62, 61),
}  # fmt: skip


def bass(score: Score, genre: Genre, sampler: Sampler, rng: np.random.Generator) -> np.ndarray:
    """Play the bass of a song: (2, samples) float32."""
    notes = parts.bass(score, genre, rng)
    numbers = genre.basses if rng.uniform() < 0.85 else tuple(range(32, 40))
    program = _choose(sampler, numbers, rng)
    stereo = sampler.play(program, notes, score.samples, softer=float(rng.uniform(0.75, 1.05)))
    mono = stereo.mean(axis=0)
    u = rng.uniform
    if program.number >= 38 and u() < 0.45:  # a synthesizer
        mono = sweep(saturate(mono, float(u(1, 4))), corners(score, rng), float(u(0.8, 5)))
    if u() < 0.7:
        mono = compress(mono, float(u(2.5, 6)), -14, 0.01, 0.15)
    if u() < 0.75:  # an amplifier beside the clean signal
        dirt = equalize(mono, [(60, -9), (150, 0), (900, float(u(3, 15)))])
        dirt = saturate(dirt, float(u(1.0, 2 + 6 * genre.drive)))
        if u() < 0.5:
            dirt = cabinet(dirt, rng)
        else:
            dirt = equalize(dirt, [(60, -12), (150, -3), (700, 0), (4000, 3), (9000, float(u(-12, 0)))])
        dirt *= np.float32(np.sqrt(np.mean(mono**2) / (np.mean(dirt**2) + 1e-12)))
        mono = mono + dirt * np.float32(u(0.1, 0.3 + 0.6 * genre.drive))
    else:
        mono = saturate(mono, float(u(0.3, 1.2)))
    mono = equalize(mono, [(30, -6), (60, u(-1, 4)), (120, u(-2, 3)), (250, u(-4, 2)), (700, u(-2, 8)),
                           (1800, u(0, 12)), (4000, u(2, 16)), (9000, u(0, 15))])  # fmt: skip
    if program.number >= 38 and u() < 0.4:
        return band(chorus(mono, rng), 150, None, 1) + band(mono, None, 150, 1)
    return pan(mono, float(u(-0.08, 0.08)))


def other(score: Score, genre: Genre, sampler: Sampler, rng: np.random.Generator) -> np.ndarray:
    """Play all instruments of a song but drums and bass: (2, samples) float32."""
    count = int(rng.choice([2, 3, 3, 4, 4, 5]))
    roles = [str(role) for role in rng.choice(genre.roles, count)]
    audio = np.zeros((2, score.samples), np.float32)
    for number, role in enumerate(roles):
        part = rng.spawn(1)[0]
        notes = parts.write(role, number, score, part)
        if notes:
            sound = _instrument(role, notes, score, genre, sampler, part)
            heard = sound[:, np.abs(sound).max(axis=0) > 1e-3]
            loud = np.sqrt(np.mean(heard**2)) + 1e-9 if heard.size else 1.0
            level = 10 ** (part.normal(0 if role in _DRIVEN else -2, 2.5) / 20)
            audio += sound * np.float32(level / loud)
    if rng.uniform() < 0.6:
        audio = compress(audio, float(rng.uniform(1.5, 3)), -15, 0.01, 0.2)
    air = [(6000, float(rng.uniform(-1, 4))), (11000, float(rng.uniform(0, 12)))]
    return equalize(audio, [(2500, 0), *air])


def _choose(sampler: Sampler, numbers: tuple[int, ...], rng: np.random.Generator) -> Program:
    """An instrument by number, of any SoundFont that has it, sometimes a variant of it."""
    order = [int(number) for number in rng.permutation(numbers)]
    bank = int(rng.choice(_VARIANTS))
    for number in [*order, *sorted(set(range(128)) - _SINGING)]:
        there = sampler.programs([number], [bank]) or sampler.programs([number])
        if there:
            return there[int(rng.integers(len(there)))]
    return sampler.programs(range(128), range(129))[0]


def _instrument(
    role: str, notes: list[Note], score: Score, genre: Genre, sampler: Sampler, rng: np.random.Generator
) -> np.ndarray:
    """Notes on an instrument, as it comes out of its microphones: (2, samples)."""
    u = rng.uniform
    program = _choose(sampler, _PROGRAMS[role], rng)
    if program.number in _GUITARS and role in (*_DRIVEN, "lead"):
        driven = u() < 0.3 + 0.7 * genre.drive
        if driven or role in _DRIVEN:
            return _guitars(role, program, notes, score, sampler, genre.drive if driven else None, rng)
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
    sampler: Sampler,
    most: float | None,
    rng: np.random.Generator,
) -> np.ndarray:
    """Electric guitars through amplifiers: riffs twice, hard left and right; a lead in the middle.

    ``most`` is how far the amplifiers are turned up at most, 0 to 1; None is hardly at all.
    """
    twice = role in _DRIVEN and rng.uniform() < 0.75
    sides = (-1.0, 1.0) if twice else (float(rng.uniform(-0.5, 0.5)),)
    drive = float(rng.uniform(0.3, 1.2)) if most is None else float(2 ** rng.uniform(0.5, 2 + 3 * most))
    audio = np.zeros((2, score.samples), np.float32)
    width = float(rng.uniform(0.7, 1.0))
    for side in sides:
        played = [
            note._replace(
                start=max(note.start + float(rng.normal(0, 0.007)), 0.0),
                velocity=min(note.velocity * float(rng.uniform(0.85, 1.1)), 1.0),
            )
            for note in notes
        ]
        if twice and rng.uniform() < 0.4:
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
        wet = reverberate(sound, room(float(rng.uniform(0.5, 3)), rng))
        sound = sound + wet * np.float32(rng.uniform(0.1, 0.4))
    return sound
