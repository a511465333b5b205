"""``python -m xumx.demo``: music to try xumx with."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from xumx.args import Parser, run


def main(argv: Sequence[str] | None = None) -> int:
    """Do what ``argv`` says; 0 if all is done, 1 if it failed, 2 for wrong usage."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    args = demo_parser().parse_args(argv)
    return int(args.command(args))


def demo_parser() -> Parser:
    """``python -m xumx.demo``."""
    parser = Parser(prog="python -m xumx.demo", description="Music to try xumx with.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    _add_dataset(commands)
    return parser


def _add_dataset(commands: argparse._SubParsersAction[Parser]) -> None:
    text = "Write songs made by rule, with their stems, in MUSDB18's layout."
    parser = commands.add_parser("dataset", help=text, description=text)
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder; an interrupted run goes on where it stopped"
    )
    parser.add_argument("--tracks", type=int, default=100, metavar="N", help="songs to train on")
    parser.add_argument(
        "--valid",
        type=int,
        default=14,
        metavar="N",
        help="songs to validate on, with MUSDB18's names for them",
    )
    parser.add_argument("--test", type=int, default=20, metavar="N", help="songs to test with")
    parser.add_argument("--seed", type=int, default=0, help="of the songs; 0 if not given")
    parser.add_argument(
        "--duration", type=float, default=60.0, metavar="SECONDS", help="of a song, more or less a fifth"
    )
    parser.add_argument(
        "--format", choices=("stems", "wav"), default="stems", help=".stem.mp4 files or folders of wav files"
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="songs at the same time")
    parser.add_argument("--quiet", "-q", action="store_true", help="print errors only")
    parser.set_defaults(command=_dataset)


def _dataset(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from xumx.data.synth.dataset import Settings, generate

    settings = Settings(args.tracks, args.valid, args.test, args.seed, args.duration, args.format)
    songs = generate(args.out, settings, args.workers)
    count = args.tracks + args.valid + args.test
    for _ in tqdm(songs, total=count, unit="song", disable=args.quiet):
        pass
    if not args.quiet:
        wav = " --is-wav" if args.format == "wav" else ""
        print(f"songs in {args.out}; train on them with: python -m xumx.train --root {args.out}{wav} ...")
    return 0


if __name__ == "__main__":
    sys.exit(main())
