"""``python -m xumx.export``: a network as an ONNX file."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from xumx.base.cli import run
from xumx.base.console import say
from xumx.base.errors import UsageError, listing
from xumx.base.options import Command, like, option
from xumx.separation.options import SeparatorOptions

if TYPE_CHECKING:
    import numpy as np

    from xumx.network.config import ModelConfig

SECONDS = 10.0
"""How much audio the file is tried on."""

_precision = partial(option, group="precision", exclusive=True)


@dataclass(frozen=True, kw_only=True)
class ExportOptions(Command):
    """Options of ``python -m xumx.export``."""

    PROG: ClassVar[str] = "python -m xumx.export"
    ABOUT: ClassVar[str] = "Write a network to one ONNX file, and try it beside the original."
    EXAMPLES: ClassVar[tuple[str, ...]] = ("-n x-umx -o x-umx.onnx --check song.mp3",)

    model: str = option("x-umx", "name of published weights, or their path", also=("-n",))
    model_dir: str | None = like(SeparatorOptions, "model_dir", group="")
    output: Path = option(None, "the file, .onnx", metavar="FILE", required=True, also=("-o",))
    fp16: bool = _precision(False, "half the size: matrices in half precision, computed in single")
    int8: bool = _precision(False, "smaller and faster: LSTMs and matrices quantised to 8 bits")
    check: str | None = option(
        None,
        f"song to try it on, {SECONDS:g} s from its middle, or a folder of its true stems, <source>.wav, "
        "to tell what is lost of the truth (default: noise)",
        metavar="AUDIO",
    )
    quiet: bool = option(False, "print errors only", also=("-q",))

    def validate(self, given: Collection[str]) -> None:
        """Refuse what makes no file, or says nothing."""
        if self.output.suffix != ".onnx":
            raise UsageError(f"`output` {self.output}: give a name that ends in .onnx")
        if self.quiet and self.check is not None:
            raise UsageError("`check` prints what it finds, and `quiet` nothing: give one of them")


def main(argv: Sequence[str] | None = None) -> int:
    """Export what ``argv`` names; 0 if it is done, 1 if it failed, 2 for wrong usage."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    args = ExportOptions.parse(argv)
    from xumx.engines import onnx_file
    from xumx.network import pretrained, weights

    network = weights.load(pretrained.resolve(args.model, model_dir=args.model_dir, progress=not args.quiet))
    config = network.config
    audio, truth = (None, {}) if args.check is None else _excerpts(args.check, config)
    precision = "float16" if args.fp16 else "int8" if args.int8 else "float32"
    onnx_file.save(args.output, network, precision)
    if args.quiet:
        return 0
    if audio is None:
        audio, name = _noise(config), f"{SECONDS:g} s of noise"
    else:
        song = os.path.basename(os.path.abspath(args.check or ""))
        name = f"{len(audio) / config.sample_rate:.3g} s of {song}"
    found = onnx_file.compare(args.output, network, audio, truth)
    size = args.output.stat().st_size
    say(f"{args.output}: {config.arch} of {', '.join(config.sources)} in {precision}, {size / 1e6:.1f} MB")
    say(f"on {name}: {1000 * found.seconds:.0f} ms; float32 in xumx: {1000 * found.float32_seconds:.0f} ms")
    sdr = {s: f"{value:.1f} dB" if isfinite(value) else "equal" for s, value in found.sdr.items()}
    say(f"SDR against the estimates in float32: {', '.join(f'{s} {value}' for s, value in sdr.items())}")
    if found.truth:
        lost = {s: file - single for s, (file, single) in found.truth.items()}
        each = ", ".join(f"{s} {found.truth[s][0]:.2f} dB ({lost[s]:+.3f})" for s in lost)
        mean = sum(lost.values()) / len(lost)
        say(f"SDR against the truth, and what of it is not float32's: {each}; on average {mean:+.3f} dB")
    return 0


def _excerpts(path: str, config: ModelConfig) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A stretch of a song and, from a folder of its stems, of each of them, whose sum is then the song."""
    if not os.path.isdir(path):
        return _excerpt(path, config), {}
    stems = {source: Path(path, f"{source}.wav") for source in config.sources}
    if missing := [file.name for file in stems.values() if not file.is_file()]:
        raise UsageError(f"`check` {path}: the folder lacks {listing(missing)}, true stems of this network")
    truth = {source: _excerpt(str(file), config) for source, file in stems.items()}
    if len({len(samples) for samples in truth.values()}) > 1:
        raise UsageError(f"`check` {path}: its stems are not of one length")
    first, *others = truth.values()
    return sum(others, start=first), truth


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
