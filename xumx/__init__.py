"""Music source separation with X-UMX and Open-Unmix.

    >>> import numpy as np, xumx
    >>> audio = np.zeros((44100, 2), np.float32)     # (samples, channels)
    >>> stems = xumx.separate(audio, 44100, model="demo")
    >>> sorted(stems), stems["vocals"].shape
    (['bass', 'drums', 'other', 'vocals'], (44100, 2))

The names below are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xumx.network.weights import load as load_weights
    from xumx.separation.once import separate
    from xumx.separation.separator import Separator

    __version__: str

__all__ = ["Separator", "__version__", "load_weights", "separate"]

_HOME = {
    "Separator": ("xumx.separation.separator", "Separator"),
    "separate": ("xumx.separation.once", "separate"),
    "load_weights": ("xumx.network.weights", "load"),
}


if not TYPE_CHECKING:  # a type checker knows the names from above, and that there are no others

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from importlib.metadata import version

            return version("xumx")
        if name not in _HOME:
            raise AttributeError(f"module 'xumx' has no attribute {name!r}")
        module, attribute = _HOME[name]
        return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
