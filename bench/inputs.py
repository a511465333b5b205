"""``python -m bench.inputs FOLDER SECONDS SONY_SECONDS CLIP_SECONDS``: what :mod:`bench.separate` works on.

song.mp3 and song.wav (the excerpt that stempeg brings, over and over), sony.mp3 and clip.mp3 (its
beginnings), x-umx.h5 and umx/ (random weights of the published sizes, the same arrays in both).
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.networks import random_weights
from xumx.audio import Writer, read
from xumx.network import weights as weights_file
from xumx.network.config import ModelConfig
from xumx.network.weights import Weights


def main(folder: Path, seconds: float, sony_seconds: float, clip_seconds: float) -> None:
    """Make all files in ``folder``."""
    excerpt, rate = read(_excerpt())
    repeats = -(-round(max(seconds, sony_seconds, clip_seconds) * rate) // len(excerpt))
    music = np.tile(excerpt, (repeats, 1))
    for name, length in (
        ("song.mp3", seconds),
        ("song.wav", seconds),
        ("sony.mp3", sony_seconds),
        ("clip.mp3", clip_seconds),
    ):
        with Writer(folder / name, rate, music.shape[1]) as writer:
            writer.write(music[: round(length * rate)])

    weights = random_weights(ModelConfig())
    weights_file.save(folder / "x-umx.h5", weights)
    weights_file.save(folder / "umx", Weights(replace(weights.config, arch="umx"), weights.parameters))


def _excerpt() -> Path:
    # Not imported: stempeg wants the program ffmpeg already for that.
    spec = importlib.util.find_spec("stempeg")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the music comes with the package stempeg: pip install stempeg")
    folder = Path(spec.submodule_search_locations[0], "data")
    excerpts = sorted(folder.glob("*.stem.mp4"))
    if not excerpts:
        raise SystemExit(f"{folder}: this stempeg brings no music; pip install stempeg==0.2.*")
    return excerpts[0]


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(float, sys.argv[2:5]))
