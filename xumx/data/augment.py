"""Augmentations of one source before the sources are mixed: pure functions of audio and random state.

References
----------
.. [1] Uhlich et al., "Improving Music Source Separation Based on Deep Neural Networks Through Data
   Augmentation and Network Blending", ICASSP 2017.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable

import numpy as np

from xumx.errors import UsageError

Augmentation = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""Takes audio (channels, samples) and random state; gives audio of the same shape, perhaps a view."""


def gain(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Multiply by a factor between 0.25 and 1.25."""
    return audio * np.float32(rng.uniform(0.25, 1.25))


def channelswap(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Swap left and right in half of the cases; audio that is not stereo stays as it is."""
    swap = rng.random() < 0.5
    return audio[::-1] if swap and len(audio) == 2 else audio


AUGMENTATIONS: dict[str, Augmentation] = {"gain": gain, "channelswap": channelswap}
"""The augmentations by name."""


def augmentations(names: Iterable[str]) -> tuple[Augmentation, ...]:
    """The augmentations of these names, in their order.

    Raises
    ------
    UsageError
        For a name that is none.
    """
    chosen = []
    for name in names:
        if name not in AUGMENTATIONS:
            near = difflib.get_close_matches(name, AUGMENTATIONS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(AUGMENTATIONS)}"
            raise UsageError(f"unknown source augmentation {name!r}; {hint}")
        chosen.append(AUGMENTATIONS[name])
    return tuple(chosen)
