"""What messages say to install can be installed, from where xumx runs: it is in no package index."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.networks import DATA
from xumx.base.errors import install

ROOT = DATA.parents[1]
KINDS = ("README.md", "docs/**/*.md", "xumx/**/*.py", "bench/**/*.py")
SOURCES = [path for kind in KINDS for path in ROOT.glob(kind)]


def extras() -> set[str]:
    text = (ROOT / "pyproject.toml").read_text().split("[project.optional-dependencies]")[1]
    return set(re.findall(r"^(\w+) = \[", text.split("\n[")[0], re.MULTILINE))


def said_in(folder: Path, extra: str) -> list[str]:
    """Words of the command that xumx/base names when it runs from a copy in this folder."""
    shutil.copytree(ROOT / "xumx" / "base", folder / "xumx" / "base", dirs_exist_ok=True)
    asks = "import sys; from xumx.base.errors import install; print(install(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", asks, extra],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return shlex.split(done.stdout)


def test_messages_name_extras_that_are_there() -> None:
    named = set()
    for path in SOURCES:
        text = Path(path).read_text(encoding="utf-8")
        assert not re.search(r"pip install ['\"]?xumx", text), f"{path} would ask an index for xumx"
        found = re.findall(r"install\(['\"]([\w,]+)['\"]\)|pip install ['\"]\.\[([\w,]+)\]", text)
        named |= {extra for one in found for part in one if part for extra in part.split(",")}
    assert {"torch", "train", "eval", "mpi", "gpu", "data"} <= named <= extras()


def test_a_clone_names_itself(tmp_path: Path) -> None:
    assert shlex.split(install("torch")) == ["pip", "install", "-e", f"{ROOT}[torch]"]
    clone = tmp_path / "my clone's"
    (clone / "args").mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", clone)
    assert said_in(clone, "train,eval") == ["pip", "install", "-e", f"{clone}[train,eval]"]


def test_a_wheel_names_what_the_extra_requires(tmp_path: Path) -> None:
    command = said_in(tmp_path, "train,eval")
    assert command[:2] == ["pip", "install"] and len(set(command)) == len(command)
    named = {(one.name, one.specifier) for one in map(Requirement, command[2:])}
    wanted = ("data", "train", "eval")  # train and eval bring data
    assert named == {
        (one.name, one.specifier)
        for one in map(Requirement, requires("xumx") or [])
        if one.name != "xumx" and re.search(f'extra == "({"|".join(wanted)})"', str(one.marker))
    }
    assert {"musdb", "museval", "pandas"} <= {name for name, _ in named}


def test_an_extra_that_is_not_for_this_python_names_no_package(tmp_path: Path) -> None:
    command = said_in(tmp_path, "gpu")
    assert (command[0] == "pip") == (sys.version_info < (3, 11) and sys.platform != "darwin"), command


def test_windows_has_quotes_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert install("torch") == f'pip install -e "{ROOT}[torch]"'
