"""Small data sets of files in folders, of generated audio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile

from xumx.audio import Writer

RATE = 44100


def noise(seconds: float, seed: int | Sequence[int] = 0, rate: int = RATE, channels: int = 2) -> np.ndarray:
    """Noise whose level wanders, as that of music does: (channels, samples) float32."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * rate)
    level = np.interp(np.linspace(0, 20, samples), np.arange(21), rng.uniform(0, 1, 21) ** 2)
    white = rng.uniform(-1, 1, (channels, samples))
    audio = np.array([np.convolve(row, np.hanning(24), "same") for row in white])  # below some 4 kHz
    return (0.3 * level * audio / np.abs(audio).max()).astype(np.float32)


def write(path: Path, audio: np.ndarray, rate: int = RATE) -> Path:
    """A file of the format that its suffix says: 16-bit wav or flac, or whatever xumx writes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() in (".wav", ".flac"):
        soundfile.write(path, audio.T, rate, subtype="PCM_16")
    else:
        with Writer(path, rate, len(audio)) as writer:
            writer.write(np.ascontiguousarray(audio.T))
    return path


def write_track(
    folder: Path,
    files: Sequence[str],
    seconds: float = 1.0,
    seed: int = 0,
    rate: int = RATE,
    channels: int = 2,
) -> dict[str, np.ndarray]:
    """A folder with a file of each name; a file ``mixture`` is the sum of the others. The audio by name."""
    audio = {
        name: noise(seconds, [seed, number], rate, channels)
        for number, name in enumerate(name for name in files if not name.startswith("mixture."))
    }
    for name in files:
        if name.startswith("mixture."):
            audio[name] = sum(audio.values(), start=np.zeros_like(next(iter(audio.values()))))
    for name, samples in audio.items():
        write(folder / name, samples, rate)
    return audio


def write_tracks(
    root: Path,
    parts: Mapping[str, int],
    files: Sequence[str],
    seconds: float = 1.0,
    rate: int = RATE,
    channels: int = 2,
) -> Path:
    """Folders of tracks, as many as each part (such as ``train``) is to have."""
    for place, (part, count) in enumerate(parts.items()):
        for number in range(count):
            write_track(root / part / f"song {number}", files, seconds, 100 * place + number, rate, channels)
    return root
