"""Singing by spoken voices: vowels stretched over a score's notes, consonants as they were spoken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter1d

from xumx.synth.sound import RATE, Note, Singer, place, wander
from xumx.synth.speech import FRAME, Speech, world

_FFT = 1024
_EDGE = 7  # frames of a vowel's beginning and end that are not stretched


@dataclass(frozen=True)
class Spoken(Singer):
    """A singer with the voice of a speaker.

    Parameters
    ----------
    tilt, ring : float
        dB an octave above 1 kHz and around 3 kHz that singing has more than speaking.
    breath : float
        Added to the aperiodicity.
    air : float
        dB an octave that the voice falls above what its recording holds.
    speaks : float
        0 sings, 1 leaves the speech's own melody around the notes.
    """

    tilt: float
    ring: float
    breath: float
    air: float
    speaks: float = 0.0


def random_singer(speech: Speech, rng: np.random.Generator) -> Spoken:
    """Draw a singer whose voice is that of a speaker, or of a smaller or larger one."""
    u = rng.uniform
    size = float(np.clip(rng.normal(1.0, 0.07), 0.86, 1.18))
    spoken = 69 + 12 * np.log2(speech.height * size**2 / 440)
    low = int(np.clip(round(spoken + u(0, 10)), 41, 63))
    return Spoken(
        low=low,
        high=low + int(rng.integers(13, 19)),
        size=size,
        tilt=float(u(0.0, 3.5)),
        ring=float(u(0, 6)),
        breath=float(u(0, 0.12)),
        air=float(u(6, 14)),
        rate=float(u(4.6, 6.6)),
        depth=float(u(5, 80)),
        glide=float(u(0.02, 0.09)),
        scoop=float(u(0, 2.5)),
    )


class _Take(NamedTuple):
    """What a phrase is made of, frame by frame."""

    source: np.ndarray  # position in the speech; -1 is silence
    pitch: np.ndarray  # MIDI pitch of the notes
    level: np.ndarray  # velocity of the note
    vibrato: np.ndarray  # 0 to 1


def sing(
    speech: Speech, singer: Spoken, phrases: Sequence[Sequence[Note]], samples: int, rng: np.random.Generator
) -> np.ndarray:
    """Sing phrases with the words of a speech: (samples,) float32, silent between them.

    Each phrase has words from another place, except that one of the same rhythm as before may repeat them.
    """
    audio = np.zeros(samples, np.float32)
    words: dict[tuple[float, ...], int] = {}
    for phrase in phrases:
        notes = [note for note in phrase if note.start < samples / RATE - 0.1]
        if not notes:
            continue
        rhythm = tuple(round(note.start - notes[0].start, 2) for note in notes)
        first = words.get(rhythm) if rng.uniform() < 0.6 else None
        if first is None:
            first = words[rhythm] = int(rng.integers(len(speech.syllables)))
        syllables = speech.syllables[(first + np.arange(len(notes))) % len(speech.syllables)]
        begin = max(notes[0].start - 0.35, 0.0)
        take = _perform(notes, syllables, begin, rng)
        place(audio, begin, _sound(speech, singer, take, rng))
    return audio


def _perform(notes: Sequence[Note], syllables: np.ndarray, begin: float, rng: np.random.Generator) -> _Take:
    """Give each note a syllable: its vowel from the beginning of the note to the next one's consonants."""
    starts = [round((note.start - begin) / FRAME) for note in notes]
    ends = [round((note.start + note.length - begin) / FRAME) for note in notes]
    for index in range(len(notes) - 1):
        if starts[index + 1] - ends[index] < 0.12 / FRAME:
            ends[index] = starts[index + 1]  # legato
        starts[index + 1] = max(starts[index + 1], starts[index] + 8)
        ends[index] = min(max(ends[index], starts[index] + 6), starts[index + 1])
    ends[-1] = max(ends[-1], starts[-1] + 8)
    frames = ends[-1] + 60
    take = _Take(np.full(frames, -1.0), *np.zeros((3, frames)))
    edge = 0  # before which all is written
    for index, (_, begins, vowel, after, over) in enumerate(syllables):
        start, end = starts[index], ends[index]
        onset = min(int(vowel - begins), max(start - edge, 0), 40)
        take.source[start - onset : start] = vowel - onset + np.arange(onset)
        joined = index + 1 < len(notes) and starts[index + 1] == end
        if joined:  # the next one's consonants take of this vowel's time
            following = syllables[index + 1]
            end -= min(int(following[2] - following[1]), (end - start) // 2, 40)
        coda = min(int(over - after), 24, (end - start) // 3 if joined else 24, frames - end)
        if joined:
            end -= coda
        take.source[start:end] = _stretched(int(vowel), int(after), end - start, rng)
        take.source[end : end + coda] = after + np.arange(coda)
        edge = end + coda
        later = slice(start - onset if index else 0, None)
        take.pitch[later] = notes[index].pitch
        take.level[later] = notes[index].velocity
        if end - start > 50:
            take.vibrato[start:end] = np.clip((np.arange(end - start) * FRAME - 0.15) / 0.25, 0, 1)
    return take


def _stretched(first: int, last: int, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Positions from a vowel's first frame to its last: only its middle is slower."""
    length = last - first
    if frames <= length or length < 3:
        return np.linspace(first, max(last - 1, first), frames)
    edge = min(_EDGE, length // 3)
    middle = np.linspace(first + edge, last - edge, frames - 2 * edge)
    middle += uniform_filter1d(rng.normal(0, 3.0, len(middle)), 15)
    middle = np.clip(middle, first, last - 1)
    return np.concatenate([first + np.arange(edge), middle, last - edge + np.arange(edge)])


def _sound(speech: Speech, singer: Spoken, take: _Take, rng: np.random.Generator) -> np.ndarray:
    """Let WORLD say what a take is: (samples,) float32."""
    heard = take.source >= 0
    at = np.clip(take.source, 0, len(speech.pitch) - 1.001)
    row, share = at.astype(int), (at % 1)[:, None].astype(np.float32)
    envelope = speech.envelope[row].astype(np.float32) * (1 - share) + speech.envelope[row + 1] * share
    noise = speech.aperiodicity[row].astype(np.float32)
    voiced = (speech.pitch[row] > 0) & heard
    loud = np.log(np.exp(envelope).mean(axis=1))
    # Every vowel becomes as loud as its note asks; what is between keeps its distance to them.
    vowels = voiced & (np.diff(take.source, prepend=-1) < 0.999)
    if not vowels.any():
        vowels = voiced if voiced.any() else heard
    moments = np.flatnonzero(vowels)
    reference = np.interp(np.arange(len(at)), moments, uniform_filter1d(loud[moments], min(15, len(moments))))
    gain = 2 * np.log(0.35 + 0.65 * take.level) - reference + 0.1 * _wander(len(at), 0.3, rng)
    gain = uniform_filter1d(gain, 9)
    spectrum, rough = _spectra(speech, singer, envelope, noise, voiced, rng)
    spectrum += gain[:, None]
    fade = uniform_filter1d(heard.astype(float), 5)
    spectrum += 2 * np.log(np.maximum(fade, 1e-4))[:, None]
    pitch = np.where(voiced, _pitch(speech, singer, take, row, rng), 0.0)
    power, rough = (np.ascontiguousarray(what) for what in (np.exp(spectrum), rough))
    audio = world().synthesize(pitch, power, rough, RATE, 1000 * FRAME)
    return audio.astype(np.float32)


def _spectra(
    speech: Speech,
    singer: Spoken,
    envelope: np.ndarray,
    noise: np.ndarray,
    voiced: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Logarithm of the power and aperiodicity at WORLD's frequencies, (frames, bins), up to half of `RATE`.

    Above what the recording holds, the voice goes on from its last part, falling, and more and more as noise.
    """
    half = float(speech.hertz[-1])
    bins = np.arange(_FFT // 2 + 1) * (RATE / _FFT)
    spoken = bins / singer.size
    top = min(0.86 * half, 15000.0)
    places = np.interp(np.minimum(spoken, top), speech.hertz, np.arange(len(speech.hertz)))
    low = np.minimum(places.astype(int), len(speech.hertz) - 2)
    share = (places - low).astype(np.float32)
    spectrum = envelope[:, low] * (1 - share) + envelope[:, low + 1] * share
    beyond = np.log2(np.maximum(spoken / top, 1.0))
    if beyond.any():
        last = (speech.hertz > 0.75 * top) & (speech.hertz < top)
        level = envelope[:, last].mean(axis=1, keepdims=True)
        drop = np.where(voiced, singer.air, 0.6 * singer.air)[:, None] * (np.log(10) / 10)
        above = spoken > top
        spectrum[:, above] = level - drop * (0.25 + beyond[above])
    octaves = np.log2(np.maximum(bins, 500) / 1000)
    effort = singer.tilt * np.minimum(octaves, 3) + singer.ring * np.exp(
        -((np.log2(np.maximum(bins, 1) / 3000) / 0.4) ** 2)
    )
    spectrum = spectrum + np.where(voiced, 1.0, 0.4)[:, None] * (effort * np.log(10) / 10)
    spectrum -= (np.log(10) / 10) * 40 * np.maximum(np.log2(np.maximum(bins, 1) / 16500), 0)
    grid = np.linspace(0, half, noise.shape[1])
    places = np.interp(np.minimum(spoken, top), grid, np.arange(len(grid)))
    low = np.minimum(places.astype(int), len(grid) - 2)
    share = (places - low).astype(np.float32)
    rough = noise[:, low] * (1 - share) + noise[:, low + 1] * share
    rough = rough + singer.breath * np.clip(octaves, 0, 3) + 0.3 * np.minimum(beyond, 1)
    return spectrum.astype(np.float64), np.clip(rough, 0.001, 0.999).astype(np.float64)


def _pitch(
    speech: Speech, singer: Spoken, take: _Take, row: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The fundamental in Hz: notes, glides, vibrato, and the unrest of every voice."""
    frames = len(take.pitch)
    width = max(int(singer.glide / FRAME), 1)
    pitch = uniform_filter1d(uniform_filter1d(take.pitch, width), width)
    first = int(np.argmax(take.source >= 0))
    pitch -= singer.scoop * np.exp(-np.maximum(np.arange(frames) - first, 0) * FRAME / 0.07)
    rate = singer.rate * (1 + 0.05 * _wander(frames, 0.3, rng))
    pitch += (
        singer.depth / 100 * take.vibrato * np.sin(2 * np.pi * np.cumsum(rate) * FRAME + rng.uniform(0, 6))
    )
    pitch += 0.12 * _wander(frames, 0.15, rng) + 0.03 * rng.standard_normal(frames)
    if singer.speaks:
        own = speech.pitch[row]
        own = np.where(own > 0, own, speech.height)
        pitch += singer.speaks * uniform_filter1d(12 * np.log2(own / speech.height), 5)
    return np.asarray(440 * 2 ** ((pitch - 69) / 12))


def _wander(frames: int, seconds: float, rng: np.random.Generator) -> np.ndarray:
    return wander(frames, seconds / (FRAME * RATE), rng)
