"""The package as others get it: an sdist of the clone, a wheel of the sdist, and what that installs."""

from __future__ import annotations

import os
import re
import shutil
import site
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from xumx import __version__

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="the wheel is the same on every Python, and separates on the newest"
)


class Built(NamedTuple):
    """What was built, and the files of the clone that it was built of."""

    sdist: Path
    wheel: Path
    sources: set[str]


def build(kind: str, folder: Path, out: Path) -> Path:
    """Let setuptools make the `kind` of package from a folder, as pip and build do."""
    code = f"import sys; from setuptools import build_meta; print(build_meta.build_{kind}(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(out)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Packages of a copy: what lies about in the clone, of earlier builds too, has no part in them."""
    place = tmp_path_factory.mktemp("package")
    clone, out = place / "clone", place / "out"
    left = shutil.ignore_patterns("__pycache__", "*.py[co]", ".*_cache", ".ipynb_checkpoints", ".hypothesis")
    grafted = re.findall(r"^graft (\w+)$", (ROOT / "MANIFEST.in").read_text(), re.MULTILINE)
    for folder in (*grafted, "xumx"):
        shutil.copytree(ROOT / folder, clone / folder, ignore=left)
    for file in ROOT.iterdir():
        if file.is_file() and file.name not in (".git", ".gitignore"):
            shutil.copy(file, clone)
    sources = {path.relative_to(clone).as_posix() for path in clone.rglob("*") if path.is_file()}
    sdist = build("sdist", clone, out)
    with tarfile.open(sdist) as archive:
        archive.extractall(place, filter="data")
    wheel = build("wheel", place / f"xumx-{__version__}", out)
    return Built(sdist, wheel, sources)


def test_the_sdist_is_the_clone(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert built.sources - packed == set()
    assert {"args/x-umx.txt", "tests/test_package.py", "CITATION.cff", "docs/options.md"} <= packed


def test_the_wheel_is_the_package_with_the_recipes(built: Built) -> None:
    package = {name for name in built.sources if name.startswith("xumx/")}
    recipes = {f"xumx/recipes/{name[5:]}" for name in built.sources if re.match(r"args/[\w-]+\.txt$", name)}
    with zipfile.ZipFile(built.wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == package | recipes
    for name in ("py.typed", "assets/demo.h5", "report/assets/song.html", "recipes/x-umx.txt"):
        assert f"xumx/{name}" in packed


def test_an_index_would_take_them(built: Built) -> None:
    command = [sys.executable, "-m", "twine", "check", "--strict", str(built.sdist), str(built.wheel)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("PASSED") == 2, done.stdout + done.stderr


@pytest.fixture(scope="module")
def programs(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of a fresh environment: of xumx it has the wheel, all else is that of the running one."""
    home = tmp_path_factory.mktemp("fresh") / "a place"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    folder = home / ("Scripts" if os.name == "nt" else "bin")
    install = ["install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "--python", str(folder / "python"), *install, str(built.wheel)]
    subprocess.run(command, check=True)
    asks = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.run([folder / "python", "-c", asks], capture_output=True, text=True, check=True)
    # Of a path in a .pth file Python reads no further .pth files, such as that of an editable xumx.
    text = "\n".join(path for path in site.getsitepackages() if Path(path).is_dir())
    Path(packages.stdout.strip(), "others.pth").write_text(text + "\n")
    return folder


def run(program: Path, *argv: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    told = ("PATH", "HOME", "TMPDIR", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "SYSTEMROOT")
    env = {name: os.environ[name] for name in told if name in os.environ}
    return subprocess.run([program, *argv], cwd=cwd, env=env, capture_output=True, text=True)


def test_the_wheel_separates_anywhere(programs: Path, tmp_path: Path) -> None:
    where = run(programs / "python", "-c", "import xumx; print(xumx.__file__)", cwd=tmp_path)
    assert where.stdout.startswith(str(programs.parent)), where
    version = run(programs / "xumx", "--version", cwd=tmp_path)
    assert version.stdout == f"xumx {__version__}\n", version
    demo = run(programs / "xumx", "demo", "--duration", "4", "--no-open", cwd=tmp_path)
    assert demo.returncode == 0 and (tmp_path / "demo" / "index.html").is_file(), demo
    song = next((tmp_path / "demo").glob("*.flac"))
    stems = run(programs / "xumx", "separate", str(song), "-n", "demo", "-o", "mine", cwd=tmp_path)
    names = {"bass.wav", "drums.wav", "other.wav", "vocals.wav"}
    assert stems.returncode == 0 and {path.name for path in (tmp_path / "mine").iterdir()} == names, stems


def test_the_wheel_knows_the_recipes_and_what_is_missing(programs: Path, tmp_path: Path) -> None:
    told = run(programs / "xumx", "train", "--recipe", "x-umx", "--help", cwd=tmp_path)
    assert told.returncode == 0 and "--recipe" in told.stdout, told
    wrong = run(programs / "xumx", "train", "--recipe", "y-umx", "--output", "x", cwd=tmp_path)
    assert wrong.returncode == 2 and "umx, x-umx; did you mean x-umx?" in wrong.stderr, wrong
    wanted = run(programs / "xumx", "train", "--recipe", "x-umx", "--output", "x", cwd=tmp_path)
    assert wanted.returncode == 1 and "'matplotlib>=" in wanted.stderr, wanted
