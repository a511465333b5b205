"""The options of ``python -m xumx.eval``, and what they mean together."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

from xumx.base.cli import Parser, extension
from xumx.base.errors import UsageError
from xumx.data import folders
from xumx.data.musdb import SPLITS, SUBSETS, musdb_tracks
from xumx.data.track import Track
from xumx.network.config import SOURCES
from xumx.network.pretrained import resolve
from xumx.separation.args import add_model, add_separation, separator_options

ESTIMATES = "estimates"


def eval_parser() -> Parser:
    """``python -m xumx.eval``."""
    parser = Parser(
        prog="python -m xumx.eval",
        description="Score separation with BSS Eval v4, by museval, or compare scores.",
    )
    group = parser.add_argument_group("data")
    group.add_argument("--root", metavar="DIR", help="the folder that holds train and test")
    group.add_argument(
        "--dataset",
        choices=("musdb", "trackfolder_fix"),
        default="musdb",
        help="what it holds: MUSDB18, or your own <subset>/<track>/<source>.wav",
    )
    group.add_argument("--is-wav", action="store_true", help="musdb of wav files (MUSDB18-HQ), not stems")
    group.add_argument("--subset", choices=(*SUBSETS, "valid"), default="test", help="tracks to score")
    group.add_argument("--split", choices=SPLITS, help="part of the subset train")
    group.add_argument(
        "--sources",
        nargs="+",
        metavar="STEM",
        help=f"trackfolder_fix: those whose sum the mixture is (default: {' '.join(SOURCES)})",
    )
    group.add_argument(
        "--ext",
        type=extension,
        nargs="+",
        metavar="EXT",
        help="trackfolder_fix: what the names of audio files end with (default: .wav)",
    )
    group = parser.add_argument_group("what is scored, if not a network").add_mutually_exclusive_group()
    group.add_argument(
        "--estimates", metavar="DIR", help="estimates of any system: DIR/<subset>/<track>/<stem>.wav"
    )
    group.add_argument(
        "--oracle",
        choices=("irm", "mwf", "frequency"),
        help="from the true sources: ideal ratio mask or multichannel Wiener filter, which are ceilings; "
        "fixed gains by frequency, which a network should beat",
    )
    group.add_argument(
        "--baseline", choices=("mixture",), help="the untouched mixture as every stem: a floor"
    )
    group.add_argument(
        "--compare", nargs="+", metavar="SCORES", help="no scoring: scores of two runs or more, side by side"
    )
    add_model(parser)
    add_separation(parser)
    parser.set_defaults(chunk_dur=0.0)  # the whole track, as in the papers
    group = parser.add_argument_group("output")
    group.add_argument(
        "--evaldir",
        metavar="DIR",
        default="scores",
        help="score files, scores.csv and report; what is there is kept",
    )
    group.add_argument(
        "--save-estimates", action="store_true", help="keep the estimates, as musdb lays them out"
    )
    group.add_argument("--outdir", metavar="DIR", help=f"folder to keep them in; {ESTIMATES} if not given")
    group.add_argument(
        "--fast",
        action="store_true",
        help="score in blocks and not by museval: ten times faster, in a third of the memory; SIR, ISR and "
        "SAR of a frame move by up to some 0.01 dB, SDR does not",
    )
    group.add_argument("--force", action="store_true", help="score again what has been scored")
    group.add_argument("--cores", type=int, default=1, metavar="N", help="tracks at the same time")
    group.add_argument("--quiet", "-q", action="store_true", help="print errors only")
    return parser


def check(args: argparse.Namespace, given: Collection[str]) -> None:
    """Refuse options that would do nothing, with their default value too.

    Parameters
    ----------
    args : Namespace
    given : collection of str
        Names of the options that were given.

    Raises
    ------
    UsageError
    """
    others = ("estimates", "oracle", "baseline", "compare")
    chosen = next((name for name in others if name in given), None)
    if chosen == "compare":
        if len(args.compare) < 2:
            raise UsageError("--compare needs the scores of two runs or more")
        useless = set(vars(args)) - {"compare"}
    elif chosen:
        useless = {*separator_options(args), "umx_infer"}
        useless |= {"save_estimates", "outdir"} if chosen == "estimates" else set()
    else:
        useless = set()
    for name in vars(args):
        if name in useless & set(given):
            raise UsageError(f"--{name.replace('_', '-')} does nothing with --{chosen}: leave it out")
    if chosen != "compare" and not args.root:
        raise UsageError("--root: give the folder of MUSDB18 or of your own data, which holds train and test")
    for name in ("sources", "ext") if args.dataset == "musdb" else ("is_wav", "split"):
        if name in given:
            raise UsageError(f"--{name.replace('_', '-')} does nothing with --dataset {args.dataset}")
    if args.cores < 1:
        raise UsageError(f"--cores must be 1 or more, not {args.cores}")


def kept_estimates(args: argparse.Namespace) -> Path | None:
    """Where estimates are kept, if they are."""
    return Path(args.outdir or ESTIMATES) if args.save_estimates or args.outdir else None


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """What makes the scores of two runs those of one: all but where and how fast."""
    names = ["subset", "split", "is_wav", "fast"]
    if args.dataset != "musdb":
        names += ["dataset", "sources", "ext"]
    shared = {name: getattr(args, name) for name in names}
    if args.estimates:
        return {"estimates": str(Path(args.estimates).resolve()), **shared}
    if args.oracle or args.baseline:
        return {"estimates": args.oracle or args.baseline, **shared}
    where = ("engine", "context", "device_id", "model_dir")
    separation = {name: value for name, value in separator_options(args).items() if name not in where}
    return {**separation, "weights": _digest(resolve(args.model, model_dir=args.model_dir)), **shared}


def _digest(weights: Path) -> str:
    """SHA-1 of a weights file or of a folder of them: training may have replaced it since."""
    sha1 = hashlib.sha1(usedforsecurity=False)
    for path in sorted(weights.glob("*.h5")) if weights.is_dir() else [weights]:
        sha1.update(path.read_bytes())
    return sha1.hexdigest()


def find_tracks(args: argparse.Namespace) -> Callable[[], list[Track]]:
    """The function that lists the tracks to score."""
    if args.dataset == "musdb":
        return partial(musdb_tracks, args.root, args.subset, args.split, is_wav=args.is_wav)
    return partial(_own_tracks, Path(args.root).expanduser(), args)


def _own_tracks(root: Path, args: argparse.Namespace) -> list[Track]:
    folder = root / args.subset
    if not folder.is_dir():
        raise UsageError(f"--root {root} has no folder {args.subset!r}; --subset names another")
    extensions = args.ext or [".wav"]
    names = {source: [source + ext for ext in extensions] for source in args.sources or SOURCES}
    found = folders.trackfolder_fix(folder, names, extensions)
    return folders.tracks_of(found, root, [root, Path(args.evaldir)], workers=4, progress=not args.quiet)


def make_estimator(args: argparse.Namespace) -> partial[Any]:
    """The :data:`xumx.eval.work.MakeEstimator` that the options ask for."""
    from xumx.eval import estimators

    if args.estimates:
        return partial(estimators.folder, Path(args.estimates) / args.subset)
    if args.oracle:
        return partial(estimators.oracle, args.oracle)
    if args.baseline:
        return partial(estimators.mixture)
    return partial(estimators.network, separator_options(args))


def run_name(args: argparse.Namespace) -> str:
    """What tables call the run."""
    if args.oracle:
        return f"oracle {args.oracle}"
    return args.baseline or Path(args.estimates or args.model).name
