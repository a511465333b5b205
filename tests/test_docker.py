"""The Dockerfile, as far as it can be tried without Docker."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.test_package import build

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 11), reason="once is enough, where all extras are")


def copied() -> list[str]:
    """What goes from the clone into an image."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return [name for line in lines for name in line.split()[:-1]]


def test_it_copies_what_is_there_and_not_ignored() -> None:
    assert copied()
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for name in copied():
        assert (ROOT / name).exists(), f"Dockerfile: there is no {name}"
        last = [rule for rule in rules if fnmatch.fnmatchcase(name, rule.lstrip("!"))][-1]
        assert last.startswith("!"), f".dockerignore leaves out {name}"


def test_what_it_copies_makes_the_wheel_and_pip_resolves_its_extras(tmp_path: Path) -> None:
    context = tmp_path / "context"
    for name in copied():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, context / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            context.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, context)
    wheel = build("wheel", context, tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        assert {"xumx/recipes/x-umx.txt", "xumx/assets/demo.h5"} <= set(archive.namelist())
    (extras,) = re.findall(r'"\$\(ls /wheel/\*\.whl\)(\[[\w,]+\])"', DOCKERFILE)
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", f"{wheel}{extras}"]
    done = subprocess.run([*command, "--disable-pip-version-check"], capture_output=True, text=True)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stdout + done.stderr


def test_hadolint_has_nothing_to_say() -> None:
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("hadolint has wheels for some systems only")
    done = subprocess.run([program, str(ROOT / "Dockerfile")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
