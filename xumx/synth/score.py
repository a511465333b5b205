"""What is to be played: tempo, key, chords, the form of the song, and melodies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from xumx.synth.sound import RATE, Note

PARTS = ("drums", "bass", "other", "vocals")
"""The sources of a song, in the order in which they are summed."""

_SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
}
_PROGRESSIONS = {  # scale degrees, from 0, a chord a bar
    "major": ("0453", "0534", "0344", "5304", "1400", "0304", "0253", "3405", "0145", "0033"),
    "minor": ("0526", "0653", "0634", "0345", "0025", "0536", "0056", "5606", "0264", "0366"),
    "dorian": ("0303", "0203", "0636", "0016", "0363"),
    "mixolydian": ("0630", "0603", "0364", "0060", "0346"),
}
_FORM = ("intro", "verse", "chorus", "verse", "break", "chorus", "bridge", "solo", "chorus")
_ABSENT = {  # how likely a source is silent in a section of this kind
    "intro": {"drums": 0.4, "bass": 0.4, "other": 0.0, "vocals": 0.7},
    "verse": {"drums": 0.05, "bass": 0.05, "other": 0.1, "vocals": 0.03},
    "chorus": {"drums": 0.0, "bass": 0.0, "other": 0.0, "vocals": 0.03},
    "break": {"drums": 0.7, "bass": 0.3, "other": 0.1, "vocals": 0.3},
    "bridge": {"drums": 0.2, "bass": 0.15, "other": 0.15, "vocals": 0.2},
    "solo": {"drums": 0.05, "bass": 0.05, "other": 0.0, "vocals": 0.9},
}
_ENERGY = {"intro": 0.55, "verse": 0.7, "chorus": 1.0, "break": 0.5, "bridge": 0.75, "solo": 0.9}


@dataclass(frozen=True)
class Section:
    """Some bars of one character.

    Parameters
    ----------
    kind : str
        'verse', 'chorus' ...
    first, bars : int
        Where it begins, and its length, in bars of the song.
    chords : tuple of int
        The scale degree of each bar's chord.
    parts : frozenset of str
        The sources that play.
    energy : float
        0.5 to 1: how loud and how busy.
    """

    kind: str
    first: int
    bars: int
    chords: tuple[int, ...]
    parts: frozenset[str]
    energy: float


@dataclass(frozen=True)
class Score:
    """A song before anyone plays it.

    Parameters
    ----------
    samples : int
        Length of the audio.
    tempo : float
        Beats a minute.
    beats : int
        Of a bar, of four steps each.
    swing : float
        How much the second of two steps is late, in steps.
    swung : int
        1 if sixteenths swing, 2 if eighths do.
    key : int
        Pitch class of the tonic.
    scale : tuple of int
        Its seven degrees, in semitones from the tonic.
    seventh : bool
        Chords of four notes.
    sections : tuple of Section
    """

    samples: int
    tempo: float
    beats: int
    swing: float
    swung: int
    key: int
    scale: tuple[int, ...]
    seventh: bool
    sections: tuple[Section, ...]

    @property
    def steps(self) -> int:
        """Sixteenths in a bar."""
        return 4 * self.beats

    @property
    def step(self) -> float:
        """Length of a sixteenth in seconds."""
        return 15 / self.tempo

    def time(self, bar: int, step: float) -> float:
        """Return the second at which a step of a bar begins, swing included."""
        late = int(step) // self.swung % 2 * self.swing * self.swung
        return (bar * self.steps + step + late) * self.step

    def pitch(self, degree: int, octave: int = 0) -> int:
        """Return the MIDI pitch of a scale degree, 0 to 6 or beyond; degree 0 of octave 4 is in 60 to 71."""
        return 12 * (octave + 1 + degree // 7) + self.key + self.scale[degree % 7]

    def chord(self, degree: int, low: float, high: float) -> list[int]:
        """List the MIDI pitches of a chord from one pitch to another, both included, upwards."""
        tones = {self.pitch(degree + third) % 12 for third in ((0, 2, 4, 6) if self.seventh else (0, 2, 4))}
        return [pitch for pitch in range(round(low), round(high) + 1) if pitch % 12 in tones]


def compose(samples: int, rng: np.random.Generator) -> Score:
    """Write a score that fills so many samples at 44100 Hz.

    Short songs get short sections, and very short ones just one. Each source plays in half of the sections at
    least.

    Examples
    --------
    >>> score = compose(60 * RATE, np.random.default_rng(3))
    >>> len(score.sections) > 1, len(compose(RATE, np.random.default_rng(3)).sections)
    (True, 1)
    >>> score.pitch(7) - score.pitch(0), score.steps == 4 * score.beats
    (12, True)
    """
    mode = str(rng.choice(list(_SCALES), p=[0.4, 0.35, 0.15, 0.1]))
    tempo = float(np.clip(rng.normal(112, 24), 66, 176))
    beats = 3 if rng.uniform() < 0.12 else 4
    swing = float(rng.uniform(0.2, 0.62)) if rng.uniform() < 0.35 else 0.0
    bars = int(np.ceil(samples / RATE * tempo / 60 / beats))
    chords = {
        kind: tuple(int(degree) for degree in rng.choice(_PROGRESSIONS[mode]))
        for kind in dict.fromkeys(_FORM)
    }
    return Score(
        samples=samples,
        tempo=tempo,
        beats=beats,
        swing=swing,
        swung=2 if tempo > 105 else 1,
        key=int(rng.integers(12)),
        scale=_SCALES[mode],
        seventh=bool(rng.uniform() < 0.35),
        sections=tuple(_sections(bars, chords, rng)),
    )


def _sections(bars: int, chords: dict[str, tuple[int, ...]], rng: np.random.Generator) -> list[Section]:
    if bars < 8:
        kinds, length = ["chorus"], bars
    else:
        length = 2 if bars < 12 else 4 if bars < 36 else 8
        start = int(rng.integers(0, 3)) if bars < 9 * length else 0
        count = -(-bars // length)
        kinds = [_FORM[(start + index) % len(_FORM)] for index in range(count)]
    sections: list[Section] = []
    for index, kind in enumerate(kinds):
        first = index * length
        size = min(length, bars - first)
        absent = _ABSENT[kind] if len(kinds) > 1 else {}
        parts = {part for part in PARTS if rng.uniform() >= absent.get(part, 0)}
        if len(parts) < 2:
            parts |= {"other", "bass"}
        progression = tuple(chords[kind][bar % 4] for bar in range(size))
        energy = _ENERGY[kind] * float(rng.uniform(0.9, 1.0))
        sections.append(Section(kind, first, size, progression, frozenset(parts), energy))
    for part in PARTS:  # each has at least half of the song
        without = [index for index, section in enumerate(sections) if part not in section.parts]
        while 2 * len(without) > len(sections):
            index = without.pop(int(rng.integers(len(without))))
            sections[index] = replace(sections[index], parts=sections[index].parts | {part})
    return sections


def melody(
    score: Score, section: Section, low: int, high: int, rng: np.random.Generator, density: float = 1.0
) -> list[list[Note]]:
    """Write phrases of two bars: motifs that return, chord notes on beats, rests at the end.

    Parameters
    ----------
    score : Score
    section : Section
        Which one to fill.
    low, high : int
        MIDI pitches between which the melody stays.
    rng : numpy.random.Generator
    density : float
        More than 1 for more short notes, less for fewer.

    Returns
    -------
    list of list of Note
        A list a phrase; times are those of the song.
    """
    span = 2 * score.steps
    motifs = [_rhythm(span, density, rng) for _ in range(2)]
    pitch = float(rng.uniform(low + 3, high - 3))
    ladder = [p for p in range(low, high + 1) if (p - score.key) % 12 in score.scale]
    phrases = []
    for number, bar in enumerate(range(section.first, section.first + section.bars, 2)):
        notes = []
        for step, length in motifs[number % 4 == 2]:
            if bar + step // score.steps >= section.first + section.bars:
                break
            degree = section.chords[bar + step // score.steps - section.first]
            strong = step % 4 == 0 or length >= 4
            choices: Sequence[int] = score.chord(degree, low, high) if strong else ladder
            target = pitch + rng.normal(0, 2.2) + 0.15 * ((low + high) / 2 - pitch)
            pitch = min(choices, key=lambda p: abs(p - target))
            start = score.time(bar + step // score.steps, step % score.steps)
            notes.append(Note(start, length * score.step, pitch, float(rng.uniform(0.6, 1.0))))
        if notes:
            phrases.append(notes)
    return phrases


def _rhythm(span: int, density: float, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Steps and lengths of a phrase's notes, with a rest behind the last."""
    lengths = np.array([1, 2, 3, 4, 6, 8])
    odds = np.array([0.1 * density, 0.36 * density, 0.14, 0.22, 0.1, 0.08])
    step = int(rng.choice([0, 0, 0, 2, 2, 4]))
    end = span - int(rng.integers(2, span // 4 + 1))
    rhythm = []
    while step < end:
        length = int(min(rng.choice(lengths, p=odds / odds.sum()), end - step))
        if rng.uniform() < 0.92:
            rhythm.append((step, length))
        step += length
    if rhythm:  # the last is held
        rhythm[-1] = (rhythm[-1][0], max(rhythm[-1][1], min(4, span - rhythm[-1][0] - 1)))
    return rhythm
