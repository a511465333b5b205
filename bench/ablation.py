"""What each part of docs/training-extras.md brings: networks with and without it, scored on unseen songs.

    python bench/ablation.py --output ablation

Songs are composed by xumx.synth. A run is one row of the table with one seed; all see as many samples, and
CPU seconds are beside them. What is done is not done again, so that rows and seeds can be added. The score is
the SDR of the MDX challenge, the mean over test songs of the mean over sources. The differences are paired:
of each seed to that of the baseline, which begins with the same weights and the same samples.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.musdb_set import make_musdb
from xumx.data.musdb import musdb_tracks
from xumx.separation.separator import Separator
from xumx.signal.metrics import sdr
from xumx.train import record
from xumx.train.__main__ import main as train

AUGMENTED = ("signflip", "repitch", "equaliser", "codec")
PARTS: dict[str, list[str]] = {
    "baseline": [],
    "clip norm 1": ["--clip-norm", "1"],
    "EMA 0.99": ["--ema", "0.99"],
    "cosine": ["--lr-schedule", "cosine"],
    "accumulate 2": ["--accumulate", "2"],
    **{name: ["--source-augmentations", "gain", "channelswap", name] for name in AUGMENTED},
    "mixture level 12": ["--mixture-level", "12"],
    "redraw silence": ["--redraw-silence"],
    "select sdr": ["--validate-sdr", "--select", "sdr"],
    "all": [
        *("--clip-norm", "1", "--ema", "0.99", "--lr-schedule", "cosine", "--mixture-level", "12"),
        *("--source-augmentations", "gain", "channelswap", *AUGMENTED, "--redraw-silence"),
        *("--validate-sdr", "--select", "sdr"),
    ],
}
"""Rows of the table. All is without accumulation, which takes fewer steps."""

FINETUNED = {
    "more, lr 1e-4": ["--lr", "1e-4"],
    "through the filter": ["--lr", "1e-4", "--loss", "MSE", "SISDRtime=0.1", "--through-filter"],
}
"""Rows that go on from the baseline's best weights for a third of its epochs."""

NETWORK = "--arch joint --hidden-size 32 --nfft 1024 --nhop 512 --bandwidth 16000 --nb-channels 1"
STEPS = "--seq-dur 0.5 --batch-size 4 --samples-per-track 16 --lr 3e-3 --nb-workers 1"


def options(name: str, seed: int, folder: Path, epochs: int) -> list[str]:
    """A run's command line."""
    common = [
        *STEPS.split(),
        "--context",
        "cpu",
        "--quiet",
        "--seed",
        str(seed),
        "--root",
        str(folder / "songs"),
        "--is-wav",
    ]
    if name in FINETUNED:
        best = folder / "baseline" / str(seed) / "best.h5"
        return [*common, "--model", str(best), "--epochs", str(max(epochs // 3, 1)), *FINETUNED[name]]
    return [*common, *NETWORK.split(), "--epochs", str(epochs), *PARTS[name]]


def score(model: Path, root: Path) -> float:
    """The SDR of a network on the test songs."""
    separator, songs = Separator(model), []
    for track in musdb_tracks(root, "test", is_wav=True):
        stems = separator(track.read("mixture", 0, track.samples, 1), track.sample_rate)
        songs.append(np.mean([sdr(track.read(s, 0, track.samples, 1), stems[s]) for s in track.sources]))
    return float(np.mean(songs))


def run(name: str, seed: int, folder: Path, epochs: int) -> None:
    """Train and score, unless that has been done."""
    output = folder / name / str(seed)
    found = output / "score.json"
    if found.exists():
        return
    begin = time.process_time()
    code = train([*options(name, seed, folder, epochs), "--output", str(output)])
    if code:
        sys.exit(code)
    seconds = time.process_time() - begin
    result = {"sdr": score(output / "best.h5", folder / "songs"), "seconds": seconds}
    found.write_text(json.dumps(result))
    print(f"{name}, seed {seed}: {result['sdr']:.2f} dB, {seconds:.0f} s", flush=True)


def table(folder: Path, seeds: int) -> str:
    """Markdown, of the rows that are complete."""
    found = {}
    for name in (*PARTS, *FINETUNED):
        files = [folder / name / str(seed) / "score.json" for seed in range(seeds)]
        if all(file.exists() for file in files):
            found[name] = [json.loads(file.read_text()) for file in files]
    base = [result["sdr"] for result in found["baseline"]]
    lines = [
        "| part | SDR, dB | spread | to the baseline, dB | CPU s |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, results in found.items():
        values = [result["sdr"] for result in results]
        apart = [value - other for value, other in zip(values, base, strict=True)]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        seconds = statistics.mean(result["seconds"] for result in results)
        each = ", ".join(f"{value:+.2f}" for value in apart)
        lines.append(
            f"| {name} | {statistics.mean(values):.2f} | {spread:.2f} "
            f"| {statistics.mean(apart):+.2f} ({each}) | {seconds:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of songs and runs")
    parser.add_argument("--seeds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=6, help="(default: %(default)s)")
    parser.add_argument("--tracks", type=int, default=8, help="to train on (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=6.0, help="of a song (default: %(default)s)")
    parser.add_argument("--only", nargs="+", help="these rows")
    args = parser.parse_args()
    record.draw_curve = lambda *_: None  # pictures take longer than the steps
    if not (args.output / "songs").exists():
        make_musdb(args.output / "songs", args.tracks, args.seconds, stems=False, valid=1, test=4)
    for seed in range(args.seeds):
        for name in args.only or (*PARTS, *FINETUNED):
            run(name, seed, args.output, args.epochs)
    print(table(args.output, args.seeds))


if __name__ == "__main__":
    main()
