"""What messages say to install can be installed: xumx is in no package index."""

from __future__ import annotations

import re
from pathlib import Path

from tests.networks import DATA
from xumx.base.errors import install

ROOT = DATA.parents[1]
KINDS = ("README.md", "docs/**/*.md", "xumx/**/*.py", "bench/**/*.py")
SOURCES = [path for kind in KINDS for path in ROOT.glob(kind)]


def extras() -> set[str]:
    text = (ROOT / "pyproject.toml").read_text().split("[project.optional-dependencies]")[1]
    return set(re.findall(r"^(\w+) = \[", text.split("\n[")[0], re.MULTILINE))


def test_messages_name_extras_of_a_clone() -> None:
    assert install("torch") == 'pip install ".[torch]" in a clone of xumx'
    named = set()
    for path in SOURCES:
        text = Path(path).read_text(encoding="utf-8")
        assert not re.search(r"pip install ['\"]?xumx", text), f"{path} would ask an index for xumx"
        found = re.findall(r"install\(['\"]([\w,]+)['\"]\)|pip install ['\"]\.\[([\w,]+)\]", text)
        named |= {extra for one in found for part in one if part for extra in part.split(",")}
    assert {"torch", "train", "eval", "mpi", "gpu", "data"} <= named <= extras()
