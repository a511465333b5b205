"""What may be done to a source before the mix: the augmentations, and how they are spelt."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from xumx.audio.lossy import RATES, mp3
from xumx.audio.samples import resample
from xumx.base.errors import UsageError

_UNIT = 10_000
"""To what a part is rounded by which the speed changes, 1/10000: soxr takes whole rates."""


@dataclass(frozen=True)
class Augmentation:
    """Takes audio (samples, channels) and random state; gives new audio, or the same array unchanged.

    Parameters
    ----------
    rate : int
        Sample rate, in Hz.
    """

    rate: int = dataclasses.field(default=44100, kw_only=True)

    @property
    def reach(self) -> float:
        """How much longer the audio must be than what is needed of the result."""
        return 1.0

    def __call__(self, audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        raise NotImplementedError


@dataclass(frozen=True)
class Gain(Augmentation):
    """Multiplies by a factor between ``low`` and ``high``."""

    low: float = 0.25
    high: float = 1.25

    def __call__(self, audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return audio * np.float32(rng.uniform(self.low, self.high))


@dataclass(frozen=True)
class ChannelSwap(Augmentation):
    """Swaps left and right with a chance of ``p``; audio that is not stereo stays as it is."""

    p: float = 0.5

    def __call__(self, audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= self.p or audio.shape[1] != 2:
            return audio
        swapped = np.empty_like(audio)
        swapped[:, 0], swapped[:, 1] = audio[:, 1], audio[:, 0]  # far faster than audio[:, ::-1] is to read
        return swapped


@dataclass(frozen=True)
class SignFlip(Augmentation):
    """Turns the waveform upside down with a chance of ``p``."""

    p: float = 0.5

    def __call__(self, audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return -audio if rng.random() < self.p else audio


@dataclass(frozen=True)
class Repitch(Augmentation):
    """Plays faster or slower by up to ``max`` percent, and so higher or lower, with a chance of ``p``.

    Chance and range are those of Demucs (Défossez 2021, arXiv:2111.03600, 12 % and 2 semitones, which are
    12.2 %), which changes tempo and pitch apart from each other; here both follow from one resampling. What
    is played faster is shorter, so that the excerpt must be longer by ``max``.
    """

    p: float = 0.2
    max: float = 12.0

    @property
    def reach(self) -> float:
        return 1 + self.max / 100

    def __call__(self, audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= self.p:
            return audio
        speed = round(_UNIT * (1 + rng.uniform(-self.max, self.max) / 100))
        return resample(audio, speed, _UNIT)


@dataclass(frozen=True)
class Equaliser(Augmentation):
    """Raises or lowers ``bands`` random ranges by up to ``db``, with a chance of ``p``.

    Each is a peaking filter of second order (Bristow-Johnson's cookbook), its centre between 60 Hz and 12 kHz
    with equal chances for each octave, its quality between 0.5 and 2.
    """

    p: float = 0.5
    db: float = 6.0
    bands: int = 3

    def __call__(self, audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= self.p:
            return audio
        from scipy.signal import sosfilt  # it takes long to import

        top = min(12000.0, 0.45 * self.rate)
        sections = [
            peaking(
                60 * (top / 60) ** rng.random(),
                rng.uniform(-self.db, self.db),
                0.5 * 4 ** rng.random(),
                self.rate,
            )
            for _ in range(self.bands)
        ]
        filtered: np.ndarray = sosfilt(np.array(sections, np.float32), audio, axis=0)
        return filtered


@dataclass(frozen=True)
class Codec(Augmentation):
    """Encodes as MP3 and decodes again, with a chance of ``p``, at ``low`` to ``high`` kbit/s.

    Audio of more than two channels, or of a rate that MP3 lacks, stays as it is.
    """

    p: float = 0.1
    low: float = 64.0
    high: float = 192.0

    def __call__(self, audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= self.p or audio.shape[1] > 2 or self.rate not in RATES or not len(audio):
            return audio
        return mp3(audio, self.rate, round(1000 * rng.uniform(self.low, self.high)))


def peaking(centre: float, db: float, quality: float, rate: int) -> tuple[float, ...]:
    """Make a section (b0, b1, b2, 1, a1, a2) that changes the level around a frequency.

    Parameters
    ----------
    centre : float
        In Hz, below half the rate.
    db : float
        How much is gained there; far away nothing is.
    quality : float
        Centre over width.
    rate : int
        Sample rate, in Hz.

    Examples
    --------
    >>> b0, b1, b2, _, a1, a2 = peaking(11025, 6, 1, 44100)
    >>> z = 1j  # exp(-iw) at a quarter of the rate, but for its sign
    >>> round(20 * math.log10(abs((b0 + b1 * z + b2 * z * z) / (1 + a1 * z + a2 * z * z))), 6)
    6.0
    """
    w = 2 * math.pi * centre / rate
    a, alpha = 10 ** (db / 40), math.sin(w) / (2 * quality)
    b = (1 + alpha * a, -2 * math.cos(w), 1 - alpha * a)
    d = (1 + alpha / a, -2 * math.cos(w), 1 - alpha / a)
    return (*(value / d[0] for value in b), 1.0, d[1] / d[0], d[2] / d[0])


gain, channelswap = Gain(), ChannelSwap()

AUGMENTATIONS: dict[str, type[Augmentation]] = {
    "gain": Gain,
    "channelswap": ChannelSwap,
    "signflip": SignFlip,
    "repitch": Repitch,
    "equaliser": Equaliser,
    "codec": Codec,
}
"""The augmentations by name."""

_LIMITS: dict[str, tuple[float, float]] = {
    "p": (0, 1), "max": (0, 50), "db": (0, 60), "bands": (1, 20), "low": (0, 1000), "high": (0, 1000)
}  # fmt: skip


def _read(text: str, rate: int) -> Augmentation:
    """An augmentation of ``NAME`` or ``NAME:PARAMETER=VALUE,...``."""
    name, _, rest = text.partition(":")
    if name not in AUGMENTATIONS:
        near = difflib.get_close_matches(name, AUGMENTATIONS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(AUGMENTATIONS)}"
        raise UsageError(f"unknown source augmentation {name!r}; {hint}")
    kind = AUGMENTATIONS[name]
    known = {field.name: field.default for field in dataclasses.fields(kind) if field.name != "rate"}
    found: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        parameter, _, number = part.partition("=")
        if parameter not in known:
            raise UsageError(
                f"source augmentation {name} has no parameter {parameter!r}; it has {', '.join(known)}"
            )
        if parameter in found:
            raise UsageError(f"source augmentation {text}: {parameter} is given twice")
        found[parameter] = _number(text, parameter, number, type(known[parameter]))
    values = {**known, **found}
    if values.get("low", 0) > values.get("high", 0):
        raise UsageError(f"source augmentation {text}: low is above high")
    return kind(**found, rate=rate)


def _number(text: str, name: str, number: str, kind: type) -> Any:
    low, high = _LIMITS[name]
    try:
        value = kind(number)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        whole = "a whole number" if kind is int else "a number"
        raise UsageError(
            f"source augmentation {text}: {name} must be {whole} from {low} to {high}, not {number!r}"
        )
    return value


def augmentations(texts: Iterable[str], rate: int = 44100) -> tuple[Augmentation, ...]:
    """Read augmentations, in this order.

    Parameters
    ----------
    texts : iterable of str
        Names, with parameters where they are not the defaults.
    rate : int
        Sample rate of the audio, in Hz.

    Raises
    ------
    UsageError
        For a name or a parameter that is none, or a value out of its range.

    Examples
    --------
    >>> augmentations(["gain", "repitch:p=0.5,max=3"])
    (Gain(rate=44100, low=0.25, high=1.25), Repitch(rate=44100, p=0.5, max=3.0))
    """
    return tuple(_read(text, rate) for text in texts)
