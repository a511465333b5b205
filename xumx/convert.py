"""``python -m xumx.convert``: weights from PyTorch's checkpoints, and to them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from xumx.base.cli import Parser, run
from xumx.base.console import say
from xumx.base.errors import UsageError, install


def convert_parser() -> Parser:
    """``python -m xumx.convert``."""
    parser = Parser(
        prog="python -m xumx.convert",
        description="Convert Open-Unmix's checkpoints and asteroid's X-UMX to .h5 weights, and UMX or joint "
        f"weights to Open-Unmix's, which alone needs PyTorch: {install('torch')}.",
    )
    parser.add_argument(
        "input",
        type=Path,
        metavar="INPUT",
        help="a checkpoint, a folder of <target>.pth files, or, with --to openunmix, UMX or joint weights: "
        "<source>.h5 or a folder of them",
    )
    parser.add_argument(
        "output",
        type=Path,
        metavar="OUTPUT",
        help="an .h5 file for X-UMX and for UMX of one source, otherwise a folder",
    )
    parser.add_argument(
        "--to", choices=("openunmix",), help="write a folder that Open-Unmix loads; .h5 weights if not given"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Convert what ``argv`` names; 0 if it is done, 1 if it failed, 2 for wrong usage."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    args = convert_parser().parse_args(argv)
    from xumx.network import pytorch as conversion
    from xumx.network import weights

    is_file = args.output.suffix == ".h5"
    if args.to == "openunmix":
        if is_file:
            raise UsageError(f"{args.output}: Open-Unmix's weights are a folder")
        if args.input.suffix in conversion.SUFFIXES:
            raise UsageError(f"{args.input} is PyTorch's already; --to openunmix starts from .h5 weights")
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
