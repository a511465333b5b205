"""The options of ``xumx demo``'s two commands."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from xumx.base.errors import UsageError
from xumx.base.options import AT_LEAST_ONE, NOT_NEGATIVE, Command, option


@dataclass(frozen=True, kw_only=True)
class DemoSong(Command):
    """Options of ``python -m xumx.demo song``."""

    PROG: ClassVar[str] = "python -m xumx.demo song"
    ABOUT: ClassVar[str] = (
        "Separate the song that comes with xumx, or one that is composed, score its stems, and write a page "
        "to listen to them."
    )

    out: str = option("demo", "folder of song, stems and page", metavar="DIR", also=("-o",))
    model: str = option("demo", "as for xumx.test", also=("-n",))
    seed: int | None = option(
        None,
        "compose a song; another seed is another song (default: 0, with one of the next options)",
        range=NOT_NEGATIVE,
    )
    duration: float | None = option(None, "of a composed song (default: 40)", metavar="SECONDS")
    soundfont: tuple[str, ...] = option(
        (),
        "compose a song, played as those of the data set, but found is none where none is installed",
        metavar="FILE",
    )
    voices: tuple[str, ...] = option((), "likewise", metavar="VOICE")
    no_open: bool = option(False, "do not open the page in a browser")
    quiet: bool = option(False, "print errors only", also=("-q",))

    def validate(self, given: Collection[str]) -> None:
        """Refuse a song that is none."""
        if self.duration is not None and not 2 <= self.duration <= 3600:
            raise UsageError(f"`duration` must be 2 to 3600 seconds, not {self.duration:g}")

    @property
    def composes(self) -> bool:
        """Whether a song is asked for that is not there yet."""
        return self.seed is not None or self.duration is not None or bool(self.soundfont or self.voices)


@dataclass(frozen=True, kw_only=True)
class DemoDataset(Command):
    """Options of ``python -m xumx.demo dataset``."""

    PROG: ClassVar[str] = "python -m xumx.demo dataset"
    ABOUT: ClassVar[str] = "Write songs made by rule, with their stems, in MUSDB18's layout."

    out: str = option(
        None,
        "folder; an interrupted run goes on where it stopped",
        metavar="DIR",
        required=True,
        also=("-o",),
    )
    tracks: int = option(100, "songs to train on", metavar="N")
    valid: int = option(14, "songs to validate on, with MUSDB18's names for them", metavar="N")
    test: int = option(20, "songs to test with", metavar="N")
    seed: int = option(0, "of the songs", range=NOT_NEGATIVE)
    duration: float = option(60.0, "of a song, more or less a fifth", metavar="SECONDS")
    format: str = option("stems", ".stem.mp4 files or folders of wav files", choices=("stems", "wav"))
    soundfont: tuple[str, ...] = option(
        (),
        "SoundFonts (.sf2, .sf3) that play most drums, basses and others; found: all installed ones",
        metavar="FILE",
    )
    voices: tuple[str, ...] = option(
        (),
        "voices of flite and festival that sing most vocals, such as flite:slt; found: all installed ones",
        metavar="VOICE",
    )
    workers: int = option(1, "songs at the same time", metavar="N", range=AT_LEAST_ONE)
    quiet: bool = option(False, "print errors only", also=("-q",))
