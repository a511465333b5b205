"""The frame around the package: finding interpreters, environment files, declared dependencies."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # which pytest itself brings on 3.10

ROOT = Path(__file__).parents[1]
PYTHON = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
VERSION, VARIABLE = ("3.10", "PYTHON310") if sys.version_info.minor == 10 else ("new", "PYTHON_NEW")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def script(path: Path, body: str) -> Path:
    """An executable shell script with this body."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def interpreter(path: Path) -> Path:
    """The running interpreter, outside its virtual environment, under another path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(PYTHON)
    return path


def find_python(home: Path, version: str = VERSION, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the finder where PATH has ``home/a``, ``home/b`` and the programs that it needs, no others."""
    (home / "b").mkdir(parents=True, exist_ok=True)
    for program in ("sh", "sort", "awk", "cut", "cat", "mkdir", "ln"):
        (home / "b" / program).symlink_to(str(shutil.which(program)))
    return subprocess.run(
        ["sh", str(ROOT / "tools" / "find_python.sh"), version],
        env={"PATH": f"{home / 'a'}:{home / 'b'}", "HOME": str(home), **variables},
        cwd=home,
        capture_output=True,
        text=True,
    )


def test_finder_passes_over_what_does_not_run(tmp_path: Path) -> None:
    script(tmp_path / "a" / PYTHON.name, "echo 'pyenv: command not found' >&2; exit 127")
    script(tmp_path / "a" / "python3", "echo 99 /not/a/python; exit 1")
    script(tmp_path / "a" / "python", "exec /nonexistent/python")
    working = interpreter(tmp_path / "b" / PYTHON.name)
    found = find_python(tmp_path)
    assert found.stdout.splitlines() == [str(working)], found


@pytest.mark.parametrize(("version", "minors"), [("new", [13, 12, 11]), ("old", [11, 12, 13])])
def test_finder_has_an_order(tmp_path: Path, version: str, minors: list[int]) -> None:
    for minor in (12, 13, 11):
        script(tmp_path / "a" / f"python3.{minor}", f"echo {minor} /of/3.{minor}")
    assert find_python(tmp_path, version).stdout.splitlines() == [f"/of/3.{minor}" for minor in minors]


def test_finder_passes_over_virtual_environments(tmp_path: Path) -> None:
    subprocess.run([str(PYTHON), "-m", "venv", "--without-pip", str(tmp_path / "v")], check=True)
    found = find_python(tmp_path, PATH=f"{tmp_path / 'v' / 'bin'}:{tmp_path / 'b'}")
    assert (found.returncode, found.stdout) == (1, ""), found


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(".pyenv/versions/3.x/bin/python", id="pyenv"),
        pytest.param("uv/cpython/bin/python3", id="uv"),
        pytest.param(f".venv/conda-{VERSION}/bin/python", id="conda"),
    ],
)
def test_finder_knows_or_asks_the_managers(tmp_path: Path, place: str) -> None:
    working = tmp_path / place
    install = f"mkdir -p '{working.parent}' && ln -s '{PYTHON}' '{working}'"
    if place.startswith(".pyenv"):
        interpreter(working)
    elif place.startswith("uv"):
        script(tmp_path / "a" / "uv", f"case $2 in dir) echo '{tmp_path}/uv' ;; install) {install} ;; esac")
    else:
        script(tmp_path / "a" / "conda", install)
    found = find_python(tmp_path)
    assert found.stdout.splitlines() == [str(working)], found


def test_finder_says_how_to_get_what_is_missing(tmp_path: Path) -> None:
    found = find_python(tmp_path)
    assert (found.returncode, found.stdout) == (1, "")
    for word in ("uv", "pyenv install", "conda", f"{VARIABLE}="):
        assert word in found.stderr


def test_finder_takes_the_named_interpreter_or_none(tmp_path: Path) -> None:
    interpreter(tmp_path / "x" / "a" / PYTHON.name)
    named = interpreter(tmp_path / "elsewhere" / "python")
    broken = script(tmp_path / "broken", "exit 0")
    assert find_python(tmp_path / "x", **{VARIABLE: str(named)}).stdout.strip() == str(named)
    found = find_python(tmp_path / "y", **{VARIABLE: str(broken)})
    assert (found.returncode, found.stdout) == (1, "")
    assert len(found.stderr.splitlines()) == 1
    assert f"{VARIABLE}={broken}" in found.stderr


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_environment_files_name_extras_that_exist(kind: str) -> None:
    environment = yaml.safe_load((ROOT / f"environment-{kind}.yml").read_text())
    assert environment["name"] == f"xumx-{kind}"
    assert "python=3.10" in environment["dependencies"]
    (pip,) = (d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    (extras,) = re.findall(r"^-e \.\[([\w,]+)\]$", "\n".join(pip))
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])
    assert ("gpu" in extras.split(",")) == (kind == "gpu")


def test_every_import_is_declared() -> None:
    extras = PROJECT["optional-dependencies"]
    used = ("data", "train", "eval", "tensorboard", "torch", "mpi", "serve", "broker", "synth", "voices")
    groups = [PROJECT["dependencies"], *(extras[extra] for extra in used)]
    declared = {re.split(r"[^\w-]", requirement)[0] for group in groups for requirement in group}
    # Of the extra gpu, of pyyaml, of python-multipart, of pyfluidsynth.
    declared |= {"nnabla_ext", "yaml", "multipart", "python_multipart", "fluidsynth"}
    declared |= set(sys.stdlib_module_names)
    declared.add("typing_extensions")  # every type checker knows it, and nothing else reads it
    for file in sorted((ROOT / "xumx").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [str(node.module)]
            for name in names:
                assert name.split(".")[0] in declared, f"{file}: {name} is not in pyproject.toml"
