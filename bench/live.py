"""Live separation: the time that it takes, and what knowing the past alone costs.

    python bench/live.py
    python bench/live.py --model live.h5 --songs songs/test

The first times networks of the published sizes with random weights, in blocks of one hop, on one core: CPU
time over the sound's, in all and of the fastest and the slowest tenth of the blocks. The second separates
songs, each a folder of mixture.wav and a file a source, and prints the mean over songs of the SDR in dB,
10 log10(|s|² / |s - ŝ|²), of the network's magnitudes alone, through the filter over a whole song and over
chunks of ten seconds, through the causal one with several lengths of its memory, and of the whole live
separation in both precisions.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.level import _song as read_song
from xumx.engines.stream import PRECISIONS
from xumx.network.config import ModelConfig, bandwidth_to_max_bin
from xumx.network.weights import Weights, parameter_shapes
from xumx.separation.separator import Separator
from xumx.signal.causal import MEMORY, CausalFilter
from xumx.signal.stft import istft, stft
from xumx.signal.wiener import wiener

RATE = 44100
SIZES = ((4096, 1024), (2048, 512), (1024, 256))
MEMORIES = (0.5, 1, 2, 5, 10, 20, math.inf)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hidden-size", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=5.0, help="of sound to time (default: %(default)s)")
    parser.add_argument("--model", help="a network to separate songs with")
    parser.add_argument("--songs", type=Path, help="folder of a folder a song")
    args = parser.parse_args()
    if args.model is None:
        times(args.hidden_size, args.seconds)
    else:
        losses(args.model, args.songs)


def times(hidden_size: int, seconds: float) -> None:
    """Print a row a size and precision, and last all as JSON."""
    found: dict[str, float] = {}
    print("| n_fft, hop | latency | precision | CPU time / sound | fastest tenth | slowest tenth |")
    print("| --- | ---: | --- | ---: | ---: | ---: |")
    audio = np.random.default_rng(0).normal(0, 0.1, (round(seconds * RATE), 2)).astype(np.float32)
    for n_fft, n_hop in SIZES:
        config = ModelConfig(
            n_fft=n_fft, n_hop=n_hop, hidden_size=hidden_size, unidirectional=True,
            max_bin=bandwidth_to_max_bin(RATE, n_fft, 16000),
        )  # fmt: skip
        for precision in PRECISIONS:
            live = Separator(_noise(config), precision=precision, context="cpu", threads=1).live()
            took = []
            for start in range(0, len(audio) - n_hop, n_hop):
                began = time.process_time()
                live.push(audio[start : start + n_hop])
                took.append(time.process_time() - began)
            took = sorted(took[n_fft // n_hop :])
            hop = n_hop / RATE
            fast, slow = (took[len(took) * part // 10] / hop for part in (1, 9))
            found[f"{n_fft}.{precision}"] = float(np.mean(took)) / hop
            delay = 1000 * live.latency / RATE
            size = f"| {n_fft}, {n_hop} | {delay:.0f} ms | {precision} "
            print(f"{size}| {np.mean(took) / hop:.2f} | {fast:.2f} | {slow:.2f} |", flush=True)
    print(json.dumps(found))


def losses(model: str, songs: Path) -> None:
    """Print a row a way."""
    separator = Separator(model, level="as-is", context="cpu")
    ways: dict[str, Callable[[np.ndarray], dict[str, np.ndarray]]] = {
        "no filter": Separator(model, level="as-is", niter=0, chunk_dur=0),
        "whole song": lambda audio: _filtered(separator, audio, None),
        "10 s chunks": Separator(model, level="as-is"),
    }
    for memory in MEMORIES:
        ways[f"causal, {memory:g} s"] = lambda audio, memory=memory: _filtered(separator, audio, memory)
    for precision in PRECISIONS:
        made = Separator(model, precision=precision, context="cpu")
        ways[f"live ({MEMORY:g} s), {precision}"] = lambda audio, made=made: _live(made, audio)
    songs_read = [read_song(folder, separator.config.sources) for folder in sorted(songs.iterdir())]
    print("| | " + " | ".join(separator.config.sources) + " | mean |")
    print("| --- |" + " ---: |" * (len(separator.config.sources) + 1))
    for name, way in ways.items():
        scores = np.mean([_sdr(way(mixture), stems) for mixture, stems in songs_read], axis=0)
        print(f"| {name} | " + " | ".join(f"{v:.2f}" for v in (*scores, scores.mean())) + " |", flush=True)


def _filtered(separator: Separator, audio: np.ndarray, memory: float | None) -> dict[str, np.ndarray]:
    """Magnitudes of the network through the causal filter, or that of a whole song for None."""
    config = separator.config
    size = config.n_fft, config.n_hop
    mixture, (magnitude,) = stft(audio, *size), separator.magnitudes(audio)
    if memory is None:
        found = wiener(magnitude, mixture)
    else:
        decay = math.exp(-config.n_hop / (config.sample_rate * memory))
        causal = CausalFilter(len(magnitude), *mixture.shape[1:], decay)
        frames = zip(magnitude.swapaxes(0, 1), mixture, strict=True)
        found = np.stack([causal(v, x) for v, x in frames], axis=1)
    return {name: istft(part, len(audio), *size) for name, part in zip(config.sources, found, strict=True)}


def _live(separator: Separator, audio: np.ndarray) -> dict[str, np.ndarray]:
    pieces = list(separator.live().stream(np.array_split(audio, 50)))
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in separator.stems}


def _sdr(found: dict[str, np.ndarray], stems: dict[str, np.ndarray]) -> list[float]:
    errors = {name: np.sum((stem - found[name]) ** 2) for name, stem in stems.items()}
    return [10 * float(np.log10(np.sum(stems[name] ** 2) / error)) for name, error in errors.items()]


def _noise(config: ModelConfig) -> Weights:
    """Weights as large as those of a network that has been trained."""
    rng = np.random.default_rng(0)
    parameters = {
        source: {
            name: np.ones(shape, np.float32)
            if name.endswith(("/var", "/gamma", "_scale"))
            else rng.normal(0, config.hidden_size**-0.5, shape).astype(np.float32)
            for name, shape in parameter_shapes(config).items()
        }
        for source in config.sources
    }
    return Weights(config, parameters)


if __name__ == "__main__":
    main()
