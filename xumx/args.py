"""The commands' options, and the way from an error to an exit code."""

from __future__ import annotations

import argparse
import io
import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from xumx.errors import XumxError


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Names defaults, but for those that say nothing."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False) else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """Strict parser: no abbreviations, errors in one line, and ``@file`` reads options and ``#`` comments."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            allow_abbrev=False,
            fromfile_prefix_chars="@",
            formatter_class=_Help,
            **options,
        )

    def convert_arg_line_to_args(self, arg_line: str) -> list[str]:
        try:
            return shlex.split(arg_line, comments=True)
        except ValueError as error:
            self.error(f"{error} in the line {arg_line!r}")

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} (--help lists the options)\n")


def run(main: Callable[[Sequence[str] | None], int], argv: Sequence[str] | None = None) -> int:
    """Call a command's main and turn its errors into one line and an exit code: 2 wrong usage, 1 failed."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names may hold any bytes
    if threading.current_thread() is threading.main_thread():
        # What is half-written goes away with the exception.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return main(argv)
    except XumxError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def add_model(parser: argparse.ArgumentParser) -> None:
    """Options of every command that loads a network."""
    group = parser.add_argument_group("network")
    group.add_argument(
        "--model",
        default="x-umx",
        help="name of published weights, a weights file (.h5), or a folder of UMX files (<source>.h5)",
    )
    group.add_argument("--model-dir", metavar="DIR", help="folder of downloaded weights; also XUMX_HOME")
    group.add_argument(
        "--umx-infer", action="store_true", help="insist on UMX weights (xumx tells UMX from X-UMX by itself)"
    )
    group.add_argument(
        "--engine", choices=("auto", "onnx", "nnabla"), default="auto", help="what runs the network"
    )
    group.add_argument(
        "--context", "-c", choices=("auto", "cpu", "cudnn"), default="auto", help="where to compute"
    )
    group.add_argument("--device-id", "-d", help="the GPU, for cudnn; 0 if not given")


def add_separation(parser: argparse.ArgumentParser) -> None:
    """Options of every command that separates."""
    group = parser.add_argument_group("separation")
    group.add_argument("--targets", nargs="+", metavar="STEM", help="stems to write; all if not given")
    group.add_argument(
        "--two-stems", metavar="STEM", help="write this stem and no_<stem>, the song without it"
    )
    group.add_argument(
        "--aggregate",
        type=_aggregate,
        metavar="JSON",
        help="""write sums of stems instead, such as '{"accompaniment": ["drums", "bass", "other"]}'""",
    )
    group.add_argument(
        "--residual-model", action="store_true", help="add a stem 'residual' for what no source explains"
    )
    group.add_argument("--niter", type=int, default=1, help="iterations of the EM Wiener filter")
    group.add_argument("--softmask", action="store_true", help="start the filter from a ratio mask")
    group.add_argument(
        "--alpha", type=float, default=1.0, help="exponent of the magnitudes in the ratio mask"
    )
    group.add_argument(
        "--chunk-dur",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="length of a chunk; 0: the whole song at once",
    )
    group.add_argument(
        "--overlap",
        type=float,
        metavar="FRACTION",
        help="of a chunk, shared with the next; 0.05 if not given",
    )


def separator_options(args: argparse.Namespace) -> dict[str, Any]:
    """What :class:`xumx.separator.Separator` takes of :func:`add_model` and :func:`add_separation`."""
    names = (
        "model", "model_dir", "engine", "context", "device_id", "targets", "two_stems", "aggregate",
        "residual_model", "niter", "softmask", "alpha", "chunk_dur", "overlap",
    )  # fmt: skip
    return {name: getattr(args, name) for name in names}


def test_parser() -> Parser:
    """``python -m xumx.test``."""
    parser = Parser(prog="python -m xumx.test", description="Separate songs into stems.")
    parser.add_argument(
        "--inputs",
        nargs="+",
        required=True,
        metavar="PATH",
        help="audio or video files, folders of them, or globs",
    )
    parser.add_argument(
        "--start", type=float, default=0.0, metavar="SECONDS", help="where to begin in the song"
    )
    parser.add_argument(
        "--duration", type=float, metavar="SECONDS", help="how much to separate; all if not given"
    )
    parser.add_argument("--quiet", "-q", action="store_true", help="print errors only")
    add_model(parser)
    add_separation(parser)
    group = parser.add_argument_group("output")
    group.add_argument(
        "--outdir", "--out-dir", metavar="DIR",
        help="folder of the stems, with a folder a song if there are several; <song>_<model> if not given",
    )  # fmt: skip
    group.add_argument(
        "--filename",
        metavar="TEMPLATE",
        help="path below the folder, of {song}, {stem}, {model} and {ext}, such as '{song} ({stem}).{ext}'",
    )
    group.add_argument(
        "--format", choices=("wav", "flac", "mp3", "ogg", "opus", "m4a"), default="wav", help="of the stems"
    )
    group.add_argument("--bitrate", type=_bitrate, metavar="BITS", help="a second, for lossy formats: 320k")
    group.add_argument("--subtype", choices=("int16", "int24", "float32"), help="samples of wav and flac")
    group.add_argument("--sample-rate", type=int, metavar="HZ", help="of the stems; the song's if not given")
    group.add_argument(
        "--clip-mode",
        choices=("rescale", "clamp", "none"),
        help="stems beyond full scale: one gain for all stems of the song (default), cut off, or left alone "
        "(default for float32)",
    )
    return parser


def train_parser() -> Parser:
    """``python -m xumx.train``. A default that depends on other options is None, and said in the help."""
    parser = Parser(prog="python -m xumx.train", description="Train UMX or X-UMX on MUSDB18.")
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
        help="epochs without a new best after which to stop; 0: never (default: 140 for umx, 0 for x-umx)",
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
    group.add_argument("--device-id", "-d", default="0", help="the GPU, for cudnn")
    group.add_argument(
        "--stock-ops",
        action="store_true",
        help="on the CPU, NNabla's own functions in place of xumx's faster ones",
    )
    group = parser.add_argument_group("data")
    group.add_argument(
        "--root",
        metavar="DIR",
        help="MUSDB18, the folder of train and test; without it, a preview of 7 s a track is downloaded",
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
    group = parser.add_argument_group("network")
    group.add_argument("--arch", choices=("x-umx", "umx"), default="x-umx", help="architecture")
    group.add_argument("--umx-train", action="store_true", help="the same as --arch umx")
    group.add_argument("--source", metavar="STEM", help="what a umx separates (default: vocals)")
    group.add_argument(
        "--sources",
        nargs="+",
        metavar="STEM",
        help="what an x-umx separates (default: bass drums vocals other)",
    )
    group.add_argument("--hidden-size", type=int, default=512, help="width of the layers")
    group.add_argument("--unidirectional", action="store_true", help="LSTM forward in time only")
    group.add_argument("--nfft", type=int, default=4096, help="window of the STFT, in samples")
    group.add_argument("--nhop", type=int, default=1024, help="hop of the STFT, in samples")
    group.add_argument("--bandwidth", type=float, default=16000.0, metavar="HZ", help="what the network sees")
    group.add_argument("--nb-channels", type=int, default=2, help="audio channels; 1: the mean of all")
    group = parser.add_argument_group("optimisation")
    group.add_argument("--batch-size", type=int, default=16, help="samples of a step")
    group.add_argument("--lr", type=float, default=1e-3, help="learning rate of Adam, at first")
    group.add_argument(
        "--lr-decay-patience", type=int, default=80, help="epochs without a new best before it falls"
    )
    group.add_argument("--lr-decay-gamma", type=float, default=0.3, help="factor by which it falls")
    group.add_argument(
        "--weight-decay", type=float, default=1e-5, help="gradient of the squared weights, times this"
    )
    group.add_argument("--mcoef", type=float, help="weight of the time-domain loss of x-umx (default: 10)")
    return parser


def _aggregate(text: str) -> dict[str, list[str]]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"no JSON ({error})") from None
    if not isinstance(value, dict) or not all(
        isinstance(v, list) and all(isinstance(name, str) for name in v) for v in value.values()
    ):
        raise argparse.ArgumentTypeError('needs an object of lists, such as {"name": ["drums", "bass"]}')
    return value


def _bitrate(text: str) -> int:
    digits, scale = (text[:-1], 1000) if text[-1:].lower() == "k" else (text, 1)
    if not digits.isdecimal() or not int(digits):
        raise argparse.ArgumentTypeError(f"{text!r} is no bit rate; write 320k or 320000")
    return int(digits) * scale
