"""An extension of NNabla for GPUs that is installed and does not work."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

REASON = "libcudart.so.12: cannot open shared object file"


def break_cudnn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put one into a folder, from which it is imported."""
    package = folder / "nnabla_ext" / "cudnn"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"raise ImportError({REASON!r})\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "nnabla_ext.cudnn", raising=False)
