"""Drums: a kit of synthesized sounds, and players of several styles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xumx.synth.score import Score, Section
from xumx.synth.sound import RATE, band, decay, noise, pan, phase, place, ramps, sine

_LEVEL = {"X": 1.0, "x": 0.72, "o": 0.32}
_STYLES: tuple[dict[str, str], ...] = (  # sixteenths of a bar of four beats: accents, strokes, ghost notes
    {"kick": "X.....x.X.x.....", "snare": "....X.......X...", "hat": "X.x.X.x.X.x.X.x."},
    {"kick": "X.......X.x.....", "snare": "....X.......X..o", "hat": "X.x.x.x.X.x.x.x."},
    {
        "kick": "X...X...X...X...",
        "clap": "....X.......X...",
        "open": "..X...X...X...X.",
        "hat": "x..xx..xx..xx..x",
    },
    {"kick": "X..x...x..X.....", "snare": "....X..o....X..o", "hat": "x.xxx.x.x.xxx.xx"},
    {"kick": "X.........x.....", "snare": "........X.......", "hat": "x...x...x...x.x."},
    {"kick": "X..x..x...x..x..", "snare": "....X..o.o..X..o", "hat": "XxxxXxxxXxxxXxxx"},
    {"kick": "X.x.......xx....", "snare": "....X..o.o..X...", "ride": "X.x.X.x.X.x.X.x."},
    {"kick": "X...x...X...x...", "snare": "x.xxX.xxx.xxX.xx", "hat": "..x...x...x...x."},
    {"kick": "X.....X...X.....", "rim": "...x..x...x.x...", "shaker": "XxxxXxxxXxxxXxxx"},
    {
        "kick": "X.....x.......x.",
        "clap": "....X.......X...",
        "snare": "............o..o",
        "hat": "xxxxxxx.xxxxx.xx",
    },
    {
        "kick": "X...X...X...X...",
        "snare": "....X.......X...",
        "ride": "x.x.X.x.x.x.X.x.",
        "shaker": "xxxxxxxxxxxxxxxx",
    },
)
_WALTZES: tuple[dict[str, str], ...] = (
    {"kick": "X...........", "snare": "....x...x...", "hat": "X.x.x.x.x.x."},
    {"kick": "X.....x.....", "snare": "........X...", "ride": "X...x.x.x..."},
)
_FILLS = (("snare",), ("snare", "tom0", "tom1", "tom2"), ("tom0", "tom1", "tom2"))
_SIDE = {"hat": 0.35, "open": 0.35, "ride": -0.5, "crash": -0.4, "shaker": 0.6, "rim": -0.25, "clap": 0.1}
_GAIN = {
    "kick": 1.0, "snare": 0.8, "clap": 0.6, "rim": 0.4, "hat": 0.33, "open": 0.3, "ride": 0.28,
    "shaker": 0.2, "crash": 0.42, "tom0": 0.75, "tom1": 0.75, "tom2": 0.8,
}  # fmt: skip


def render(score: Score, rng: np.random.Generator) -> np.ndarray:
    """Play the drums of a song: (2, samples) float32."""
    kit, play = _kit(rng), rng.spawn(1)[0]
    styles = _STYLES if score.beats == 4 else _WALTZES
    patterns = {section.kind: styles[int(rng.integers(len(styles)))] for section in score.sections}
    channels: dict[str, np.ndarray] = {}

    def hit(name: str, second: float, velocity: float) -> None:
        track = channels.setdefault(name, np.zeros(score.samples, np.float32))
        velocity *= float(play.uniform(0.85, 1.1))
        layer = kit[name][int(play.integers(2)) + 2 * (velocity > 0.6)]
        place(track, second + float(play.normal(0, 0.003)), layer, _GAIN[name] * velocity)

    before = False
    for section in score.sections:
        if "drums" in section.parts:
            if not before or section.kind == "chorus":
                hit("crash", score.time(section.first, 0), 0.9)
            _section(score, section, patterns[section.kind], hit, play)
        before = "drums" in section.parts
    mirror = rng.choice([-1, 1])  # whose left hand is left
    width = rng.uniform(0.4, 1.0)
    toms = {"tom0": -0.5, "tom1": 0.0, "tom2": 0.5}
    audio = np.zeros((2, score.samples), np.float32)
    for name, track in channels.items():
        audio += pan(track, float(mirror * width * (_SIDE | toms).get(name, 0.0)))
    return audio


def _section(
    score: Score,
    section: Section,
    pattern: dict[str, str],
    hit: Callable[[str, float, float], None],
    rng: np.random.Generator,
) -> None:
    for bar in range(section.first, section.first + section.bars):
        place_in = bar - section.first + 1
        last = place_in == section.bars or (place_in % 4 == 0 and rng.uniform() < 0.6)
        fill = int(rng.choice([2, 4, 8])) if last else 0
        for name, steps in pattern.items():
            for step, mark in enumerate(steps):
                if mark == "." or (step >= score.steps - fill and name not in ("kick", "hat")):
                    continue
                if mark == "o" and rng.uniform() < 0.4:
                    continue
                hit(name, score.time(bar, step), _LEVEL[mark] * (0.6 + 0.4 * section.energy))
        if fill:
            sounds = _FILLS[int(rng.integers(len(_FILLS)))]
            for index in range(fill):
                if rng.uniform() < 0.85:
                    name = sounds[index * len(sounds) // fill]
                    hit(name, score.time(bar, score.steps - fill + index), 0.55 + 0.45 * index / fill)


def _kit(rng: np.random.Generator) -> dict[str, list[np.ndarray]]:
    """Sounds by name: two soft ones and two loud ones each, of peak about 1."""
    makers: dict[str, Callable[[float, np.random.Generator], np.ndarray]] = {
        "kick": _kick(rng), "snare": _snare(rng), "clap": _clap(rng), "rim": _rim(rng),
        "shaker": _shaker(rng), **_cymbals(rng), **_toms(rng),
    }  # fmt: skip
    kit = {}
    for name, make in makers.items():
        layers = [make(force, rng) for force in (0.5, 0.5, 1.0, 1.0)]
        kit[name] = [layer / np.abs(layer).max() for layer in layers]
    return kit


_Maker = Callable[[float, np.random.Generator], np.ndarray]


def _drop(samples: int, start: float, end: float, seconds: float) -> np.ndarray:
    """A sine whose frequency falls."""
    return sine()[phase(end + (start - end) * decay(samples, seconds))]


def _kick(rng: np.random.Generator) -> _Maker:
    end, start = rng.uniform(42, 66), rng.uniform(120, 400)
    fall, ring = rng.uniform(0.012, 0.04), rng.choice([0.07, 0.12, 0.25])
    click, color, drive = rng.uniform(0.1, 0.8), rng.uniform(1500, 5000), rng.uniform(0.5, 3.0)

    def make(force: float, rng: np.random.Generator) -> np.ndarray:
        n = int(min(6 * ring, 0.9) * RATE)
        body = np.tanh(drive * _drop(n, start, end, fall) * decay(n, ring)) / np.tanh(drive)
        beater = band(noise(n, rng) * decay(n, 0.004), 300, color) * 2
        return ramps(body + click * force * beater, 0.0005, 0.05)

    return make


def _snare(rng: np.random.Generator) -> _Maker:
    tone, ring, rattle = rng.uniform(150, 260), rng.uniform(0.03, 0.1), rng.uniform(0.05, 0.16)
    low, high, wires = rng.uniform(500, 2200), rng.uniform(6000, 13000), rng.uniform(0.5, 1.3)

    def make(force: float, rng: np.random.Generator) -> np.ndarray:
        n = int(0.5 * RATE)
        head = _drop(n, 1.3 * tone, tone, 0.01) * decay(n, ring)
        head += 0.5 * _drop(n, 2 * tone, 1.62 * tone, 0.01) * decay(n, 0.6 * ring)
        snares = band(noise(n, rng), low, high * (0.5 + 0.5 * force)) * decay(n, rattle)
        stick = band(noise(n, rng) * decay(n, 0.002), 1000, 9000) * 1.5
        return ramps(head + wires * (0.4 + 0.6 * force) * snares + force * stick, 0.0005, 0.1)

    return make


def _clap(rng: np.random.Generator) -> _Maker:
    center, tail = rng.uniform(900, 1800), rng.uniform(0.05, 0.14)

    def make(force: float, rng: np.random.Generator) -> np.ndarray:
        n = int(0.45 * RATE)
        envelope = np.zeros(n, np.float32)
        for index in range(4):
            place(envelope, 0.011 * index, decay(n, 0.004 if index < 3 else tail))
        return ramps(band(noise(n, rng) * envelope, center * 0.7, center * (2 + 2 * force)), 0.0005, 0.1)

    return make


def _rim(rng: np.random.Generator) -> _Maker:
    tone = rng.uniform(700, 1900)

    def make(force: float, rng: np.random.Generator) -> np.ndarray:
        n = int(0.12 * RATE)
        wood = sine()[phase(tone, n)] + 0.7 * sine()[phase(1.51 * tone, n)]
        return ramps(wood * decay(n, 0.012) + force * noise(n, rng) * decay(n, 0.002), 0.0003, 0.03)

    return make


def _shaker(rng: np.random.Generator) -> _Maker:
    low, length = rng.uniform(3000, 6500), rng.uniform(0.02, 0.05)

    def make(force: float, rng: np.random.Generator) -> np.ndarray:
        n = int(0.2 * RATE)
        return ramps(band(noise(n, rng), low, 14000) * decay(n, length), rng.uniform(0.005, 0.02), 0.05)

    return make


def _metal(samples: int, base: float, ratios: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Inharmonic square waves, as in the machines of the eighties, and noise."""
    waves = [np.sign(sine()[phase(base * ratio, samples, rng.uniform())]) for ratio in ratios]
    return np.sum(waves, axis=0, dtype=np.float32) / len(ratios) + 0.5 * noise(samples, rng)


