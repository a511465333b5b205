"""The options of ``python -m xumx.train``."""

from __future__ import annotations

import argparse

from xumx.base.cli import Parser, extension
from xumx.network.config import ARCHITECTURES
from xumx.train.schedule import SCALINGS

KINDS = ("musdb", "aligned", "sourcefolder", "trackfolder_var", "trackfolder_fix")
"""What ``--dataset`` takes; the others than musdb are those of :mod:`xumx.data.folders`."""


def train_parser() -> Parser:
    """``python -m xumx.train``. A default that depends on other options is None, and said in the help."""
    parser = Parser(prog="python -m xumx.train", description="Train a network on MUSDB18 or your own data.")
    _add_run(parser)
    _add_data(parser)
    _add_own_data(parser)
    _add_network(parser)
    _add_optimisation(parser)
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("run")
    group.add_argument("--output", metavar="DIR", help="folder of the run; the resumed one's if not given")
    group.add_argument(
        "--model",
        metavar="PATH",
        help="folder of a run, to resume it, or weights (.h5), to start a new one from",
    )
    group.add_argument("--epochs", type=int, default=1000, help="at most")
    group.add_argument(
        "--patience",
        type=int,
        help="epochs without a new best after which to stop; 0: never (default: 140, 0 for x-umx)",
    )
    group.add_argument(
        "--checkpoint-every",
        type=float,
        default=30.0,
        metavar="MINUTES",
        help="within an epoch, beside the one at its end; 0: after each batch",
    )
    group.add_argument("--seed", type=int, default=42, help="of weights, samples and dropout")
    group.add_argument("--quiet", "-q", action="store_true", help="print warnings and errors only")
    group.add_argument(
        "--context", "-c", choices=("auto", "cpu", "cudnn"), default="auto", help="where to compute"
    )
    group.add_argument(
        "--device-id", "-d", default="0", help="the GPU, for cudnn; of several processes each has its own"
    )
    group.add_argument(
        "--stock-ops",
        action="store_true",
        help="on the CPU, NNabla's own functions in place of xumx's faster ones",
    )


