#!/usr/bin/env python3
"""README.md's table of speed, taken from docs/performance.md: ``python tools/readme_table.py``."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench.page import SEPARATION, between, put  # noqa: E402

README, DOCUMENT = ROOT / "README.md", ROOT / "docs" / "performance.md"


def update(readme: Path = README, document: Path = DOCUMENT) -> None:
    """Put the table of one document into the other."""
    put(readme, SEPARATION, between(document.read_text(encoding="utf-8"), SEPARATION))


if __name__ == "__main__":
    update()
