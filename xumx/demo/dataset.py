"""``xumx demo dataset``: songs made by rule, to train on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from xumx.base.cli import run
from xumx.base.commands import sibling
from xumx.base.console import Bar, say
from xumx.demo.options import DemoDataset


def main(argv: Sequence[str] | None = None) -> int:
    """Write the data set that ``argv`` says; 0 if all is done, 1 if it failed, 2 for wrong usage."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    args = DemoDataset.parse(argv)
    from xumx.synth.dataset import Settings, generate
    from xumx.synth.timbres import Timbres

    timbres = Timbres.named(args.soundfont, args.voices) or Timbres()
    settings = Settings(
        args.tracks,
        args.valid,
        args.test,
        args.seed,
        args.duration,
        args.format,
        timbres.soundfonts,
        timbres.voices,
    )
    count = args.tracks + args.valid + args.test

    def hearing(voices: Iterable[str]) -> Iterator[str]:
        with Bar(len(timbres.voices), unit="voices", quiet=args.quiet, leave=False) as bar:
            for number, voice in enumerate(voices):
                bar.update(min(number, 1))  # the one before has been heard
                bar.label(f"hearing {voice}")
                yield voice

    songs = generate(args.out, settings, args.workers, hearing)
    with Bar(count, unit="songs", quiet=args.quiet) as bar:
        for _ in bar.over(songs):
            pass
    if not args.quiet:
        wav = " --is-wav" if args.format == "wav" else ""
        say(f"songs in {args.out}; train on them with: {sibling('train')} --root {args.out}{wav} ...")
    return 0
