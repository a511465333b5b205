"""Small sets in MUSDB18's layout, made of generated audio, for any test that needs tracks."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import soundfile

RATE = 44100
STREAMS = ("mixture", "drums", "bass", "other", "vocals")
"""The streams of a stem file, in order."""

VALIDATION_NAMES = ("ANiMAL - Rockshow", "Actions - One Minute Smile", "Alexander Ross - Goodbye Bolero")
"""Some of the tracks that MUSDB18 sets apart for validation."""


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
            audio = generate(samples, np.random.default_rng([seed, index]))
        if stems:
            write_stems(root / subset / f"{name}.stem.mp4", audio)
        else:
            write_wavs(root / subset / name, audio)

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, range(len(names))))
    return root


def generate(samples: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Half a bar of everything: (2, samples) float32 a source, and their sum as the mixture."""
    time = np.arange(samples, dtype=np.float32) / RATE
    beat = int(RATE * rng.uniform(0.3, 0.6))
    since = (np.arange(samples) % beat).astype(np.float32) / RATE
    step = np.arange(samples) // beat
    root = 55.0 * 2 ** (rng.integers(0, 12, 64)[step % 64] / 12)
    phase = np.cumsum(2 * np.pi * root / RATE)
    vibrato = 0.05 * np.sin(2 * np.pi * 5.5 * time)
    sources = {
        "bass": np.sin(phase) * np.exp(-3 * since),
        "drums": rng.standard_normal(samples, np.float32) * np.exp(-25 * since),
        "vocals": sum(np.sin(k * (4 * phase + vibrato)) / k for k in (1, 2, 3)) * (step % 4 < 3),
        "other": sum(np.sin(ratio * 3 * phase) for ratio in (1, 1.25, 1.5)) / 3,
    }
    stereo = {}
    for name, mono in sources.items():
        left = rng.uniform(0.3, 0.7)
        stereo[name] = (0.25 * np.stack([left * mono, (1 - left) * mono])).astype(np.float32)
    return {"mixture": sum(stereo.values(), start=np.zeros((2, samples), np.float32)), **stereo}


def excerpt_stems(samples: int) -> dict[str, np.ndarray]:
    """The 6 s of music that stempeg brings, repeated: (2, samples) float32 a stream."""
    import stempeg

    audio, _ = stempeg.read_stems(stempeg.example_stem_path(), dtype=np.float32)
    looped = [np.resize(stream, (samples, 2)).T.copy() for stream in audio]
    return dict(zip(STREAMS, looped, strict=True))


def write_stems(path: Path, audio: dict[str, np.ndarray], bit_rate: int = 96000) -> None:
    """A stem file: encoded fast, and without noise substitution, which would depend on seeks."""
    options = {"aac_coder": "fast"} | dict.fromkeys(("aac_pns", "aac_tns", "aac_ms", "aac_is"), "0")
    with av.open(str(path), "w", format="mp4") as container:
        streams = []
        for _ in STREAMS:
            stream = container.add_stream("aac", rate=RATE, options=options)
            stream.bit_rate, stream.layout, stream.format = bit_rate, "stereo", "fltp"
            streams.append(stream)
        for start in range(0, audio["mixture"].shape[1], 1024):
            for stream, name in zip(streams, STREAMS, strict=True):
                block = np.ascontiguousarray(audio[name][:, start : start + 1024])
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
                frame.sample_rate, frame.pts = RATE, start
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))


def write_wavs(folder: Path, audio: dict[str, np.ndarray]) -> None:
    """A folder of 16-bit wav files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, channels in audio.items():
        soundfile.write(folder / f"{name}.wav", channels.T, RATE, subtype="PCM_16")
