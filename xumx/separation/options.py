"""The options of ``python -m xumx.test``, and those of every command that separates."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from xumx.base import jsonfile
from xumx.base.options import Command, option

_network = partial(option, group="network")
_separation = partial(option, group="separation")
_output = partial(option, group="output")


def _aggregate(text: str) -> dict[str, list[str]]:
    try:
        return jsonfile.parse(text, dict[str, list[str]])
    except jsonfile.JsonError as error:
        needs = 'it needs an object of lists, such as {"name": ["drums", "bass"]}'
        raise argparse.ArgumentTypeError(f"{error}; {needs}") from None


def _assignment(text: str) -> str:
    if not text.partition("=")[0] or "=" not in text:
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME=VALUE")
    return text


def _bitrate(text: str) -> int:
    digits, scale = (text[:-1], 1000) if text[-1:].lower() == "k" else (text, 1)
    if not digits.isdecimal() or not int(digits):
        raise argparse.ArgumentTypeError(f"{text!r} is no bit rate; write 320k or 320000")
    return int(digits) * scale


@dataclass(frozen=True, kw_only=True)
class SeparatorOptions(Command):
    """Options of every command that separates: what a :class:`~xumx.separation.separator.Separator` takes."""

    model: str = _network(
        "x-umx",
        "name of published weights, a weights file (.h5), or a folder of UMX files (<source>.h5)",
    )
    model_dir: str | None = _network(None, "folder of downloaded weights; also XUMX_HOME", metavar="DIR")
    umx_infer: bool = _network(False, "insist on UMX weights (xumx tells UMX from X-UMX by itself)")
    engine: str = _network("auto", "what runs the network", choices=("auto", "onnx", "nnabla"))
    context: str = _network(
        "auto",
        "where to compute: auto, cpu, cudnn (by NNabla), or what ONNX Runtime has: cuda, tensorrt, openvino, "
        "directml, coreml, webgpu, ...",
        also=("-c",),
    )
    device_id: str | None = _network(
        None,
        "which GPU, from 0 on, or which device of OpenVINO (GPU, NPU, ...); the first if not given",
        also=("-d",),
    )
    precision: str = _network(
        "float32",
        "of the network: int8 takes half the time on a CPU, float16 is for GPUs",
        choices=("float32", "float16", "int8"),
    )
    provider_option: tuple[str, ...] = _network(
        (), "of ONNX Runtime's provider, such as use_tf32=1 for cuda", type=_assignment, metavar="NAME=VALUE"
    )

    targets: tuple[str, ...] | None = _separation(None, "stems to write; all if not given", metavar="STEM")
    two_stems: str | None = _separation(
        None, "write this stem and no_<stem>, the song without it", metavar="STEM"
    )
    aggregate: Mapping[str, Sequence[str]] | None = _separation(
        None,
        """write sums of stems instead, such as '{"accompaniment": ["drums", "bass", "other"]}'""",
        type=_aggregate,
        metavar="JSON",
    )
    residual_model: bool = _separation(False, "add a stem 'residual' for what no source explains")
    niter: int = _separation(1, "iterations of the EM Wiener filter")
    softmask: bool = _separation(False, "start the filter from a ratio mask")
    alpha: float = _separation(1.0, "exponent of the magnitudes in the ratio mask")
    chunk_dur: float = _separation(10.0, "length of a chunk; 0: the whole song at once", metavar="SECONDS")
    overlap: float | None = _separation(
        None, "of a chunk, shared with the next; 0.05 if not given", metavar="FRACTION"
    )

    def separator(self) -> dict[str, Any]:
        """What a :class:`~xumx.separation.separator.Separator` takes of these options."""
        names = (field.name for field in dataclasses.fields(SeparatorOptions))
        given = {name: getattr(self, name) for name in names if name not in ("umx_infer", "provider_option")}
        return {**given, "provider_options": dict(text.split("=", 1) for text in self.provider_option)}


@dataclass(frozen=True, kw_only=True)
class SongOptions(SeparatorOptions):
    """Options of ``python -m xumx.test``."""

    PROG: ClassVar[str] = "python -m xumx.test"
    ABOUT: ClassVar[str] = "Separate songs into stems."

    inputs: tuple[str, ...] = option(
        (),
        "audio or video files, folders of them, globs, or pipes; - is stdin",
        metavar="PATH",
        required=True,
    )
    start: float = option(0.0, "where to begin in the song", metavar="SECONDS")
    duration: float | None = option(None, "how much to separate; all if not given", metavar="SECONDS")
    audio_track: int | None = option(
        None,
        "which audio track of films and the like, counted from 0; the default one if not given",
        metavar="N",
    )
    quiet: bool = option(False, "print errors only", also=("-q",))

    outdir: str | None = _output(
        None,
        "folder of the stems, with a folder a song if there are several; <song>_<model> if not given",
        also=("--out-dir",),
        metavar="DIR",
    )
    filename: str | None = _output(
        None,
        "path below the folder, of {song}, {stem}, {model} and {ext}, such as '{song} ({stem}).{ext}'",
        metavar="TEMPLATE",
    )
    format: str = _output("wav", "of the stems", choices=("wav", "flac", "mp3", "ogg", "opus", "m4a"))
    bitrate: int | None = _output(None, "a second, for lossy formats: 320k", type=_bitrate, metavar="BITS")
    subtype: str | None = _output(None, "samples of wav and flac", choices=("int16", "int24", "float32"))
    sample_rate: int | None = _output(None, "of the stems; the song's if not given", metavar="HZ")
    clip_mode: str | None = _output(
        None,
        "stems beyond full scale: one gain for all stems of the song (default), cut off, or left alone "
        "(default for float32)",
        choices=("rescale", "clamp", "none"),
    )
    report: bool = _output(False, "write a page to listen to a song and its stems, index.html, beside them")
