"""Progress: a bar on a terminal; elsewhere, as in a log, a plain line now and then."""

from __future__ import annotations

import io
import sys
import time
from typing import Any

from tqdm import tqdm

EVERY = 60.0
"""Seconds between two lines."""


def bar(*args: Any, quiet: bool = False, **options: Any) -> tqdm:
    """What shows the progress of a command on stderr.

    Parameters
    ----------
    *args, **options
        As for ``tqdm``. In a log, ``leave`` says whether there is a line at the end too.
    quiet : bool
        Show nothing.

    Returns
    -------
    tqdm
        Its ``write`` prints lines that do not break a bar.
    """
    stream = sys.stderr
    if quiet or stream is None or stream.closed:
        return tqdm(*args, **{**options, "disable": True, "file": io.StringIO()})
    return (tqdm if stream.isatty() else _Lines)(*args, **options)


class _Lines(tqdm):
    """In place of a bar that is drawn again and again, a line each `EVERY` seconds and one at the end."""

    monitor_interval = 0  # no thread that draws it

    def __init__(self, *args: Any, **options: Any) -> None:
        self._told, self._at = time.monotonic(), -1.0
        super().__init__(*args, **options)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        if time.monotonic() - self._told >= EVERY:
            self._tell()

    def clear(self, nolock: bool = False) -> None:
        """There is nothing to clear."""

    def close(self) -> None:
        if not getattr(self, "disable", True):  # or its making has failed
            self.disable = True
            self._decr_instances(self)
            if self.leave and self._at != self.n:
                self._tell()

    def _tell(self) -> None:
        self._told, self._at = time.monotonic(), self.n
        state = self.format_dict
        done = state["n"] if isinstance(state["n"], int) else round(state["n"], 1)
        line = self.format_meter(**{**state, "n": done, "ncols": 0, "bar_format": None})
        self.fp.write(f"{line}\n")
