"""How much separating in chunks changes the stems, at the joins and elsewhere.

    python bench/joins.py --input song.mp3 --model weights.h5 --plot joins.png

Separates the song whole and in chunks of 10 s at several overlaps, and prints the level of the
difference between the two, in dB below the stems: within 0.25 s of where a chunk begins or ends, and
elsewhere. A chunk's blend hides its joins where the first column is no higher than the second.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from xumx.audio import read
from xumx.network.weights import load
from xumx.separation.separator import Separator

OVERLAPS = (0.0, 0.02, 0.05, 0.1, 0.25, 0.5)
NEAR = 0.25
"""Seconds around a join."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--input", required=True, help="a song of a minute or more")
    parser.add_argument("--model", default="x-umx")
    parser.add_argument("--chunk-dur", type=float, default=10.0)
    parser.add_argument("--plot", help="PNG of the difference over time")
    args = parser.parse_args()

    weights = load(args.model) if Path(args.model).exists() else args.model
    audio, rate = read(args.input, sample_rate=44100, channels=2)
    whole = Separator(weights, chunk_dur=0)(audio)
    level = 10 * np.log10(np.mean([(stem**2).mean() for stem in whole.values()]))
    print("| overlap | at joins | elsewhere | worst 50 ms |\n| --- | --- | --- | --- |")
    curves = {}
    for overlap in OVERLAPS:
        chunked = Separator(weights, chunk_dur=args.chunk_dur, overlap=overlap)(audio)
        error = np.mean([((chunked[s] - whole[s]) ** 2).mean(axis=1) for s in whole], axis=0)
        near = _near_joins(len(audio), args.chunk_dur * rate, overlap, NEAR * rate)
        window = rate // 20
        curve = 10 * np.log10(error[: len(error) // window * window].reshape(-1, window).mean(axis=1) + 1e-20)
        curves[overlap] = curve - level
        figures = [10 * np.log10(error[part].mean()) - level for part in (near, ~near)]
        print(
            f"| {overlap:.2f} | {figures[0]:.1f} dB | {figures[1]:.1f} dB | {curves[overlap].max():.1f} dB |"
        )
    if args.plot:
        _plot(curves, args.plot)


def _near_joins(samples: int, length: float, overlap: float, near: float) -> np.ndarray:
    mask = np.zeros(samples, bool)
    hop = length * (1 - overlap)
    starts = np.arange(hop, samples, hop)
    for join in np.concatenate([starts, starts - hop + length]):
        mask[max(int(join - near), 0) : int(join + near)] = True
    return mask


def _plot(curves: dict[float, np.ndarray], path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(curves), sharex=True, sharey=True, figsize=(10, 1.6 * len(curves)))
    for axis, (overlap, curve) in zip(axes, curves.items(), strict=True):
        axis.plot(np.arange(len(curve)) / 20, curve, linewidth=0.8)
        axis.set_ylabel(f"{overlap:.0%}")
        axis.grid(alpha=0.3)
    axes[0].set_title("chunked against whole: difference in dB below the stems, by overlap")
    axes[-1].set_xlabel("seconds")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
