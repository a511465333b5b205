#!/usr/bin/env python3
"""All benchmarks in one run on one machine, and one page of ratios.

    make bench-all                                    everything, on a quiet machine
    make bench-all ARGS="--only separate page"        some parts anew, and the others as they were
    make bench-all ARGS=--quick                       small, to see that it works; never to be published

A part that was measured before, on this machine, with these versions and this code, is kept in the cache
folder and need not be measured again. A page of which every part was measured while other programs left the
cores alone goes into docs/performance.md, and its first table into README.md. Of any other it is said why it
does not, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.common import ROOT, BenchError, machine
from bench.page import PAGE, Part, compose, problems, put
from bench.parts import PARTS, QUICK, Sizes, Watch
from bench.separate import CLIP_SECONDS, Bench
from tools.readme_table import DOCUMENT, update

PACKAGES = ("numpy", "scipy", "onnxruntime", "numba", "llvmlite", "av")


def main(argv: list[str] | None = None) -> int:
    """Run the parts; 1 if the page may not be published."""
    args = _parser().parse_args(argv)
    sizes = QUICK if args.quick else Sizes()
    cache = args.cache.expanduser().resolve()
    bench = Bench(cache, sizes.seconds, sizes.repeats, 0.0 if args.quick else args.patience)
    bench.work.mkdir(parents=True, exist_ok=True)
    about = {"machine": machine(PACKAGES), "code": code(), "sizes": str(sizes)}
    kept = cache / "page.json"
    parts = {} if args.quick else kept_parts(kept, about)
    print(f"{about['machine']}\nload average at the beginning: {_load()}", flush=True)
    lengths = map(str, (bench.seconds, bench.sony_seconds, CLIP_SECONDS))
    bench.run("inputs", sys.executable, "-m", "bench.inputs", bench.work, *lengths, cwd=ROOT)
    failed: dict[str, str] = {}
    for name in args.only or PARTS:
        print(f"-- {name}: {(PARTS[name].__doc__ or '').strip()}", flush=True)
        began = time.perf_counter()
        try:
            parts[name] = PARTS[name](Watch(bench, sizes))
        except BenchError as error:
            failed[name] = str(error)
            parts.pop(name, None)
            print(f"{name} failed: {error}", file=sys.stderr, flush=True)
        print(f"-- {name} took {time.perf_counter() - began:.0f} s", flush=True)
        if not args.quick:
            keep(kept, about, parts)
    print(f"load average at the end: {_load()}\n", flush=True)
    return publish(parts, about, failed, args)


def publish(
    parts: Mapping[str, Part], about: Mapping[str, Any], failed: Mapping[str, str], args: argparse.Namespace
) -> int:
    """Print the page, and put it into the documents if nothing is against that."""
    parts = {name: parts[name] for name in PARTS if name in parts}
    text = compose(parts, {**about, "commit": commit()})
    print(text + "\n")
    against = ["--quick measures too little"] if args.quick else problems(parts, PARTS, failed)
    if against:
        print("Not to be published:", *against, sep="\n- ")
        return 0 if args.quick and not failed else 1
    put(args.page, PAGE, text)
    print(f"{args.page} has this page now.")
    if args.page == DOCUMENT:
        update()
    return 0


def kept_parts(path: Path, about: Mapping[str, Any]) -> dict[str, Part]:
    """Read the parts that were measured before, if machine, versions, code and sizes are these."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if held["about"] != about:
        print("what was measured before was on another machine, of another code, or with other versions")
        return {}
    return {name: Part(**part) for name, part in held["parts"].items()}


def keep(path: Path, about: Mapping[str, Any], parts: Mapping[str, Part]) -> None:
    """Write what :func:`kept_parts` reads."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        json.dump({"about": about, "parts": {name: asdict(part) for name, part in parts.items()}}, file)
    Path(file.name).replace(path)


def code() -> str:
    """Digest what is measured and what measures it, committed or not."""
    digest = hashlib.blake2b(digest_size=4)
    for room in ("xumx", "bench"):
        for path in sorted((ROOT / room).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def commit() -> str:
    """Name the commit, as far as there is one."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "no commit"


def _load() -> str:
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="All benchmarks in one run, and one page of ratios.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    option = parser.add_argument
    option("--only", nargs="+", choices=tuple(PARTS), help="measure these parts anew")
    option("--quick", action="store_true", help="small sizes; the page is printed and not kept")
    option("--patience", type=float, default=120.0, help="seconds that a measurement waits for quiet")
    option("--page", type=Path, default=DOCUMENT, help="the document with the marks")
    option("--cache", type=Path, default="~/.cache/xumx-bench", help="folder of environments and files")
    return parser


if __name__ == "__main__":
    sys.exit(main())
