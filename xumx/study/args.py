"""The options of ``python -m xumx.study``, and what they are to training and to scoring."""

from __future__ import annotations

import argparse

from xumx.base.cli import Parser

PASSED = {
    "epochs": "at most; more go on with what has been trained",
    "patience": "epochs without a new best after which a run stops",
    "seed": "of weights, samples and dropout: the same for all runs",
    "context": "where to compute: auto, cpu or cudnn",
    "device-id": "the GPU, for cudnn",
    "cache-dir": "keep decoded audio here",
    "nb-workers": "threads that draw samples",
    "seq-dur": "length of a training sample, in seconds",
    "samples-per-track": "in an epoch",
    "valid-dur": "of a piece in validation, in seconds",
    "hidden-size": "width of the layers",
    "nfft": "window of the STFT, in samples",
    "nhop": "its hop; divides --nfft",
    "bandwidth": "what the network sees, in Hz",
    "nb-channels": "audio channels, 1 or 2; 1: the mean",
    "batch-size": "samples of a step",
    "lr-decay-patience": "epochs without a new best before the learning rate falls",
    "lr-decay-gamma": "factor by which it falls",
    "weight-decay": "gradient of the squared weights, times this",
    "feature-model": "weights (.h5) whose encoder listens, for DeepFeatures; runs with it only",
}
"""Options of ``python -m xumx.train`` that its parser reads, with its defaults."""


def study_parser() -> Parser:
    """``python -m xumx.study``."""
    parser = Parser(
        prog="python -m xumx.study",
        description="Train a network with each of many losses, score them all, and compare them. "
        "What is done already is not done again.",
    )
    group = parser.add_argument_group("study")
    group.add_argument("--root", metavar="DIR", required=True, help="MUSDB18, the folder of train and test")
    group.add_argument("--is-wav", action="store_true", help="of wav files (MUSDB18-HQ), not stems")
    group.add_argument(
        "--output", metavar="DIR", default="study", help="folder of the study, new or to go on with"
    )
    group.add_argument(
        "--losses",
        nargs="+",
        metavar="NAME[=WEIGHT][+NAME...]",
        help="a run each; sums as in L2freq+LSGAN=0.01 (default: all that need nothing else)",
    )
    group.add_argument(
        "--arch", nargs="+", default=["x-umx"], metavar="ARCH", help="of xumx.train; a umx is a run a source"
    )
    group.add_argument(
        "--sources", nargs="+", metavar="STEM", help="to separate (default: bass drums vocals other)"
    )
    group.add_argument(
        "--lr", type=float, help="learning rate of all runs (default: the published study's of each loss)"
    )
    group.add_argument("--quiet", "-q", action="store_true", help="print warnings and errors only")
    group = parser.add_argument_group("as in xumx.train, with its defaults")
    for name, text in PASSED.items():
        short = {"context": ["-c"], "device-id": ["-d"]}.get(name, [])
        group.add_argument(f"--{name}", *short, metavar="VALUE", help=text)
    group.add_argument("--source-augmentations", nargs="*", metavar="NAME", help="gain, channelswap, or none")
    group.add_argument("--unidirectional", action="store_true", help="LSTM forward in time only")
    group = parser.add_argument_group("scoring, as in xumx.eval")
    group.add_argument("--niter", type=int, default=1, help="iterations of the EM Wiener filter")
    group.add_argument("--fast", action="store_true", help="score several times faster, to some 0.01 dB")
    group.add_argument("--cores", type=int, default=1, metavar="N", help="tracks at the same time")
    return parser


def train_argv(args: argparse.Namespace) -> list[str]:
    """What all runs have in common, as ``python -m xumx.train`` takes it."""
    argv = ["--root", args.root, "--quiet"]
    for name in PASSED:
        value = getattr(args, name.replace("-", "_"))
        if value is not None and name != "feature-model":
            argv += [f"--{name}", value]
    if args.source_augmentations is not None:
        argv += ["--source-augmentations", *args.source_augmentations]
    flags = {"--is-wav": args.is_wav, "--unidirectional": args.unidirectional}
    return argv + [flag for flag, given in flags.items() if given]


def eval_argv(args: argparse.Namespace) -> list[str]:
    """The data and how it is scored, as ``python -m xumx.eval`` takes it."""
    flags = {"--is-wav": args.is_wav, "--fast": args.fast}
    return ["--root", args.root, *(flag for flag, given in flags.items() if given)]


def separation_argv(args: argparse.Namespace) -> list[str]:
    """How the networks of all losses separate, as ``python -m xumx.eval`` takes it.

    From the ratio mask, as in the published study: what a network trained with cross entropy, SI-SDR or
    SNRPSA gives is no magnitude, but rises and falls with one, and the mask takes its scale off.
    """
    return ["--softmask", "--niter", str(args.niter)]
