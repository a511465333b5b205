"""What needs a package that is not installed is not collected.

The environment of Python 3.10 has every package but PyTorch, for which there is one of its own; the one of
the newest Python has what separating needs.
"""

import importlib.util

import pytest

NEEDS = {
    "nnabla": ["graph", "train", "study", "engines/test_nnabla.py"],
    "soundfile": ["data"],
    "museval": ["eval"],
    "torch": ["network/pytorch"],
    "playwright": ["report/test_browser.py"],
    "nbclient": ["test_notebook.py"],
    "mpi4py": ["parallel"],
}

collect_ignore_glob = [
    pattern
    for package, patterns in NEEDS.items()
    if importlib.util.find_spec(package) is None
    for pattern in patterns
]


@pytest.fixture
def terminal(monkeypatch, capfd):
    """What a terminal gets."""
    monkeypatch.setattr("xumx.base.console.has_terminal", lambda: True)
    return capfd
