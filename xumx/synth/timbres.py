"""Which real timbres songs have: SoundFonts and voices that are installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from xumx.base.errors import UsageError, XumxError
from xumx.synth import choir, kits, sampled, sampler, speech
from xumx.synth.genres import CHANCES, GENRES, Genre
from xumx.synth.sampler import KITS, Sampler
from xumx.synth.score import Score

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
            Whether it is an error if ``found`` finds nothing.

        Returns
        -------
        Timbres or None
            None if there are neither SoundFonts nor voices.

        Raises
        ------
        UsageError
            For a voice that is not there, or if nothing was found that is needed.
        XumxError
            If FluidSynth is needed to find SoundFonts and is not there.
        """
        files = [str(Path(file).expanduser()) for file in soundfont if file != FOUND]
        singers = speech.resolve([voice for voice in voices if voice != FOUND])
        try:
            if FOUND in soundfont:
                files += [file for file in sampler.found() if file not in files]
            if FOUND in voices:
                speech.world()
                singers += [voice for voice in speech.found() if voice not in singers]
        except XumxError:
            if needed:
                raise
        if needed and FOUND in soundfont and not files:
            raise UsageError("`soundfont` found: no SoundFont is installed (Debian: fluid-soundfont-gm)")
        if needed and FOUND in voices and not singers:
            raise UsageError("`voices` found: none is installed; install flite, or festival and festvox-...")
        return cls(tuple(files), tuple(singers)) if files or singers else None

    def check(self) -> None:
        """Make sure that all is there before anything is made; what voices say is heard now.

        Raises
        ------
        UsageError
            For a file that is no SoundFont or has no instrument, or a voice that is not there.
        XumxError
            If FluidSynth or pyworld is missing, or a voice fails.
        """
        if self.soundfonts:
            player = Sampler(self.soundfonts)
            there = player.programs(range(128)), player.programs(range(128), (KITS,))
            player.close()
            for what, bank in zip(("instrument of bank 0", "drum kit (bank 128)"), there):
                if not bank:
                    raise UsageError(f"`soundfont` {' '.join(self.soundfonts)}: no {what}")
        for voice in self.voices:
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


def _played(
    render: Callable[[Score, Genre, Sampler, np.random.Generator], np.ndarray],
    genre: Genre,
    fonts: Sampler,
    score: Score,
    rng: np.random.Generator,
) -> np.ndarray:
    return render(score, genre, fonts, rng)
