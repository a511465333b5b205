"""Time to score a track: museval, and our way in blocks (--fast), in one run, with the same numbers.

    python bench/eval.py

The track is the music that stempeg brings, repeated, with some noise; the estimates are the sources with some
of the mixture. Each scorer runs in a process of its own with one BLAS thread. CPU seconds are compared, since
other programs change them least, without those of reading the signals and importing museval.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.common import ROOT, Run, machine, measure, table
from tests.musdb_set import RATE, STREAMS, excerpt_stems

_SCORE = """
import sys
import numpy as np
sys.path.insert(0, {root!r})
with np.load({signals!r}) as file:
    truth, estimates = file["truth"], file["estimates"]
import museval
from xumx.eval.bsseval import bss_eval
np.save({out!r}, np.stack({call}))
"""


def signals(seconds: float) -> dict[str, np.ndarray]:
    """Truth and estimates (4, samples, 2) float32."""
    audio = excerpt_stems(round(seconds * RATE))
    rng = np.random.default_rng(0)
    truth = np.stack([audio[name].T for name in STREAMS[1:]])
    truth += 1e-4 * rng.standard_normal(truth.shape, np.float32)
    noise = 1e-3 * rng.standard_normal(truth.shape, np.float32)
    return {"truth": truth, "estimates": 0.8 * truth + 0.1 * truth.sum(axis=0) + noise}


SCORERS = {
    "museval": "museval.evaluate(truth, estimates)",
    "--fast": "bss_eval(truth, estimates)",
}


def score(call: str, folder: Path) -> tuple[Run, np.ndarray]:
    """Scores, and the cost of their process."""
    out = folder / "scores.npy"
    code = _SCORE.format(root=str(ROOT), signals=str(folder / "signals.npz"), out=str(out), call=call)
    threads = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    spent = measure([sys.executable, "-c", code], log=folder / "log.txt", cwd=ROOT, env=threads)
    return spent, np.load(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--seconds", type=float, nargs="+", default=[30.0, 240.0], help="lengths of the track"
    )
    args = parser.parse_args()
    print(machine(["numpy", "scipy", "museval"]), "\n")
    rows, last = [], {}
    for seconds in args.seconds:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            np.savez(folder / "signals.npz", **signals(seconds))
            idle, _ = score("[0]", folder)
            results = {scorer: score(call, folder) for scorer, call in SCORERS.items()}
        peer, wanted = results["museval"]
        for scorer, (spent, scores) in results.items():
            cpu, apart = spent.cpu - idle.cpu, np.nanmax(np.abs(scores - wanted), axis=(1, 2))
            ratio = (peer.cpu - idle.cpu) / cpu
            distances = (f"{apart[0]:.0e} dB", f"{apart[1:].max():.0e} dB")
            cost = (f"{cpu:.1f} s", f"{ratio:.1f}x", f"{spent.peak / 1000:.1f} GB")
            rows.append([f"{seconds:g} s, {scorer}", *cost, *distances])
            last |= {f"{scorer.lstrip('-')}.cpu": cpu, f"{scorer.lstrip('-')}.peak": spent.peak}
    print(table(["track", "CPU", "ratio", "peak", "SDR apart", "others apart, at most"], rows))
    print(json.dumps(last))


if __name__ == "__main__":
    main()
