"""``python -m xumx.export``: a network as an ONNX file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from xumx.base.cli import Parser, run
from xumx.base.console import say
from xumx.base.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from xumx.network.config import ModelConfig

SECONDS = 10.0
"""How much audio the file is tried on."""


def export_parser() -> Parser:
    """``python -m xumx.export``."""
    parser = Parser(
        prog="python -m xumx.export",
        description="Write a network to one ONNX file, and try it beside the original.",
    )
    parser.add_argument(
        "--model",
        default="x-umx",
        help="name of published weights, a weights file (.h5), or a folder of UMX files (<source>.h5)",
    )
    parser.add_argument("--model-dir", metavar="DIR", help="folder of downloaded weights; also XUMX_HOME")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the file, .onnx")
    precision = parser.add_mutually_exclusive_group()
    precision.add_argument(
        "--fp16", action="store_true", help="half the size: matrices in half precision, computed in single"
    )
    precision.add_argument(
        "--int8", action="store_true", help="smaller and faster: LSTMs and matrices quantised to 8 bits"
    )
    parser.add_argument(
        "--check",
        metavar="AUDIO",
        help=f"song to try the file on, {SECONDS:g} s from its middle; noise if not given",
    )
    parser.add_argument("--quiet", "-q", action="store_true", help="print errors only")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Export what ``argv`` names; 0 if it is done, 1 if it failed, 2 for wrong usage."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    args = export_parser().parse_args(argv)
    if args.output.suffix != ".onnx":
        raise UsageError(f"--output {args.output}: give a name that ends in .onnx")
    if args.quiet and args.check is not None:
        raise UsageError("--check prints what it finds, and --quiet nothing: give one of them")
    from xumx.engines import onnx_file
    from xumx.network import pretrained, weights

    network = weights.load(pretrained.resolve(args.model, model_dir=args.model_dir, progress=not args.quiet))
    config = network.config
    audio = _excerpt(args.check, config) if args.check is not None else None
    precision = "float16" if args.fp16 else "int8" if args.int8 else "float32"
    onnx_file.save(args.output, network, precision)
    if args.quiet:
        return 0
    if audio is None:
        audio, name = _noise(config), f"{SECONDS:g} s of noise"
    else:
        name = f"{len(audio) / config.sample_rate:.3g} s of {Path(args.check).name}"
    found = onnx_file.compare(args.output, network, audio)
    size = args.output.stat().st_size
    say(f"{args.output}: {config.arch} of {', '.join(config.sources)} in {precision}, {size / 1e6:.1f} MB")
    say(f"on {name}: {1000 * found.seconds:.0f} ms; float32 in xumx: {1000 * found.float32_seconds:.0f} ms")
    sdr = {s: f"{value:.1f} dB" if isfinite(value) else "equal" for s, value in found.sdr.items()}
    say(f"SDR against the estimates in float32: {', '.join(f'{s} {value}' for s, value in sdr.items())}")
    return 0


def _excerpt(song: str, config: ModelConfig) -> np.ndarray:
    """The middle of a song, as the network takes it."""
    from xumx import audio

    length = audio.probe(song).duration
    start = max(((length or 0.0) - SECONDS) / 2, 0.0)
    samples, _ = audio.read(
        song, sample_rate=config.sample_rate, channels=config.nb_channels, start=start, duration=SECONDS
    )
    return samples


def _noise(config: ModelConfig) -> np.ndarray:
    """Noise with the spectrum and the ups and downs of music, always the same; its peak is 0.5."""
    import numpy as np

    rng = np.random.default_rng(0)
    samples = round(SECONDS * config.sample_rate)
    spectrum = np.fft.rfft(rng.standard_normal((samples, config.nb_channels)), axis=0)
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))[:, None]  # as much energy in each octave
    beats = np.exp(-4 * (2 * np.arange(samples) / config.sample_rate % 1))  # two a second
    audio = np.fft.irfft(spectrum, samples, axis=0) * beats[:, None]
    return (0.5 * audio / np.abs(audio).max()).astype(np.float32)


if __name__ == "__main__":
    sys.exit(main())
