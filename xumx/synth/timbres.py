"""Which real timbres songs have: SoundFonts and voices that are installed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from xumx.base.errors import UsageError, XumxError
from xumx.synth import choir, kits, sampled, sampler, speech
from xumx.synth.genres import CHANCES, GENRES, Genre
from xumx.synth.sampler import KITS, Sampler
from xumx.synth.score import Score

logger = logging.getLogger(__name__)

FOUND = "found"
"""Stands for all SoundFonts, or all voices, that are installed."""

_SAMPLED = {"drums": 0.88, "bass": 0.85, "other": 0.88}
"""How often SoundFonts play a source."""

_SPOKEN = 0.85
"""How often voices of speech synthesisers sing."""

LEVELS = {"drums": (1.0, 2.2), "bass": (-1.5, 2.2), "other": (-0.5, 2.5), "vocals": (0.5, 2.0)}
"""Of the sources in mixtures, as :func:`xumx.synth.mix.mix` takes them: less alike than those by rule."""

Player = Callable[[Score, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Timbres:
    """Instruments and voices beside those that are made by rule.

    Parameters
    ----------
    soundfonts : tuple of str
        Paths of .sf2 or .sf3 files.
    voices : tuple of str
        As :func:`xumx.synth.speech.found` lists them.
    """

    soundfonts: tuple[str, ...] = ()
    voices: tuple[str, ...] = ()

    @classmethod
    def named(cls, soundfont: Sequence[str], voices: Sequence[str], *, needed: bool = True) -> Timbres | None:
        """Take what options name, where ``found`` stands for all that are installed.

        Parameters
        ----------
        soundfont, voices : sequence of str
            Files, and names as :func:`xumx.synth.speech.found` lists them.
        needed : bool
            Whether it is an error if ``found`` finds nothing. Else what was found and cannot be used is left
            out, with a warning.

        Returns
        -------
        Timbres or None
            None if there are neither SoundFonts nor voices.

        Raises
        ------
        UsageError
            For a voice that is not there, or if nothing was found that is needed.
        XumxError
            If there are SoundFonts without FluidSynth, or voices without pyworld.
        """
        files = [str(Path(file).expanduser()) for file in soundfont if file != FOUND]
        singers = speech.resolve([voice for voice in voices if voice != FOUND])
        if FOUND in soundfont:
            files += [file for file in _found(sampler.found, needed) if file not in files]
        if FOUND in voices:
            singers += [voice for voice in _found(_singers, needed) if voice not in singers]
        if needed and FOUND in soundfont and not files:
            raise UsageError("`soundfont` found: no SoundFont is installed (Debian: fluid-soundfont-gm)")
        if needed and FOUND in voices and not singers:
            raise UsageError("`voices` found: none is installed; install flite, or festival and festvox-...")
        return cls(tuple(files), tuple(singers)) if files or singers else None

    def check(self) -> None:
        """Make sure, before anything is made, that SoundFonts can play and that voices can be heard.

        Raises
        ------
        UsageError
            For a file that is no SoundFont, or if they have no instrument or no drum kit.
        XumxError
            If FluidSynth or pyworld is missing.
        """
        if self.soundfonts:
            with closing(Sampler(self.soundfonts)) as player:
                there = player.programs(range(128)), player.programs(range(128), (KITS,))
            for what, bank in zip(("instrument of bank 0", "drum kit (bank 128)"), there):
                if not bank:
                    raise UsageError(f"`soundfont` {' '.join(self.soundfonts)}: no {what}")
        if self.voices:
            speech.world()

    def hear(self) -> Iterator[str]:
        """Let every voice speak that has not been heard yet, in half a minute each; before that, name it.

        Raises
        ------
        XumxError
            If a voice fails.
        """
        for voice in self.voices:
            yield voice
            speech.load(voice)

    @contextmanager
    def players(self, rng: np.random.Generator) -> Iterator[dict[str, Player]]:
        """Draw who plays which source of a song; those that are missing are made by rule.

        Each song has a FluidSynth of its own: one that has played before begins its blocks elsewhere.
        """
        odds = np.array(list(CHANCES.values()), float)
        genre = GENRES[str(rng.choice(list(CHANCES), p=odds / odds.sum()))]
        players: dict[str, Player] = {}
        drawn = rng.uniform(size=4)
        if self.voices and drawn[3] < _SPOKEN:
            players["vocals"] = lambda score, player: choir.render(score, genre, self.voices, player)
        if not self.soundfonts:
            yield players
            return
        fonts = Sampler(self.soundfonts)
        renders = {"drums": kits.render, "bass": sampled.bass, "other": sampled.other}
        for chance, (part, render) in zip(drawn, renders.items()):
            if chance < _SAMPLED[part]:
                players[part] = partial(_played, render, genre, fonts)
        try:
            yield players
        finally:
            fonts.close()


def _found(find: Callable[[], list[str]], needed: bool) -> list[str]:
    """What a function finds; what it cannot find is an error, or a warning."""
    try:
        return find()
    except XumxError as error:
        if needed:
            raise
        logger.warning("%s; done without", error)
        return []


def _singers() -> list[str]:
    """All voices that are installed, if they can be taken apart."""
    voices = speech.found()
    if voices:
        speech.world()
    return voices


def _played(
    render: Callable[[Score, Genre, Sampler, np.random.Generator], np.ndarray],
    genre: Genre,
    fonts: Sampler,
    score: Score,
    rng: np.random.Generator,
) -> np.ndarray:
    return render(score, genre, fonts, rng)
