"""What the level of a song costs a network, with and without --level auto.

    python -m xumx.demo dataset --out songs --tracks 0 --valid 0 --test 10 --duration 20 --seed 7 --format wav
    python bench/level.py --model demo --songs songs/test

Separates each song, whose folder holds mixture.wav and a file a source, with gains from -30 to +12 dB, and
takes the gain off the stems again. Prints the mean over songs and sources of the SDR in dB,
10 log10(|s|² / |s - ŝ|²); of stempeg's excerpt of real music too, where stempeg is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

import numpy as np

from xumx.audio import read
from xumx.separation.level import LEVELS
from xumx.separation.separator import Separator

GAINS = (-30, -24, -18, -15, -12, -9, -6, -3, 0, 3, 6, 9, 12)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="demo")
    parser.add_argument("--songs", type=Path, required=True, help="folder of a folder a song")
    parser.add_argument("--most", type=int, default=8, help="songs to take (default: %(default)s)")
    args = parser.parse_args()
    separators = {level: Separator(args.model, level=level) for level in LEVELS}
    sources = separators["auto"].config.sources
    sets = {"songs": [_song(folder, sources) for folder in sorted(args.songs.iterdir())[: args.most]]}
    if importlib.util.find_spec("stempeg"):
        sets["stempeg's excerpt"] = [_excerpt(sources)]
    print("| gain | " + " | ".join(f"{name}, {level}" for name in sets for level in LEVELS) + " |")
    print("| ---: |" + " ---: |" * len(sets) * len(LEVELS))
    for gain in GAINS:
        row = [
            float(np.mean([sdr(separators[level], *song, 10 ** (gain / 20)) for song in songs]))
            for songs in sets.values()
            for level in LEVELS
        ]
        print(f"| {gain} dB | " + " | ".join(f"{value:.2f}" for value in row) + " |", flush=True)


def sdr(separator: Separator, mixture: np.ndarray, stems: dict[str, np.ndarray], gain: float) -> float:
    """Mean over sources, of a song separated with this gain."""
    found = separator(mixture * np.float32(gain))
    errors = {name: np.sum((stem - found[name] / gain) ** 2) for name, stem in stems.items()}
    return float(np.mean([10 * np.log10(np.sum(stems[name] ** 2) / error) for name, error in errors.items()]))


def _song(folder: Path, sources: tuple[str, ...]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    mixture, *stems = (read(folder / f"{name}.wav")[0] for name in ("mixture", *sources))
    return mixture, dict(zip(sources, stems, strict=True))


def _excerpt(sources: tuple[str, ...]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    import stempeg

    audio, _ = stempeg.read_stems(stempeg.example_stem_path())
    mixture, *stems = audio.astype(np.float32)
    named = dict(zip(("drums", "bass", "other", "vocals"), stems, strict=True))
    return mixture, {source: named[source] for source in sources}


if __name__ == "__main__":
    main()
