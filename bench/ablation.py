"""What each part of docs/training-extras.md brings: networks with and without it, scored on unseen songs.

    python bench/ablation.py --output ablation

Songs are composed by xumx.synth. A run is one row of the table with one seed. Every run gets the same CPU
time: what an epoch of each row costs is measured first, by short runs that take turns, and a row that costs
more sees fewer epochs. What is done is not done again, so that rows and seeds can be added. The score is
the SDR of the MDX challenge, the mean over test songs of the mean over sources. The differences are paired:
of each seed to that of the baseline, which begins with the same weights and the same samples.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
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
    "those that help": [
        *("--clip-norm", "1", "--redraw-silence", "--validate-sdr", "--select", "sdr"),
        *("--source-augmentations", "gain", "channelswap", "repitch"),
    ],
    "all": [
        *("--clip-norm", "1", "--ema", "0.99", "--lr-schedule", "cosine", "--mixture-level", "12"),
        *("--source-augmentations", "gain", "channelswap", *AUGMENTED, "--redraw-silence"),
        *("--validate-sdr", "--select", "sdr"),
    ],
}
"""Rows of the table. All is without accumulation, which takes fewer steps; those that help did so alone."""

FINETUNED = {
    "more, lr 1e-4": ["--lr", "1e-4"],
    "through the filter": ["--lr", "1e-4", "--loss", "MSE", "SISDRtime=0.1", "--through-filter"],
}
"""Rows that go on from the baseline's best weights for a third of its time."""

NETWORK = "--arch joint --hidden-size 32 --nfft 1024 --nhop 512 --bandwidth 16000 --nb-channels 1"
LENGTHS = 1, 5
"""Epochs of the runs that tell what an epoch costs."""

STEPS = "--seq-dur 0.5 --batch-size 4 --samples-per-track 16 --lr 3e-3 --nb-workers 1"


@dataclass(frozen=True)
class Ablation:
    """Songs and runs in a folder, and the CPU seconds that each run gets."""

    folder: Path
    seconds: float

    def options(self, name: str, seed: int, epochs: int, output: Path) -> list[str]:
        """A run's command line."""
        common = [
            *STEPS.split(),
            *("--context", "cpu", "--quiet", "--seed", str(seed), "--epochs", str(epochs)),
            *("--root", str(self.folder / "songs"), "--is-wav", "--output", str(output)),
        ]
        if name in FINETUNED:
            best = self.folder / "baseline" / str(seed) / "best.h5"
            return [*common, "--model", str(best), *FINETUNED[name]]
        return [*common, *NETWORK.split(), *PARTS[name]]

    def train(self, name: str, seed: int, epochs: int, output: Path) -> float:
        """Train from the start; the CPU seconds that it took."""
        shutil.rmtree(output, ignore_errors=True)
        begin = time.process_time()
        code = train(self.options(name, seed, epochs, output))
        if code:
            sys.exit(code)
        return time.process_time() - begin

    def costs(self, names: Iterable[str]) -> dict[str, tuple[float, float]]:
        """CPU seconds of a run's start and of an epoch, the least of two measurements of each row.

        The rows take turns, so that a machine that becomes slower meanwhile does so for all.
        """
        file = self.folder / "costs.json"
        found = json.loads(file.read_text()) if file.exists() else {}
        missing = [name for name in names if name not in found]
        if missing:
            self.train("baseline", 0, 1, self.folder / "cost")  # what is imported or compiled at first use
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in missing}
        for _ in range(2):
            for name in missing:
                runs[name].append(tuple(self.train(name, 0, n, self.folder / "cost") for n in LENGTHS))
        for name, taken in runs.items():
            short, long = (min(each) for each in zip(*taken, strict=True))
            epoch = (long - short) / (LENGTHS[1] - LENGTHS[0])
            found[name] = (max(short - LENGTHS[0] * epoch, 0.0), epoch)
        file.write_text(json.dumps(found))
        return found

    def run(self, name: str, seed: int, cost: tuple[float, float]) -> None:
        """Train for the time that a run gets and score, unless that has been done."""
        output = self.folder / name / str(seed)
        file = output / "score.json"
        if file.exists():
            return
        start, epoch = cost
        budget = self.seconds / 3 if name in FINETUNED else self.seconds
        epochs = max(1, round((budget - start) / epoch))
        taken = self.train(name, seed, epochs, output)
        result = {
            "sdr": score(output / "best.h5", self.folder / "songs"),
            "seconds": taken,
            "epochs": epochs,
        }
        file.write_text(json.dumps(result))
        print(f"{name}, seed {seed}: {result['sdr']:.2f} dB, {epochs} epochs, {taken:.0f} s", flush=True)


def score(model: Path, root: Path) -> float:
    """The SDR of a network on the test songs."""
    separator, songs = Separator(model), []
    for track in musdb_tracks(root, "test", is_wav=True):
        stems = separator(track.read("mixture", 0, track.samples, 1), track.sample_rate)
        songs.append(np.mean([sdr(track.read(s, 0, track.samples, 1), stems[s]) for s in track.sources]))
    return float(np.mean(songs))


def table(folder: Path, seeds: int) -> str:
    """Markdown, of the rows that are complete."""
    found = {}
    for name in (*PARTS, *FINETUNED):
        files = [folder / name / str(seed) / "score.json" for seed in range(seeds)]
        if all(file.exists() for file in files):
            found[name] = [json.loads(file.read_text()) for file in files]
    base = [result["sdr"] for result in found["baseline"]]
    lines = [
        "| part | SDR, dB | spread | to the baseline, dB | epochs | CPU s |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, results in found.items():
        values = [result["sdr"] for result in results]
        apart = [value - other for value, other in zip(values, base, strict=True)]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        seconds = statistics.mean(result["seconds"] for result in results)
        each = ", ".join(f"{value:+.2f}" for value in apart)
        lines.append(
            f"| {name} | {statistics.mean(values):.2f} | {spread:.2f} "
            f"| {statistics.mean(apart):+.2f} ({each}) | {results[0]['epochs']} | {seconds:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of songs and runs")
    parser.add_argument("--seeds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument(
        "--cpu-seconds", type=float, default=30.0, help="that each run gets (default: %(default)s)"
    )
    parser.add_argument("--tracks", type=int, default=12, help="to train on (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=8.0, help="of a song (default: %(default)s)")
    parser.add_argument("--only", nargs="+", help="these rows beside the baseline")
    args = parser.parse_args()
    record.draw_curve = lambda *_: None  # pictures take longer than the steps
    if not (args.output / "songs").exists():
        make_musdb(args.output / "songs", args.tracks, args.seconds, stems=False, valid=1, test=8)
    ablation = Ablation(args.output, args.cpu_seconds)
    names = ["baseline", *(name for name in args.only or (*PARTS, *FINETUNED) if name != "baseline")]
    costs = ablation.costs(name for name in names if name in PARTS)
    for seed in range(args.seeds):
        ablation.run("baseline", seed, costs["baseline"])
    costs = ablation.costs(names)
    for seed in range(args.seeds):
        for name in names:
            ablation.run(name, seed, costs[name])
    print(table(args.output, args.seeds))


if __name__ == "__main__":
    main()
