"""Training samples a second: our reading against that of the musdb package, in one run.

    python bench/data.py
    python bench/data.py --augmentations

A sample is a mix of 6 s of four sources, each from a random place of a random track, with gain and channel
swap; --augmentations shows what each other augmentation adds to that. musdb is used as Sony's X-UMX training
does: chunk_start, chunk_duration, sources[name].audio. The set is made here: tracks of a minute, one of them
the music that stempeg brings, repeated; MUSDB18's longer ones make musdb slower, since it decodes each from
its beginning. Rounds of the two alternate; the table shows their medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import musdb
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.musdb_set import make_musdb
from xumx.data.augment import augmentations
from xumx.data.cache import cached
from xumx.data.musdb import musdb_tracks
from xumx.data.source import Sample, SampleStream, batches
from xumx.data.track import Track
from xumx.network.config import SOURCES

SECONDS = 6.0
RATE = 44100
TARGETS = {"stems": 8, "wav": 40, "cache": 100}
PUBLISHED = ["gain", "channelswap"]
AUGMENTATIONS = augmentations(PUBLISHED)
MORE = ("signflip", "repitch", "equaliser", "codec")


def musdb_sample(tracks: list[musdb.MultiTrack], rng: np.random.Generator) -> Sample:
    targets = []
    for source in SOURCES:
        track = tracks[rng.integers(len(tracks))]
        track.chunk_duration = SECONDS
        track.chunk_start = rng.uniform(0, track.duration - SECONDS)
        audio = track.sources[source].audio
        for augment in AUGMENTATIONS:
            audio = augment(audio, rng)
        targets.append(audio)
    stacked = np.stack(targets).astype(np.float32)
    return Sample(stacked.sum(axis=0), stacked)


def rate_of(draw: Callable[[], object], samples_a_draw: int, seconds: float) -> float:
    """Samples a second over at least ``seconds``, after one draw that is not counted."""
    draw()
    begin, draws = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        draw()
        draws += 1
    return draws * samples_a_draw / (time.perf_counter() - begin)


def ours(
    tracks: list[Track], workers: int, batch_size: int, seconds: float, names: Sequence[str] = PUBLISHED
) -> float:
    chosen = augmentations(names)
    stream = SampleStream(tracks, SOURCES, round(SECONDS * RATE), augmentations=chosen)
    drawn = batches(stream, batch_size, workers=workers)
    try:
        return rate_of(lambda: next(drawn), batch_size, seconds)
    finally:
        drawn.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tracks", type=int, default=4, help="tracks in the set (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=1.0, help="length of each (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=16, help="(default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="threads (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--augmentations", action="store_true", help="only what each augmentation costs")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        roots, tracks = {}, {}
        for kind, is_wav in (("stems", False), ("wav", True)):
            roots[kind] = make_musdb(
                Path(folder, kind), args.tracks, 60 * args.minutes, stems=not is_wav, valid=0, excerpt=True
            )
            tracks[kind] = musdb_tracks(roots[kind], is_wav=is_wav)
        begin = time.perf_counter()
        tracks["cache"] = cached(tracks["stems"], Path(folder, "cache"), progress=False)
        hours = 5 * args.tracks * args.minutes / 60
        print(f"cache of {hours:.2f} h of audio built in {time.perf_counter() - begin:.1f} s")

        if args.augmentations:
            augmented(tracks["cache"], args)
            return
        rng = np.random.default_rng(0)
        ratios: dict[str, float] = {}
        print(f"{'':8}{'musdb':>10}{'0 workers':>12}{f'{args.workers} workers':>12}{'ratio':>8}{'target':>8}")
        for kind, target in TARGETS.items():
            root = roots["wav" if kind == "wav" else "stems"]
            peers = musdb.DB(root=str(root), is_wav=kind == "wav", subsets="train").tracks
            rates = []
            for _ in range(args.rounds):
                peer = rate_of(partial(musdb_sample, peers, rng), 1, 2.0)
                alone, threads = (ours(tracks[kind], n, args.batch_size, 2.0) for n in (0, args.workers))
                rates.append((peer, alone, threads, threads / peer))
            peer, alone, threads, ratio = map(statistics.median, zip(*rates, strict=True))
            ratios[kind] = ratio
            print(f"{kind:8}{peer:10.2f}{alone:12.1f}{threads:12.1f}{ratio:7.0f}x{target:7}x")
    print("samples a second; ratio: with workers, to musdb on the same files (cache: to musdb on stems)")
    print(json.dumps(ratios))


def augmented(tracks: list[Track], args: argparse.Namespace) -> None:
    """What each augmentation beside gain and channel swap costs, drawn in one thread from the cache."""
    print(f"\n{'':28}{'samples/s':>10}{'ms more':>9}")
    sets = {"gain channelswap": PUBLISHED, **{f"+ {name}": [*PUBLISHED, name] for name in MORE}}
    sets["+ all of them"] = [*PUBLISHED, *MORE]
    rates: dict[str, list[float]] = {name: [] for name in sets}
    for _ in range(args.rounds):
        for name, chosen in sets.items():
            rates[name].append(ours(tracks, 0, args.batch_size, 2.0, chosen))
    medians = {name: statistics.median(found) for name, found in rates.items()}
    plain = medians["gain channelswap"]
    for name, rate in medians.items():
        print(f"{name:28}{rate:10.1f}{1000 / rate - 1000 / plain:9.1f}")


if __name__ == "__main__":
    main()
