"""What pytest collects: the tests, and the examples in the docstrings of xumx.

What needs a package that is not installed is left out. The environment of Python 3.10 has every package but
PyTorch, for which there is one of its own, and the broker; the one of the newest Python has what separating
and serving need. So the server is tested by HTTP on the newest, by a browser on 3.10, and nowhere twice.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

import pytest

NEEDS = {
    "nnabla": ["*/graph", "*/train", "*/study", "tests/engines/test_nnabla.py", "xumx/engines/nnabla.py"],
    "musdb": ["*/data"],
    "museval": ["*/eval"],
    "torch": ["tests/network/pytorch"],
    "playwright": ["tests/report/test_browser.py", "tests/serve/test_browser.py"],
    "starlette": ["*/serve"],
    "dramatiq": ["tests/serve/test_api.py", "tests/serve/test_queue.py", "xumx/serve/broker.py"],
    "nbclient": ["tests/test_notebook.py"],
    "soundfile": ["tests/test_doc_commands.py"],
    "mpi4py": ["*/parallel"],
}

collect_ignore_glob = [
    pattern
    for package, patterns in NEEDS.items()
    if importlib.util.find_spec(package) is None
    for pattern in patterns
]


def pytest_configure(config: pytest.Config) -> None:
    """Keep what xumx keeps out of the user's cache: one for all workers of a run, which goes with it."""
    if "XUMX_HOME" not in os.environ:
        os.environ["XUMX_HOME"] = home = tempfile.mkdtemp(prefix="xumx-tests-")
        config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out modules without tests and examples: to look for some, pytest would import them all."""
    if collection_path.suffix != ".py" or collection_path.name.startswith("test_"):
        return None
    return True if ">>> " not in collection_path.read_text(encoding="utf-8") else None


ANYWHERE = (
    *("tests/audio/", "tests/base/", "tests/synth/", "tests/separation/test_command.py"),
    *("tests/separation/test_outputs.py", "tests/separation/test_live.py", "tests/separation/test_naming.py"),
    *("tests/report/test_report.py", "tests/network/", "tests/test_demo.py", "tests/test_main.py"),
    *("tests/test_house.py", "tests/test_export.py"),
    *("xumx/audio/", "xumx/base/", "xumx/network/", "xumx/report/"),
)
"""What has run on the newest Python and asks neither for NNabla nor for numbers: files, shells, signals."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with graphs, and leave out what `make test` has just run on another Python.

    One worker compiles all functions of graphs, which the others then find in a cache.
    """
    items.sort(key=lambda item: not item.nodeid.startswith("tests/graph/"))
    if os.environ.get("XUMX_TESTS") == "rest":
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid.startswith(ANYWHERE)])
        items[:] = [item for item in items if not item.nodeid.startswith(ANYWHERE)]


@pytest.fixture
def terminal(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> pytest.CaptureFixture[str]:
    """What a terminal gets."""
    monkeypatch.setattr("xumx.base.console.has_terminal", lambda: True)
    return capfd
