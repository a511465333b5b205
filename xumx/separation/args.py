"""The options of ``python -m xumx.test``, and those of every command that separates."""

from __future__ import annotations

import argparse
from typing import Any

from xumx.base import jsonfile
from xumx.base.cli import Parser


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
    """What a :class:`~xumx.separation.separator.Separator` takes of these options."""
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
        help="audio or video files, folders of them, globs, or pipes; - is stdin",
    )
    parser.add_argument(
        "--start", type=float, default=0.0, metavar="SECONDS", help="where to begin in the song"
    )
    parser.add_argument(
        "--duration", type=float, metavar="SECONDS", help="how much to separate; all if not given"
    )
    parser.add_argument(
        "--audio-track",
        type=int,
        metavar="N",
        help="which audio track of films and the like, counted from 0; the default one if not given",
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
    group.add_argument(
        "--report",
        action="store_true",
        help="write a page to listen to a song and its stems, index.html, beside them",
    )
    return parser




def _aggregate(text: str) -> dict[str, list[str]]:
    try:
        return jsonfile.parse(text, dict[str, list[str]])
    except jsonfile.JsonError as error:
        needs = 'it needs an object of lists, such as {"name": ["drums", "bass"]}'
        raise argparse.ArgumentTypeError(f"{error}; {needs}") from None


def _bitrate(text: str) -> int:
    digits, scale = (text[:-1], 1000) if text[-1:].lower() == "k" else (text, 1)
    if not digits.isdecimal() or not int(digits):
        raise argparse.ArgumentTypeError(f"{text!r} is no bit rate; write 320k or 320000")
    return int(digits) * scale
