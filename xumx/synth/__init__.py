"""Music by rule: songs of four sources, for trying things out where no data set is at hand.

A song is composed (`score`), played (`drums`, `bass`, `other`, `vocals`) and mixed (`mix`). All randomness
comes from one generator, so that a seed names a song.
"""

from __future__ import annotations

import numpy as np

from xumx.base.errors import UsageError
from xumx.synth import bass, drums, other, vocals
from xumx.synth.mix import mix
from xumx.synth.score import PARTS, compose
from xumx.synth.sound import RATE
from xumx.synth.timbres import LEVELS, Timbres

__all__ = ["RATE", "Timbres", "song"]

MIXTURE = "mixture"  # as xumx.data.track has it, which needs packages that making music does not
_PLAYERS = {"drums": drums.render, "bass": bass.render, "other": other.render, "vocals": vocals.render}


def song(seconds: float, rng: np.random.Generator, timbres: Timbres | None = None) -> dict[str, np.ndarray]:
    """Compose, play and mix a song.

    Parameters
    ----------
    seconds : float
        Its length: at least 0.1.
    rng : numpy.random.Generator
        Decides everything. It must know its seed sequence, as those of ``numpy.random.default_rng`` do.
    timbres : Timbres, optional
        SoundFonts and voices that play most of it; without, all is made by rule.

    Returns
    -------
    dict of str to float32 array (2, samples)
        The mixture and its sources drums, bass, other and vocals at 44100 Hz. The mixture is their sum, taken
        in this order, to the last bit; no sample is beyond full scale.

    Raises
    ------
    UsageError
        If the song is too short.

    Examples
    --------
    >>> made = song(0.5, np.random.default_rng(7))
    >>> list(made)
    ['mixture', 'drums', 'bass', 'other', 'vocals']
    >>> bool(np.array_equal(made["mixture"], made["drums"] + made["bass"] + made["other"] + made["vocals"]))
    True
    >>> bool(np.array_equal(made["bass"], song(0.5, np.random.default_rng(7))["bass"]))
    True
    """
    if seconds < 0.1:
        raise UsageError(f"a song has at least 0.1 seconds, not {seconds:g}")
    samples = round(seconds * RATE)
    plan, *players, desk = rng.spawn(len(PARTS) + 2)
    score = compose(samples, plan)
    if timbres is None:
        parts = {part: _PLAYERS[part](score, player) for part, player in zip(PARTS, players, strict=True)}
        stems = mix(parts, score, desk)
    else:
        with timbres.players(plan) as hired:
            by = _PLAYERS | hired
            parts = {part: by[part](score, player) for part, player in zip(PARTS, players, strict=True)}
        stems = mix(parts, score, desk, push=float(desk.uniform(0.02, 0.5)), levels=LEVELS)
    return {MIXTURE: sum(stems.values(), start=np.zeros((2, samples), np.float32)), **stems}
