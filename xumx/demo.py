"""``python -m xumx.demo``: xumx in a minute, and music to try it with."""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xumx.base.cli import Parser, run
from xumx.base.console import Bar, say
from xumx.base.errors import UsageError, XumxError

if TYPE_CHECKING:
    import numpy as np

_SUBSET = 3
"""Of the songs here: those of data sets, of the same seed, are of the subsets 0 to 2."""


_BYTES_A_SECOND, _PAGE = 9 * 4 * 44100, 20_000_000
"""Most that a song, its four sources and their stems take, in 16 bits and stereo, and the page."""


def main(argv: Sequence[str] | None = None) -> int:
    """Do what ``argv`` says; 0 if all is done, 1 if it failed, 2 for wrong usage."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    args = demo_parser().parse_args(argv)
    return int(args.command(args))


def demo_parser() -> Parser:
    """``python -m xumx.demo``."""
    parser = Parser(prog="python -m xumx.demo", description="See what xumx does, offline.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    _add_song(commands)
    _add_dataset(commands)
    return parser


def _add_song(commands: argparse._SubParsersAction[Parser]) -> None:
    text = "Compose a song, separate it, score its stems, and write a page to listen to them."
    parser = commands.add_parser("song", help=text, description=text)
    parser.add_argument("--out", default="demo", metavar="DIR", help="folder of song, stems and page")
    parser.add_argument("--model", default="demo", help="as for xumx.test")
    parser.add_argument("--duration", type=float, default=40.0, metavar="SECONDS", help="of the song")
    parser.add_argument("--seed", type=int, default=0, help="another seed is another song; 0 if not given")
    parser.add_argument("--no-open", action="store_true", help="do not open the page in a browser")
    parser.add_argument("--quiet", "-q", action="store_true", help="print errors only")
    parser.set_defaults(command=_song)


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


def _song(args: argparse.Namespace) -> int:
    import numpy as np

    from xumx.base.files import check_room
    from xumx.report import check, write
    from xumx.separation.naming import Output
    from xumx.separation.separator import Separator
    from xumx.separation.song import separate_song
    from xumx.synth import MIXTURE, RATE, song

    if args.seed < 0:
        raise UsageError(f"--seed must be 0 or more, not {args.seed}")
    if not 2 <= args.duration <= 3600:
        raise UsageError(f"--duration must be 2 to 3600 seconds, not {args.duration:g}")
    folder = Path(args.out).expanduser()
    output = Output(str(folder / "stems"))
    separator = Separator(args.model, show_download=not args.quiet)
    check_room("--out", folder, round(_BYTES_A_SECOND * args.duration) + _PAGE)
    check(folder / "index.html")

    tell = say if not args.quiet else lambda text: None
    tell(f"composing {args.duration:g} s of music (seed {args.seed})")
    truth = song(args.duration, np.random.default_rng([args.seed, _SUBSET]))
    mix = _write(folder / f"song {args.seed}.flac", truth.pop(MIXTURE), RATE)
    for source, audio in truth.items():
        _write(folder / "truth" / f"{source}.flac", audio, RATE)

    (stems,) = output.paths([mix], separator.stems, args.model)
    with Bar(args.duration, "separating", unit="s", quiet=args.quiet) as bar:
        separate_song(separator, mix, stems, output, progress=bar.update)
    scores = _scores(truth, mix, stems)
    if scores:
        tell("")
        tell(f"{'SDR in dB':10}{'mixture':>10}{'stem':>10}")
        for source, values in scores.items():
            tell(f"{source:10}{values['SDR of the mixture']:10.1f}{values['SDR']:10.1f}")

    with Bar(1, "page", quiet=args.quiet, leave=False) as bar:
        about = f"made by rule, separated by xumx with {args.model}"
        page = write(folder, f"Song {args.seed}", mix, stems, scores, about=about, progress=bar.update)
    tell("")
    tell(f"stems in {folder / 'stems'}, what they should be in {folder / 'truth'}; listen on {page}")
    if not (args.no_open or args.quiet) and _has_screen():
        webbrowser.open(page.resolve().as_uri())
    return 0


def _write(path: Path, audio: np.ndarray, rate: int) -> Path:
    from xumx.audio import Writer

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise XumxError(f"--out {path.parent}: cannot be made ({error.strerror})") from None
    with Writer(path, rate, len(audio), format="flac") as writer:
        writer.write(audio.T)
    return path


def _scores(
    truth: Mapping[str, np.ndarray], mix: Path, stems: Mapping[str, Path]
) -> dict[str, dict[str, float]]:
    """SDR of BSS Eval v4 of the stems that have a truth, medians over seconds, beside the mixture's.

    A source that is silent throughout has none. The other metrics say little of music like this: sources
    without noise leave the equations close to singular.
    """
    import numpy as np

    from xumx.audio import read
    from xumx.eval.bsseval import bss_eval

    known = [stem for stem in stems if stem in truth and truth[stem].any()]
    if len(known) < 2:
        return {}
    references = np.stack([truth[stem].T for stem in known])
    estimates = np.stack([read(stems[stem])[0] for stem in known])
    mixtures = np.broadcast_to(read(mix)[0], references.shape)
    after, before = (
        np.nanmedian(bss_eval(references, audio, threads=2)[0], axis=1) for audio in (estimates, mixtures)
    )
    return {
        stem: {"SDR": float(after[i]), "SDR of the mixture": float(before[i])} for i, stem in enumerate(known)
    }


def _has_screen() -> bool:
    """Whether a browser would be seen: elsewhere, ``webbrowser`` may start one in the terminal."""
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def _dataset(args: argparse.Namespace) -> int:
    from xumx.synth.dataset import Settings, generate

    settings = Settings(args.tracks, args.valid, args.test, args.seed, args.duration, args.format)
    songs = generate(args.out, settings, args.workers)
    count = args.tracks + args.valid + args.test
    with Bar(count, unit="songs", quiet=args.quiet) as bar:
        for _ in bar.over(songs):
            pass
    if not args.quiet:
        wav = " --is-wav" if args.format == "wav" else ""
        say(f"songs in {args.out}; train on them with: python -m xumx.train --root {args.out}{wav} ...")
    return 0


if __name__ == "__main__":
    sys.exit(main())