def _add_data(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data")
    group.add_argument(
        "--root",
        metavar="DIR",
        help="folder of the data; for musdb that of train and test, or else a preview of 7 s is downloaded",
    )
    group.add_argument(
        "--is-wav", action="store_true", help="the tracks are folders of wav files, not stem files"
    )
    group.add_argument(
        "--cache-dir", metavar="DIR", help="keep decoded audio here: faster, 32 GB for MUSDB18"
    )
    group.add_argument("--nb-workers", type=int, default=4, help="threads that draw samples; 0: none")
    group.add_argument(
        "--seq-dur", type=float, default=6.0, metavar="SECONDS", help="length of a training sample"
    )
    group.add_argument("--samples-per-track", type=int, default=64, help="in an epoch")
    group.add_argument(
        "--source-augmentations",
        nargs="*",
        default=["gain", "channelswap"],
        metavar="NAME",
        help="of each source before the mix: gain, channelswap, or none",
    )
    group.add_argument(
        "--valid-dur",
        "--valid_dur",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="of a piece in validation",
    )
    group.add_argument(
        "--min-chunk-duration",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="leave out tracks that are shorter; others than these are filled with silence",
    )
    group.add_argument(
        "--check-data",
        nargs="?",
        const="",
        metavar="CSV",
        help="no training: read all data, and print what is wrong with it; also write it to a file",
    )


def _add_own_data(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("your own data, in folders train and valid")
    group.add_argument("--dataset", choices=KINDS, default="musdb", help="what --root holds")
    group.add_argument(
        "--valid-share",
        type=float,
        metavar="FRACTION",
        help="of the tracks, to validate on, where there is no folder valid (default: 0.1)",
    )
    group.add_argument(
        "--ext",
        type=extension,
        nargs="+",
        metavar="EXT",
        help="sourcefolder, trackfolder: what the names of audio files end with (default: .wav)",
    )
    group.add_argument(
        "--input-file", metavar="FILE", help="aligned: name of the mixtures (default: mixture.wav)"
    )
    group.add_argument(
        "--output-file",
        nargs="+",
        metavar="FILE",
        help="aligned: names of what to separate, such as vocals.wav",
    )
    group.add_argument(
        "--target-file", metavar="FILE", help="trackfolder: what a umx separates, as a file name"
    )
    group.add_argument(
        "--interferer-files",
        nargs="+",
        metavar="FILE",
        help="trackfolder_fix: what else is in the mixtures, as file names",
    )
    group.add_argument(
        "--random-track-mix", action="store_true", help="trackfolder_fix: mix sources of different tracks"
    )
    group.add_argument(
        "--random-interferer-mix",
        action="store_true",
        help="trackfolder_var: mix the targets of one track with all else of another",
    )
    group.add_argument(
        "--silence-missing",
        action="store_true",
        help="trackfolder_var: a target that a track lacks is silent",
    )
    group.add_argument("--target-dir", metavar="DIR", help="sourcefolder: what a umx separates, as a folder")
    group.add_argument(
        "--interferer-dirs",
        nargs="+",
        metavar="DIR",
        help="sourcefolder: what else is in the mixtures, as folders",
    )
    group.add_argument(
        "--nb-train-samples", type=int, metavar="N", help="sourcefolder: samples of an epoch (default: 1000)"
    )
    group.add_argument(
        "--nb-valid-samples", type=int, metavar="N", help="sourcefolder: mixes to validate on (default: 100)"
    )


def _add_network(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("network")
    group.add_argument(
        "--arch",
        choices=ARCHITECTURES,
        default="x-umx",
        help="x-umx: a network a source, which share averages; umx: one network of one source; "
        "joint: one network of all sources, with a last layer for each",
    )
    group.add_argument("--umx-train", action="store_true", help="the same as --arch umx")
    group.add_argument("--source", metavar="STEM", help="what a umx separates (default: vocals)")
    group.add_argument(
        "--sources",
        nargs="+",
        metavar="STEM",
        help="what an x-umx or joint network separates (default: bass drums vocals other)",
    )
    group.add_argument("--hidden-size", type=int, help="width of the layers (default: 512, 1024 for joint)")
    group.add_argument("--unidirectional", action="store_true", help="LSTM forward in time only")
    group.add_argument("--nfft", type=int, default=4096, help="window of the STFT, in samples")
    group.add_argument("--nhop", type=int, default=1024, help="its hop; divides --nfft")
    group.add_argument("--bandwidth", type=float, default=16000.0, metavar="HZ", help="what the network sees")
    group.add_argument("--nb-channels", type=int, default=2, help="audio channels, 1 or 2; 1: the mean")


def _add_optimisation(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("optimisation")
    group.add_argument("--batch-size", type=int, default=16, help="samples of a step, in each process")
    group.add_argument("--lr", type=float, default=1e-3, help="learning rate of Adam, at first")
    group.add_argument(
        "--lr-scaling",
        choices=SCALINGS,
        help="multiply the rate by processes × batch size / 16, by its square root, or by nothing "
        "(default: linear for several processes, none for one)",
    )
    group.add_argument(
        "--warmup", type=float, default=0.0, metavar="EPOCHS", help="let the rate grow from 0 to its value"
    )
    group.add_argument(
        "--lr-decay-patience", type=int, default=80, help="epochs without a new best before it falls"
    )
    group.add_argument("--lr-decay-gamma", type=float, default=0.3, help="factor by which it falls")
    group.add_argument(
        "--weight-decay", type=float, default=1e-5, help="gradient of the squared weights, times this"
    )
    group.add_argument(
        "--loss",
        nargs="+",
        metavar="NAME[=WEIGHT]",
        help="what to minimise: losses of docs/losses.md, their weighted sum if there are several "
        "(default: MSE for umx, CombinationMultiDomain for x-umx)",
    )
    group.add_argument(
        "--mcoef",
        type=float,
        help="weight of the time-domain loss in MultiDomain and CombinationMultiDomain (default: 10)",
    )
    group.add_argument(
        "--feature-model", metavar="PATH", help="weights (.h5) whose encoder listens, for --loss DeepFeatures"
    )
    group.add_argument(
        "--unpaired",
        metavar="DIR",
        help="folders <source> of recordings, in place of the targets as what is real to discriminators",
    )