def _cymbals(rng: np.random.Generator) -> dict[str, _Maker]:
    base, ratios = rng.uniform(300, 560), np.sort(rng.uniform(1, 4.3, 6))
    edge, closed, opened = rng.uniform(4500, 8500), rng.uniform(0.012, 0.045), rng.uniform(0.12, 0.4)
    ping = rng.uniform(2400, 4200)

    def cymbal(ring: float, low: float, bell: float = 0.0) -> _Maker:
        def make(force: float, rng: np.random.Generator) -> np.ndarray:
            n = int(min(6 * ring, 2.2) * RATE)
            metal = band(_metal(n, base, ratios, rng), low, 11000 + 6000 * force) * decay(n, ring)
            if bell:
                metal += bell * (sine()[phase(ping, n)] + sine()[phase(1.47 * ping, n)]) * decay(n, 0.15)
            return ramps(metal, 0.001, 0.05)

        return make

    return {
        "hat": cymbal(closed, edge),
        "open": cymbal(opened, 0.9 * edge),
        "ride": cymbal(0.35, 0.6 * edge, 0.12),
        "crash": cymbal(0.75, 0.45 * edge),
    }


def _toms(rng: np.random.Generator) -> dict[str, _Maker]:
    high, ring = rng.uniform(150, 230), rng.uniform(0.1, 0.22)

    def tom(tone: float) -> _Maker:
        def make(force: float, rng: np.random.Generator) -> np.ndarray:
            n = int(0.8 * RATE)
            head = _drop(n, 1.5 * tone, tone, 0.03) * decay(n, ring)
            head += 0.3 * _drop(n, 2.4 * tone, 1.59 * tone, 0.03) * decay(n, 0.4 * ring)
            return ramps(head + 0.3 * force * band(noise(n, rng) * decay(n, 0.01), 200, 4000), 0.0005, 0.1)

        return make

    return {f"tom{index}": tom(high / 1.35**index) for index in range(3)}
