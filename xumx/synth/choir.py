"""The vocals of a song by spoken voices: a lead, who may rap, doubles, harmonies, choirs, and the desk."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from xumx.synth.effects import color, compress, double, echo, equalize, saturate
from xumx.synth.genres import Genre
from xumx.synth.score import Score, Section, melody
from xumx.synth.singers import Spoken, random_singer, sing
from xumx.synth.sound import Note, pan
from xumx.synth.speech import Speech, load


def render(score: Score, genre: Genre, voices: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
    """Sing a song: (2, samples) float32."""
    speech = load(str(rng.choice(voices)))
    singer = random_singer(speech, rng)
    density = genre.density * float(rng.uniform(0.6, 1.6))
    raps = {kind for kind in ("verse", "bridge", "intro", "break") if rng.uniform() < genre.rap}
    sung: list[list[Note]] = []
    spoken: list[list[Note]] = []
    refrains: list[list[Note]] = []
    sections = [section for section in score.sections if "vocals" in section.parts]
    for section in sections:
        if section.kind in raps:
            spoken += _rap(score, section, singer.low + 3, rng)
            continue
        phrases = melody(score, section, singer.low, singer.high, rng, density)
        sung += phrases
        if section.kind == "chorus":
            refrains += phrases
    lead = sing(speech, singer, sung, score.samples, rng)
    if spoken:
        lead += sing(speech, replace(singer, speaks=1.0, glide=0.06, depth=5), spoken, score.samples, rng)
    audio = pan(_strip(lead, rng), float(rng.uniform(-0.1, 0.1)))
    if rng.uniform() < 0.45:
        amount = np.float32(rng.uniform(0.2, 0.6))
        for side in (-1, 1):
            audio += pan(double(lead, rng), side * float(rng.uniform(0.4, 1.0))) * amount
    if refrains and rng.uniform() < 0.5:
        audio += _harmonies(score, refrains, speech, singer, voices, rng)
    if sections and rng.uniform() < 0.2:
        audio += _choir(score, sections, voices, rng)
    return _effects(audio, score, rng)


def _strip(lead: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Microphone, compressor and equaliser."""
    u = rng.uniform
    lead = compress(lead, float(u(2, 6)), -16, 0.004, 0.12)
    lead = equalize(lead, [(50, -20), (u(80, 130), -3), (250, u(-4, 2)), (900, u(-2, 2)), (3000, u(-3, 3)),
                           (7000, u(-2, 5)), (13000, u(0, 9)), (18000, -6)])  # fmt: skip
    lead = color(lead, rng, 1.5)
    if u() < 0.25:
        lead = saturate(lead, float(u(0.2, 1.2)))
    return lead


def _effects(audio: np.ndarray, score: Score, rng: np.random.Generator) -> np.ndarray:
    u = rng.uniform
    if u() < 0.45:
        wet = echo(audio, 60 / score.tempo * float(rng.choice([0.25, 0.5, 0.75, 1.0])), float(u(0.15, 0.5)))
        audio = audio + wet * np.float32(u(0.15, 0.6))
    if u() < 0.05:  # as through a telephone
        audio = equalize(audio, [(200, -30), (450, 0), (2800, 4), (5000, -36)])
    return audio


def _harmonies(
    score: Score,
    phrases: list[list[Note]],
    speech: Speech,
    singer: Spoken,
    voices: tuple[str, ...],
    rng: np.random.Generator,
) -> np.ndarray:
    """One or two more voices in the choruses, left and right."""
    steps = [pitch for pitch in range(20, 115) if (pitch - score.key) % 12 in score.scale]
    audio = np.zeros((2, score.samples), np.float32)
    for interval in rng.permutation([2, -2, 4, -3, 7])[: int(rng.integers(1, 3))]:
        second = [
            [note._replace(pitch=steps[steps.index(int(note.pitch)) + int(interval)]) for note in phrase]
            for phrase in phrases
        ]
        who, how = (speech, singer) if rng.uniform() < 0.5 else _another(voices, rng)
        voice = color(sing(who, how, second, score.samples, rng), rng, 2.0)
        side = float(rng.uniform(0.3, 1.0))
        level = np.float32(rng.uniform(0.25, 0.7))
        audio += pan(voice, -side) * level + pan(double(voice, rng), side) * level
    return audio


def _another(voices: tuple[str, ...], rng: np.random.Generator) -> tuple[Speech, Spoken]:
    speech = load(str(rng.choice(voices)))
    return speech, random_singer(speech, rng)


def _choir(
    score: Score, sections: list[Section], voices: tuple[str, ...], rng: np.random.Generator
) -> np.ndarray:
    """Held chords of three singers."""
    chosen = [section for section in sections if rng.uniform() < 0.5] or sections[:1]
    audio = np.zeros((2, score.samples), np.float32)
    for index in range(3):
        speech, singer = _another(voices, rng)
        low = singer.low + 2
        notes = [
            [
                Note(
                    score.time(bar, 0),
                    0.92 * score.steps * score.step,
                    score.chord(degree, low, low + 14)[index % 3],
                    0.6,
                )
            ]
            for section in chosen
            for bar, degree in enumerate(section.chords, section.first)
        ]
        audio += pan(sing(speech, singer, notes, score.samples, rng), (index - 1) * 0.7)
    return audio * np.float32(rng.uniform(0.15, 0.4))


def _rap(score: Score, section: Section, pitch: int, rng: np.random.Generator) -> list[list[Note]]:
    """Syllables on sixteenths and eighths, around one pitch."""
    phrases = []
    for bar in range(section.first, section.first + section.bars):
        notes, step = [], int(rng.choice([0, 0, 1, 2]))
        while step < score.steps - int(rng.choice([1, 2, 4])):
            length = int(rng.choice([1, 2, 2, 3]))
            if score.step > 0.16:
                length = max(length - 1, 1)
            start = score.time(bar, step) + float(abs(rng.normal(0, 0.01)))
            high = pitch + float(rng.normal(0, 1.2)) + (2 if step % 4 == 0 else 0)
            notes.append(Note(start, length * score.step * 0.95, high, float(rng.uniform(0.6, 1.0))))
            step += length
        if notes:
            phrases.append(notes)
    return phrases
