"""``python -m xumx.convert``: weights from PyTorch's checkpoints, and to them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from xumx.base.cli import run
from xumx.base.console import say
from xumx.base.errors import UsageError
from xumx.base.options import Command, option


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(Command):
    """Options of ``python -m xumx.convert``."""

    PROG: ClassVar[str] = "python -m xumx.convert"
    ABOUT: ClassVar[str] = (
        "Convert Open-Unmix's checkpoints and asteroid's X-UMX to .h5 weights, and UMX or joint\n"
        "weights to Open-Unmix's, which alone needs PyTorch."
    )
    USAGE: ClassVar[str] = "[options] INPUT OUTPUT"
    EXAMPLES: ClassVar[tuple[str, ...]] = ("x-umxl.pth x-umxl.h5", "--to openunmix run1/best.h5 unmix/")

    input: Path = option(
        None,
        "a checkpoint, a folder of <target>.pth files, or, with --to openunmix, UMX or joint weights: "
        "<source>.h5 or a folder of them",
        metavar="INPUT",
        positional=True,
        required=True,
    )
    output: Path = option(
        None,
        "an .h5 file for X-UMX and for UMX of one source, otherwise a folder",
        metavar="OUTPUT",
        positional=True,
        required=True,
    )
    to: str | None = option(
        None, "write a folder that Open-Unmix loads (default: .h5 weights)", choices=("openunmix",)
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Convert what ``argv`` names; 0 if it is done, 1 if it failed, 2 for wrong usage."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    args = ConvertOptions.parse(argv)
    from xumx.network import pytorch as conversion
    from xumx.network import weights

    is_file = args.output.suffix == ".h5"
    if args.to == "openunmix":
        if is_file:
            raise UsageError(f"{args.output}: Open-Unmix's weights are a folder")
        if args.input.suffix in conversion.SUFFIXES:
            raise UsageError(f"{args.input} is PyTorch's already; `to` openunmix starts from .h5 weights")
        network = weights.load(args.input)
        conversion.openunmix.save(args.output, network)
    else:
        network = conversion.load(args.input)
        config, place = network.config, args.output
        if config.crossing and not is_file:
            raise UsageError(f"{args.output}: X-UMX is one file; give a name that ends in .h5")
        if len(config.sources) > 1 and not config.crossing and is_file:
            raise UsageError(f"{args.output}: UMX of several sources is a folder; give a name without .h5")
        if len(config.sources) == 1 and not is_file:
            place = args.output / f"{config.sources[0]}.h5"
        weights.save(place, network)
    c = network.config
    say(
        f"{args.output}: {c.arch} of {', '.join(c.sources)}; hidden size {c.hidden_size}, "
        f"FFT {c.n_fft}, hop {c.n_hop}, {c.sample_rate} Hz"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
