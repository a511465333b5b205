#!/usr/bin/env python3
"""What a GPU computes and how fast, checked against the CPU: one table for the README.

    python bench/gpu.py --dry                 on any machine: what would be checked, line by line
    python bench/gpu.py                       everything that the GPU here allows
    python bench/gpu.py --only onnx           ONNX Runtime alone (any Python)
    mpirun -n 2 python bench/gpu.py --only nccl
    python bench/gpu.py --rehearse            small, with the CPU in the GPU's place: tries this script

Each check runs by itself: one that fails is a line of the table, and the others are done. What this machine
lacks is said, and no figure is printed without a run. The exit code is 1 if a check failed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.common import table
from bench.device.forward import by_nnabla, by_onnx, device, half, real_time
from bench.device.plan import (
    REHEARSAL,
    Check,
    Failed,
    Lacking,
    Plan,
    follow,
    lacks_nnabla,
    lacks_onnx,
    lacks_ranks,
    nothing,
)  # fmt: skip
from bench.device.training import STEPS, gradients, means, repeated, resumed, speed, split
from xumx.base.errors import line_of

__all__ = ["CHECKS", "Check", "Failed", "main", "nothing", "rows"]

CHECKS = (
    Check("device", "device and versions", device, nothing),
    Check("nnabla", "forward of NNabla against the CPU", by_nnabla, lacks_nnabla),
    Check("onnx", "forward of ONNX Runtime against the CPU", by_onnx, lacks_onnx),
    Check("onnx", "float16 against float32", half, lacks_onnx),
    Check("onnx", "a song, array to stems", real_time, lacks_onnx),
    Check("nnabla", "gradients against the CPU's", gradients, lacks_nnabla),
    Check("nnabla", f"{STEPS} steps with one seed, twice", repeated, lacks_nnabla),
    Check("nnabla", "a run that was stopped and resumed", resumed, lacks_nnabla),
    Check("nnabla", "default recipe: speed and memory", speed, lacks_nnabla),
    Check("nnabla", "where the time of a step goes", split, lacks_nnabla),
    Check("nccl", "means of gradients by NCCL on two GPUs", means, lacks_ranks),
)


def rows(checks: list[Check], dry: bool) -> Iterator[tuple[str, str, bool]]:
    """What each check is about, what came of it, and whether it failed."""
    for check in checks:
        about = f"{check.kind}: {check.about}"
        lacking = check.needs()
        if dry:
            doc = (check.run.__doc__ or "").partition("\n")[0]
            yield about, f"{doc} {f'Not here: {lacking}.' if lacking else 'Would run here.'}", False
            continue
        try:
            if lacking:
                raise Lacking(lacking)
            yield about, check.run(), False
        except Lacking as error:
            yield about, f"not run: {error}", False
        except Exception as error:  # each check apart
            yield about, f"FAILED: {line_of(error)}", True


def main(argv: list[str] | None = None) -> int:
    """Run the checks; 1 if one failed."""
    parser = argparse.ArgumentParser(description="Check a GPU against the CPU, and measure it.")
    parser.add_argument(
        "--dry", action="store_true", help="say what would be checked, and what is lacking here"
    )
    kinds = sorted({check.kind for check in CHECKS})
    parser.add_argument("--only", nargs="+", choices=kinds, metavar="KIND", help=f"of {', '.join(kinds)}")
    parser.add_argument("--rehearse", action="store_true", help="small, with the CPU in the GPU's place")
    args = parser.parse_args(argv)
    follow(REHEARSAL if args.rehearse else Plan())
    checks = [check for check in CHECKS if not args.only or check.kind in args.only]
    found = []
    for about, result, failed in rows(checks, args.dry):
        print(f"{about}: {result}", flush=True)
        found.append((about, result, failed))
    if args.rehearse:
        print("rehearsed with the CPU: no figure here is one of a GPU")
    elif not args.dry:
        print(table(["check", "result"], [(about, result) for about, result, _ in found]))
    return int(any(failed for _, _, failed in found))


if __name__ == "__main__":
    sys.exit(main())
