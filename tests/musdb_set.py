"""Small sets in MUSDB18's layout, made of generated audio, for any test that needs tracks."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile

from xumx.synth import RATE, song
from xumx.synth.dataset import STREAMS, write_stems

Compose = Callable[[int, np.random.Generator], dict[str, np.ndarray]]
"""From a number of samples to (2, samples) float32 a source, and their sum as the mixture."""

VALIDATION_NAMES = ("ANiMAL - Rockshow", "Actions - One Minute Smile", "Alexander Ross - Goodbye Bolero")
"""Some of the tracks that MUSDB18 sets apart for validation."""


def generate(samples: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A short song."""
    return song(samples / RATE, rng)


BANDS = {"bass": (50, 250), "vocals": (600, 1500), "other": (2500, 4500), "drums": (7000, 12000)}
"""In Hz: where each source of `bands` is alone."""


def bands(samples: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Tones that come and go, each source in a band of its own.

    What a network is to do is the same in all frames and songs, so any learns it in a few dozen steps, by
    whatever rounding. Of noise AAC would leave only the impression.
    """
    t = np.arange(samples) / RATE
    audio = {}
    for source, edges in BANDS.items():
        tones = np.zeros((2, samples))
        for pitch in np.geomspace(*edges, 8):
            level = np.interp(t, np.linspace(0, t[-1], 9), rng.uniform(0.2, 1, 9))
            tones += rng.uniform(0.3, 1, (2, 1)) * level * np.sin(2 * np.pi * (pitch * t + rng.uniform()))
        audio[source] = (0.08 * tones / tones.std()).astype(np.float32)
    return {**audio, "mixture": np.sum(list(audio.values()), axis=0)}


def mono(samples: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A short song in one channel, which is scored eight times as fast as in two."""
    return {name: audio[:1] for name, audio in generate(samples, rng).items()}


def make_musdb(
    root: str | os.PathLike[str],
    tracks: int = 4,
    seconds: float = 8.0,
    *,
    stems: bool = True,
    seed: int = 0,
    valid: int = 1,
    test: int = 0,
    excerpt: bool = False,
    compose: Compose = generate,
) -> Path:
    """Write a set of stem files, or of folders of wav files, that musdb reads too.

    Parameters
    ----------
    root : path
        Folder to write ``train`` and ``test`` into.
    tracks, valid, test : int
        Training tracks ("Track 0 - Take 0", ...), validation tracks (up to 3, with MUSDB18's names) and
        test tracks.
    seconds : float
        Length of each track.
    stems : bool
        Whether to write ``.stem.mp4`` (AAC) or wav (16-bit).
    seed : int
        Of the audio; each track has its own.
    excerpt : bool
        Make the first training track from the recording that stempeg brings, repeated, in place of
        generated audio.
    compose : callable
        Generates the audio of a track.
    """
    root = Path(root)
    names = [("train", f"Track {index} - Take {index}") for index in range(tracks)]
    names += [("train", name) for name in VALIDATION_NAMES[:valid]]
    names += [("test", f"Test {index} - Take {index}") for index in range(test)]
    for subset in ("train", "test"):
        (root / subset).mkdir(parents=True, exist_ok=True)

    def write(index: int) -> None:
        subset, name = names[index]
        samples = round(seconds * RATE)
        if excerpt and index == 0:
            audio = excerpt_stems(samples)
        else:
            audio = compose(samples, np.random.default_rng([seed, index]))
        if stems:
            write_stems(root / subset / f"{name}.stem.mp4", audio, bit_rate=96000)
        else:
            write_wavs(root / subset / name, audio)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(len(names))))
    return root


def excerpt_stems(samples: int) -> dict[str, np.ndarray]:
    """The 6 s of music that stempeg brings, repeated: (2, samples) float32 a stream."""
    import stempeg

    audio, _ = stempeg.read_stems(stempeg.example_stem_path(), dtype=np.float32)
    looped = [np.resize(stream, (samples, 2)).T.copy() for stream in audio]
    return dict(zip(STREAMS, looped, strict=True))


def write_wavs(folder: Path, audio: dict[str, np.ndarray]) -> None:
    """A folder of 16-bit wav files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, channels in audio.items():
        soundfile.write(folder / f"{name}.wav", channels.T, RATE, subtype="PCM_16")
