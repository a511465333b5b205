"""The options of ``python -m xumx.test``, and those of every command that separates."""

from __future__ import annotations

import argparse
import dataclasses
import glob
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from xumx.base import jsonfile
from xumx.base.errors import UsageError
from xumx.base.options import Command, option
from xumx.network.catalogue import SUFFIXES, find

if TYPE_CHECKING:
    from xumx.separation.separator import Separator

STEM_FILE = "stem.mp4"
"""The format of one file that holds a song and its stems."""

_network = partial(option, group="network")
_separation = partial(option, group="separation")
_output = partial(option, group="output")
_live = partial(option, group="live")


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


def _gain(text: str) -> tuple[str, float]:
    """``vocals=-12dB`` or ``drums=0``: a stem and the factor of its samples."""
    stem, _, value = text.rpartition("=")
    number = value.lower().removesuffix("db")
    try:
        gain = float(number)
        gain = gain if number == value.lower() else 10 ** (gain / 20)
    except (ValueError, OverflowError):
        gain = -1.0
    if not stem or not 0 <= gain <= _LOUDEST:
        raise argparse.ArgumentTypeError(f"{text!r} is no gain; write vocals=-12dB, or drums=0 to leave out")
    return stem, gain


def _is_network(text: str) -> bool:
    """Whether a word is meant as a network: a name, a file of weights, or a folder of them."""
    return (
        find(text) is not None
        or text.endswith((".h5", *SUFFIXES))
        or any(glob.iglob(os.path.join(glob.escape(text), "*.h5")))
    )


def _short(model: str) -> str:
    known, path = find(model), os.path.abspath(model)
    if known:
        return known.name
    return os.path.basename(path) if os.path.isdir(path) else Path(path).stem


def _gains(text: str) -> tuple[tuple[str, float], ...]:
    return tuple(map(_gain, text.split()))


_LOUDEST = 100.0
"""Factor of a stem in a mixdown: 40 dB."""


