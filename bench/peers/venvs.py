"""Environments of the programs that xumx is compared with, made once in a cache folder."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.common import ROOT, BenchError, clean_environment

_SONY = "xumx-spleeterweb==0.2.4"
# The local version makes sure that it is a CPU build: the plain one brings gigabytes of CUDA on Linux.
_TORCH = "torch==2.13.0+cpu"
_TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
_OPENUNMIX = "openunmix==1.3.0"


def sony(cache: Path) -> Path:
    """The interpreter of an environment with Sony's X-UMX code, as published on PyPI, on Python 3.10.

    Raises
    ------
    BenchError
        If it cannot be had, with the reason.
    """
    for program in ("ffmpeg", "ffprobe"):
        if shutil.which(program) is None:
            raise BenchError(f"Sony's code reads songs with the program {program}: install FFmpeg")
    return _make(cache / "sony", _pythons("3.10"), [[_SONY]])


def openunmix(cache: Path) -> Path:
    """The interpreter of an environment with openunmix and a CPU build of PyTorch.

    Raises
    ------
    BenchError
        If it cannot be had, with the reason.
    """
    # Without its dependencies: of torchaudio it needs the name only.
    rest = [["--no-deps", _OPENUNMIX], ["numpy", "tqdm", "soundfile", "h5py"]]
    pythons, folder = _pythons("new"), cache / "openunmix"
    try:
        return _make(folder, pythons, [[_TORCH], *rest])
    except BenchError:
        return _make(folder, pythons, [["--extra-index-url", _TORCH_INDEX, _TORCH], *rest])


def versions(python: Path, packages: Sequence[str]) -> str:
    """Versions of Python and packages in an environment, in words."""
    code = (
        "import platform, sys; from importlib.metadata import version as v;"
        "print(', '.join([f'Python {platform.python_version()}', *(f'{p} {v(p)}' for p in sys.argv[1:])]))"
    )
    answer = subprocess.run(
        [python, "-c", code, *packages], env=clean_environment(), capture_output=True, text=True, check=True
    )
    return answer.stdout.strip()


def _pythons(version: str) -> list[str]:
    command = ["sh", "tools/find_python.sh", version]
    found = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if found.returncode:
        raise BenchError(found.stderr.strip().splitlines()[0])
    return found.stdout.splitlines()


def _make(folder: Path, pythons: Sequence[str], steps: Sequence[Sequence[str]]) -> Path:
    """An environment in ``folder`` of the first Python on which every ``pip install`` of ``steps`` works."""
    python, done = folder / "bin" / "python", folder / "installed.json"
    wanted = json.dumps([list(pythons), [list(step) for step in steps]])
    if python.exists() and done.exists() and done.read_text() == wanted:
        return python
    reason = ""
    for base in pythons:
        print(f"installing {steps[0][-1]} for {base} in {folder}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
        for command in ([base, "-m", "venv", str(folder)], *([*pip, *step] for step in steps)):
            ran = subprocess.run(
                command, env=clean_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True
            )
            if ran.returncode:
                errors = [line for line in ran.stderr.splitlines() if line.startswith("ERROR")]
                reason = (errors or ran.stderr.splitlines() or ["it said nothing"])[-1]
                break
        else:
            done.write_text(wanted)
            return python
    shutil.rmtree(folder, ignore_errors=True)
    raise BenchError(f"{steps[0][-1]} cannot be installed: {reason}")
