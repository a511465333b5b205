"""``xumx demo song``: xumx in a minute."""

from __future__ import annotations

import functools
import os
import sys
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xumx.base import log
from xumx.base.cli import run
from xumx.base.console import Bar, say
from xumx.base.files import check_room, make_folder
from xumx.demo.options import DemoSong

if TYPE_CHECKING:
    import numpy as np

    from xumx.synth import Timbres

_SUBSET = 3
"""Of the songs here: those of data sets, of the same seed, are of the subsets 0 to 2."""


_BUNDLED = Path(__file__).with_name("song.stem.mp4")

_BYTES_A_SECOND, _PAGE = 9 * 4 * 44100, 20_000_000
"""Most that a song, its four sources and their stems take, in 16 bits and stereo, and the page."""


def main(argv: Sequence[str] | None = None) -> int:
    """Make the demo that ``argv`` says; 0 if all is done, 1 if it failed, 2 for wrong usage."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    args = DemoSong.parse(argv)
    if args.quiet:
        log.only_errors()
    import numpy as np

    from xumx.audio import probe
    from xumx.report import check, write
    from xumx.separation.naming import Output
    from xumx.separation.separator import Separator
    from xumx.separation.song import separate_song
    from xumx.synth import MIXTURE, RATE, Timbres, song

    duration = (args.duration or 40.0) if args.composes else probe(_BUNDLED).duration or 0.0
    timbres = Timbres.named(args.soundfont, args.voices, needed=False)
    if timbres is not None:
        timbres.check()
    folder = Path(args.out).expanduser()
    output = Output(str(folder / "stems"))
    separator = Separator(args.model, show_download=not args.quiet)
    check_room("`out`", folder, round(_BYTES_A_SECOND * duration) + _PAGE)
    check(folder / "index.html")

    tell = say if not args.quiet else lambda text: None
    if args.composes:
        seed, by = args.seed or 0, _by(timbres)
        title = f"Song {seed}"
        tell(f"composing {duration:g} s of music (seed {seed}), {by}")
        truth = song(duration, np.random.default_rng([seed, _SUBSET]), timbres)
    else:
        title = "Song"
        by = "the song that comes with xumx: composed by rule, played by samples, sung by speech"
        tell(by)
        truth = bundled()
    mix = _write(folder / f"{title.lower()}.flac", truth.pop(MIXTURE), RATE)
    for source, audio in truth.items():
        _write(folder / "truth" / f"{source}.flac", audio, RATE)

    (stems,) = output.paths([mix], separator.stems, args.model)
    bar = Bar(duration, "separating", unit="s", quiet=args.quiet)
    with bar:
        separate_song(separator, mix, stems, output, progress=bar.update)
    scores = _scores(truth, mix, stems)
    if scores:
        tell("")
        tell(f"{'SDR in dB':10}{'mixture':>10}{'stem':>10}")
        for source, values in scores.items():
            tell(f"{source:10}{values['SDR of the mixture']:10.1f}{values['SDR']:10.1f}")

    with Bar(1, "page", quiet=args.quiet, leave=False) as bar:
        about = f"{by}, separated by xumx with {args.model}"
        page = write(folder, title, mix, stems, scores, about=about, progress=bar.update)
    tell("")
    tell(f"stems in {folder / 'stems'}, what they should be in {folder / 'truth'}; listen on {page}")
    if not (args.no_open or args.quiet) and _has_screen():
        webbrowser.open(page.resolve().as_uri())
    return 0


def bundled() -> dict[str, np.ndarray]:
    """Read the song that comes with xumx: its stems, and the mixture, which is their sum.

    Returns
    -------
    dict of str to float32 array (2, samples)
        Like that of :func:`xumx.synth.song`.

    Examples
    --------
    >>> [f"{name}: {audio.shape[1] / 44100:.0f} s" for name, audio in bundled().items()]
    ['mixture: 24 s', 'drums: 24 s', 'bass: 24 s', 'other: 24 s', 'vocals: 24 s']
    """
    import numpy as np

    from xumx.audio import read
    from xumx.synth import MIXTURE
    from xumx.synth.score import PARTS

    # After the first track, the mixture, which is coded apart and so not quite the sum of the others.
    stems = {source: read(_BUNDLED, stream=track)[0].T for track, source in enumerate(PARTS, 1)}
    return {MIXTURE: functools.reduce(np.add, stems.values()), **stems}


def _by(timbres: Timbres | None) -> str:
    """What plays, for people."""
    if timbres is None:
        return "made by rule"
    names = [Path(file).name for file in timbres.soundfonts]
    voices = len(timbres.voices)
    names += [timbres.voices[0] if voices == 1 else f"{voices} voices"] if voices else []
    return f"made by rule and {', '.join(names)}"


def _write(path: Path, audio: np.ndarray, rate: int) -> Path:
    from xumx.audio import Writer

    make_folder(path.parent, "out")
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
