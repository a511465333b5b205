"""``xumx models``: the networks that can be had by name."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from xumx.base.cli import run
from xumx.base.console import say
from xumx.base.files import size
from xumx.base.options import Command, like, option
from xumx.network.catalogue import Model, models
from xumx.network.pretrained import is_here
from xumx.separation.options import SeparatorOptions


@dataclass(frozen=True, kw_only=True)
class ModelsOptions(Command):
    """Options of ``xumx models``."""

    PROG: ClassVar[str] = "python -m xumx.models"
    ABOUT: ClassVar[str] = "List the networks that can be had by name."

    model_dir: str | None = like(SeparatorOptions, "model_dir", group="")
    json: bool = option(False, "print a line of JSON for each network, with all that is known of it")


def main(argv: Sequence[str] | None = None) -> int:
    """List what ``argv`` asks for; 0, or 2 for wrong usage."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    args = ModelsOptions.parse(argv)
    for model in models():
        here = is_here(model, args.model_dir)
        if args.json:
            say(json.dumps(record(model, here)))
        else:
            for line in _lines(model, here):
                say(line)
    return 0


def record(model: Model, here: bool) -> dict[str, Any]:
    """Tell all that is known of a network, as JSON takes it.

    Examples
    --------
    >>> from xumx.network.catalogue import find
    >>> record(find("demo"), True)["stems"]
    ['bass', 'drums', 'vocals', 'other']
    """
    return {
        "name": model.name, "about": model.about, "stems": list(model.sources), "bytes": model.size,
        "sdr": dict(model.sdr), "scored": model.scored, "licence": model.licence, "page": model.page,
        "aliases": list(model.aliases), "here": here,
    }  # fmt: skip


def _lines(model: Model, here: bool) -> list[str]:
    """A few lines of at most 80 columns, so that they can be read in any terminal."""
    where = "comes with xumx" if model.bundled else "is here" if here else "to be downloaded"
    bytes_ = f", {size(model.size)}" if model.size else ""
    lines = [f"{model.name} ({where}{bytes_})", f"  {model.about}"]
    if model.sdr:
        values = ", ".join(f"{stem} {value:.2f}" for stem, value in model.sdr.items())
        lines += [f"  SDR in dB: {values}; mean {model.mean_sdr:.2f}", f"    ({model.scored})"]
    else:
        lines.append(f"  stems: {', '.join(model.sources)}")
    lines.append(f"  licence of the weights: {model.licence}; {model.page}")
    lines += [f"  also called {alias}" for alias in model.aliases]
    wrap = partial(textwrap.wrap, width=79, subsequent_indent="    ", break_on_hyphens=False)
    return [short for line in lines for short in wrap(line)]


if __name__ == "__main__":
    sys.exit(main())