@dataclass(frozen=True, kw_only=True)
class SeparatorOptions(Command):
    """Options of every command that separates: what a :class:`~xumx.separation.separator.Separator` takes."""

    model: tuple[str, ...] = _network(
        ("x-umx",),
        "name of published weights, a weights file (.h5), or a folder of UMX files (<source>.h5); of several "
        "networks, the mean estimate counts",
        metavar="MODEL",
        also=("-n",),
        basic=True,
    )
    weights: tuple[str, ...] | None = _network(
        None,
        "how much each of several networks counts: MODEL=NUMBER each, or a file that xumx.eval --fit-weights "
        "wrote (default: all the same)",
        metavar="WEIGHT",
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
        "which GPU, from 0 on, or which device of OpenVINO: GPU, NPU, ... (default: the first)",
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

    targets: tuple[str, ...] | None = _separation(
        None, "stems to write (default: all)", metavar="STEM", basic=True
    )
    two_stems: str | None = _separation(
        None, "write this stem and no_<stem>, the song without it", metavar="STEM", basic=True
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
    level: str = _separation(
        "auto",
        "whether networks see songs that are much quieter than what they were trained on at its level",
        choices=("auto", "as-is"),
    )
    chunk_dur: float = _separation(10.0, "length of a chunk; 0: the whole song at once", metavar="SECONDS")
    overlap: float | None = _separation(
        None, "of a chunk, shared with the next (default: 0.05)", metavar="FRACTION"
    )

    def separator(self) -> dict[str, Any]:
        """What a :class:`~xumx.separation.separator.Separator` takes of these options."""
        names = (field.name for field in dataclasses.fields(SeparatorOptions))
        elsewhere = ("umx_infer", "weights", "provider_option")
        values = {name: getattr(self, name) for name in names if name not in elsewhere}
        values["provider_options"] = dict(text.split("=", 1) for text in self.provider_option)
        values["model"] = self.model[0] if len(self.model) == 1 else self.model
        if self.weights is not None:
            from xumx.separation.blend import read_weights  # imports the numerics

            values["weights"] = read_weights(self.weights)
        return values

    def open(self, *, show_download: bool) -> Separator:
        """Load the network, or the networks.

        Raises
        ------
        UsageError
            For options that cannot be, and for one that is no UMX where that is insisted on.
        WeightsError
        """
        from xumx.separation.separator import Separator

        separator = Separator(**self.separator(), show_download=show_download)
        if self.umx_infer and not separator.config.independent:
            arch = separator.config.arch
            raise UsageError(f"`umx_infer`: {self.model[0]} is no UMX but {arch}; leave the option out")
        return separator

    @property
    def name(self) -> str:
        """What folders and pages call the networks: ``x-umx+umxl``, or ``best`` of ``runs/a/best.h5``."""
        return "+".join(map(_short, self.model))


@dataclass(frozen=True, kw_only=True)
class SongOptions(SeparatorOptions):
    """Options of ``python -m xumx.test``."""

    PROG: ClassVar[str] = "python -m xumx.test"
    ABOUT: ClassVar[str] = "Separate songs into stems: vocals, drums, bass and the rest."
    USAGE: ClassVar[str] = "[options] FILE [FILE ...]"
    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "song.mp3",
        "song.mp3 live/ -o stems -n x-umx -f mp3",
        "song.mp3 --two-stems vocals --report",
        "talk.mp4 --mix vocals=-12dB --remux",
    )

    inputs: tuple[str, ...] = option(
        (),
        "audio or video files, folders of them, globs, or pipes; - is stdin",
        metavar="FILE",
        also=("-i",),
        required=True,
        positional=True,
        basic=True,
    )
    start: float = option(0.0, "where to begin in the song", metavar="SECONDS", basic=True)
    duration: float | None = option(
        None, "how much to separate (default: all)", metavar="SECONDS", basic=True
    )
    audio_track: int | None = option(
        None,
        "which audio track of films and the like, counted from 0 (default: the default one)",
        metavar="N",
    )
    skip_done: bool = option(False, "leave out songs whose stems are there already, made by the same request")
    json: bool = option(False, "print a line of JSON for each song, and nothing else")
    quiet: bool = option(False, "print errors only", also=("-q",), basic=True)

    outdir: str | None = _output(
        None,
        "folder of the stems, with a folder a song if there are several; if not given, <song>_<model>, and "
        "separated/<model> for several",
        also=("--out-dir", "-o"),
        metavar="DIR",
        basic=True,
    )
    filename: str | None = _output(
        None,
        "path below the folder, of {song}, {stem}, {model} and {ext}, such as '{song} ({stem}).{ext}'",
        metavar="TEMPLATE",
    )
    format: str = _output(
        "wav",
        "of the stems; stem.mp4 is one file of the song and its four stems, for DJ software",
        choices=("wav", "flac", "mp3", "ogg", "opus", "m4a", STEM_FILE),
        also=("-f",),
        basic=True,
    )
    bitrate: int | None = _output(
        None, "a second, for lossy formats: 320k", type=_bitrate, metavar="BITS", also=("-b",), basic=True
    )
    subtype: str | None = _output(None, "samples of wav and flac", choices=("int16", "int24", "float32"))
    sample_rate: int | None = _output(None, "of the stems; the song's if not given", metavar="HZ")
    clip_mode: str | None = _output(
        None,
        "stems beyond full scale: one gain for all stems of the song (default), cut off, or left alone "
        "(default for float32)",
        choices=("rescale", "clamp", "none"),
    )
    mix: tuple[tuple[tuple[str, float], ...], ...] | None = _output(
        None,
        "write the sum of the stems too, with these gains: vocals=-12dB, drums=0 to leave out",
        type=_gains,
        metavar="STEM=GAIN",
        basic=True,
    )
    remux: bool = _output(
        False, "write films again, with the stems as audio tracks, or with the mix that is given", basic=True
    )
    report: bool = _output(
        False, "write a page to listen to a song and its stems, index.html, beside them", basic=True
    )

    live: bool = _live(
        False,
        "separate raw PCM from stdin while it comes, at the network's sample rate, to stdout, or to files in "
        "--outdir; for networks that were trained with --unidirectional",
    )
    pcm: str = _live("f32le", "samples on stdin and stdout, as ffmpeg calls them", choices=("f32le", "s16le"))
    pcm_channels: int | None = _live(None, "channels on stdin, 1 or 2 (default: the network's)", metavar="N")

    @classmethod
    def arranged(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Take for a song what stands behind ``--model`` and is no network: ``-n demo song.mp3``.

        A live stream comes from stdin, unsaid.
        """
        models = values.get("model", ())
        count = next((i for i, text in enumerate(models) if i and not _is_network(text)), len(models))
        if count < len(models):
            songs = (*models[count:], *values.get("inputs", ()))
            values = {**values, "model": models[:count], "inputs": songs}
        return {"inputs": ("-",), **values} if values.get("live") else values

    @property
    def gains(self) -> dict[str, float] | None:
        """What ``mix`` says of each stem."""
        return None if self.mix is None else dict(gain for gains in self.mix for gain in gains)

    def validate(self, given: Collection[str]) -> None:
        """Refuse what would do nothing, or cannot be."""
        self._check_live(set(given))
        if self.audio_track is not None and self.audio_track < 0:
            raise UsageError(f"`audio_track` must be 0 or more, not {self.audio_track}")
        if self.report and self.format == STEM_FILE:
            raise UsageError(f"`report` plays a file a stem, and {STEM_FILE} is one of all: leave one out")
        if self.remux and {"start", "duration"} & set(given):
            raise UsageError("`remux` keeps the whole picture: leave `start` and `duration` out")
        if self.mix and self.format == STEM_FILE and not self.remux:
            raise UsageError(f"`mix` is a file beside others, and {STEM_FILE} one of all: leave one out")
        if self.json and self.quiet:
            raise UsageError("`json` prints, and `quiet` does not: give one of them")

    def _check_live(self, given: set[str]) -> None:
        """Refuse what a live stream cannot follow, and what is for one alone."""
        if not self.live:
            for name in ("pcm", "pcm_channels"):
                if name in given:
                    raise UsageError(f"`{name}` is for `live`: leave it out, or add that")
            return
        if self.inputs != ("-",):
            raise UsageError(f"`live` reads stdin alone: leave {self.inputs[0]} out")
        if "model" not in given:  # the default is bidirectional, as all published networks are
            raise UsageError("`live` needs a `model` that was trained with `unidirectional` (docs/live.md)")
        if self.pcm_channels not in (None, 1, 2):
            raise UsageError(f"`pcm_channels` must be 1 or 2, not {self.pcm_channels}")
        idle = next((name for name in (*_WHOLE, *(() if self.outdir else _FILES)) if name in given), None)
        if idle is not None:
            what = "is for files: add `outdir`" if idle in _FILES else "is for whole songs: leave it out"
            raise UsageError(f"`{idle}` {what} with `live`")
        if self.format == STEM_FILE:
            raise UsageError(f"`format` {STEM_FILE} is for whole songs: choose another with `live`")


_WHOLE = (
    *("weights", "umx_infer", "engine", "context", "device_id", "provider_option"),
    *("chunk_dur", "overlap", "start", "duration", "audio_track", "skip_done", "json"),
    *("sample_rate", "clip_mode", "mix", "remux", "report"),
)
"""Options that do nothing for a live stream, or cannot be known before its end."""

_FILES = ("filename", "format", "bitrate", "subtype")
"""Options of the files of stems."""
