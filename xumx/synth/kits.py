"""Drums of SoundFonts: kits, players and the desk that they go through."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xumx.synth.effects import color, compress, saturate
from xumx.synth.genres import WALTZES, Genre, Groove
from xumx.synth.sampler import KITS, Sampler
from xumx.synth.score import Score, Section
from xumx.synth.sound import Note, reverberate, room

_KEYS = {  # of General MIDI
    "kick": (36, 35), "snare": (38, 40), "rim": (37,), "clap": (39,), "hat": (42,), "pedal": (44,),
    "open": (46,), "wide": (46,), "ride": (51, 59), "bell": (53,), "crash": (49, 57), "china": (52,),
    "splash": (55,), "tom0": (50, 48), "tom1": (47, 45), "tom2": (43, 41), "tambourine": (54,),
    "cowbell": (56,), "shaker": (82, 70), "maracas": (70,), "conga": (63, 64, 62), "bongo": (60, 61),
    "claves": (75,),
}  # fmt: skip
_LEVEL = {"X": 0.92, "x": 0.68, "o": 0.3}
_FILLS = (
    ("snare",), ("snare", "tom0", "tom1", "tom2"), ("tom0", "tom1", "tom2"), ("snare", "kick"),
    ("tom0", "tom2"), ("snare", "snare", "tom2", "kick"), ("open",),
)  # fmt: skip
_GROUPS = ({"kick"}, {"snare", "rim", "clap"}, set(_KEYS) - {"kick", "snare", "rim", "clap"})


def render(score: Score, genre: Genre, sampler: Sampler, rng: np.random.Generator) -> np.ndarray:
    """Play the drums of a song: (2, samples) float32."""
    play = rng.spawn(1)[0]
    strokes = _perform(score, genre, play)
    kits = sampler.programs(range(128), (KITS,))
    fitting = [kit for kit in kits if kit.number in genre.kits] or kits
    main = fitting[int(rng.integers(len(fitting)))]
    audio = np.zeros((2, score.samples), np.float32)
    for group in _GROUPS:
        notes = [note for name, note in strokes if name in group]
        if not notes:
            continue
        kit = fitting[int(rng.integers(len(fitting)))] if rng.uniform() < 0.35 else main
        sound = sampler.play(
            kit, notes, score.samples, float(rng.normal(0, 0.7)), float(rng.uniform(0.8, 1.1))
        )
        if rng.uniform() < 0.3:  # a second sound on top, as engineers do
            layer = kits[int(rng.integers(len(kits)))]
            sound += sampler.play(layer, notes, score.samples, float(rng.normal(0, 0.7))) * np.float32(
                rng.uniform(0.2, 0.7)
            )
        sound = color(sound, rng, 2.5)
        if rng.uniform() < 0.5:
            sound = compress(sound, float(rng.uniform(2, 5)), -15, float(rng.uniform(0.003, 0.02)), 0.1)
        audio += sound * np.float32(10 ** (rng.normal(0, 2) / 20))
    return _desk(audio, genre, rng)


def _desk(audio: np.ndarray, genre: Genre, rng: np.random.Generator) -> np.ndarray:
    """The room that all drums are in, and what squeezes them."""
    if not audio.any():
        return audio
    wet = reverberate(audio, room(float(rng.uniform(0.2, 0.9)), rng))
    audio = audio + wet * np.float32(rng.uniform(0.02, 0.4))
    crushed = compress(audio, 8, -24, 0.002, 0.15)
    crushed *= np.float32(np.sqrt(np.mean(audio**2) / (np.mean(crushed**2) + 1e-12)))
    audio = audio + crushed * np.float32(rng.uniform(0, 1.2))
    if rng.uniform() < 0.4 + 0.4 * genre.drive:
        audio = saturate(audio, float(rng.uniform(0.1, 0.25 + 0.4 * genre.drive)))
    middle = audio.mean(axis=0)
    return middle + np.float32(rng.uniform(0.2, 1.0)) * (audio - middle)


def _perform(score: Score, genre: Genre, rng: np.random.Generator) -> list[tuple[str, Note]]:
    """Strokes of a song by the drum's name."""
    grooves = genre.grooves if score.beats == 4 else WALTZES
    chosen = {section.kind: grooves[int(rng.integers(len(grooves)))] for section in score.sections}
    loose = float(rng.uniform(0.001, 0.007))
    lag = {name: float(rng.normal(0, 0.004)) for name in _KEYS}
    keys = {name: int(rng.choice(choices)) for name, choices in _KEYS.items()}
    strokes: list[tuple[str, Note]] = []

    def hit(name: str, second: float, velocity: float) -> None:
        velocity *= float(rng.uniform(0.86, 1.1))
        key = int(rng.choice(_KEYS[name])) if name in ("conga", "bongo") else keys[name]
        start = max(second + lag[name] + float(rng.normal(0, loose)), 0.0)
        length = 1.5 if name in ("crash", "ride", "china", "wide") else 0.15
        strokes.append((name, Note(start, length, key, min(velocity, 1.0))))

    before = False
    for section in score.sections:
        if "drums" in section.parts:
            if not before or section.kind == "chorus" or rng.uniform() < 0.5:
                hit("crash", score.time(section.first, 0), 0.9)
                hit("kick", score.time(section.first, 0), 0.9)
            _section(score, section, chosen[section.kind], hit, rng)
        before = "drums" in section.parts
    return strokes


def _section(
    score: Score,
    section: Section,
    groove: Groove,
    hit: Callable[[str, float, float], None],
    rng: np.random.Generator,
) -> None:
    force = 0.65 + 0.35 * section.energy
    extra = rng.uniform(0, 0.08)
    for bar in range(section.first, section.first + section.bars):
        number = bar - section.first + 1
        last = number == section.bars or (number % 4 == 0 and rng.uniform() < 0.5)
        fill = int(rng.choice([2, 4, 4, 8, 12])) if last and rng.uniform() < 0.85 else 0
        for name, steps in groove.items():
            for step, mark in enumerate(steps[: score.steps]):
                if step >= score.steps - fill and name not in ("kick", "hat", "shaker", "tambourine"):
                    continue
                if mark == ".":
                    if name in ("kick", "snare") and rng.uniform() < extra * (name == "kick"):
                        hit(name, score.time(bar, step), 0.5 * force)
                    continue
                if mark == "o" and rng.uniform() < 0.35:
                    continue
                hit(name, score.time(bar, step), _LEVEL[mark] * force)
        if number % 2 == 0 and rng.uniform() < 0.15:
            hit("open", score.time(bar, score.steps - 2), 0.7 * force)
        if fill:
            _fill(score, bar, min(fill, score.steps), hit, force, rng)


def _fill(
    score: Score,
    bar: int,
    fill: int,
    hit: Callable[[str, float, float], None],
    force: float,
    rng: np.random.Generator,
) -> None:
    sounds = _FILLS[int(rng.integers(len(_FILLS)))]
    every = 2 if fill >= 8 and rng.uniform() < 0.4 else 1
    for index in range(0, fill, every):
        if rng.uniform() < 0.85:
            name = sounds[index * len(sounds) // fill]
            second = score.time(bar, score.steps - fill + index)
            hit(name, second, (0.55 + 0.4 * index / fill) * force)
            if name == "snare" and rng.uniform() < 0.15:
                hit(name, second + score.step / 2, 0.5 * force)
