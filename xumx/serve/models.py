"""Which networks a server has: the published ones, the one that comes with xumx, and the user's own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from xumx.base.errors import UsageError
from xumx.network.catalogue import MODELS
from xumx.serve.options import FolderOptions


def names_of(own: Iterable[str]) -> list[str]:
    """Names that may be chosen: nothing else, and so no path, ever becomes a file."""
    return [*MODELS, *own]


def own_models(options: FolderOptions) -> dict[str, str]:
    """Weights of the user's own, by the names of their files.

    Raises
    ------
    UsageError
    """
    found: dict[str, str] = {}
    for path in options.models:
        real = Path(path).expanduser().resolve()
        if not real.exists():
            raise UsageError(f"models {path}: there is no such file or folder")
        name = real.name if real.is_dir() else real.stem
        if name in found or name in MODELS:
            raise UsageError(f"models {path}: there is another model {name}; rename the file")
        found[name] = str(real)
    return found


def order(options: FolderOptions, models: dict[str, str], longest: float) -> dict[str, Any]:
    """What a worker has to know."""
    return {
        "folder": str(options.place.resolve()),
        "longest": longest,
        "models": models,
        "model_dir": options.model_dir,
    }
