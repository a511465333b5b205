"""From the numbers of a recipe to a file in a folder of its own."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.kinds import Kind
from tests.fuzz.mutations import Step, mutated, steps

ELSEWHERE = "elsewhere"
"""A folder beside the file, of which no reader may open anything: playlists may name what is below them."""


class Source:
    """Wrong files of one kind.

    Parameters
    ----------
    kind : Kind
    folder : path
        Where the valid ones are made; it must be there.
    """

    def __init__(self, kind: Kind, folder: Path) -> None:
        self.kind = kind
        self._work = folder / "work"
        self.canary = self._work / ELSEWHERE / "canary"
        (folder / "seeds").mkdir()
        self.seeds = kind.seeds(folder / "seeds", self.canary)

    def file(self, which: int, recipe: Sequence[Step]) -> Path:
        """The file of a recipe, alone in its folder; without steps a valid one."""
        names = sorted(self.seeds)
        name = names[which % len(names)]
        shutil.rmtree(self._work, ignore_errors=True)
        self.canary.parent.mkdir(parents=True)
        self.canary.write_bytes(bytes(4096))
        content = mutated(self.seeds[name], list(self.seeds.values()), recipe, self.canary)
        path = self._work / name
        path.write_bytes(content)
        return path

    def numbered(self, seed: int, number: int) -> Path:
        """The same file for the same numbers."""
        rng = random.Random(f"{seed} {self.kind.name} {number}")
        return self.file(rng.randrange(2**32), steps(rng))
