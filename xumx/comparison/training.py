"""The runs of a study: trained as far as they are not."""

from __future__ import annotations

import hashlib
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from xumx.comparison.plan import Run
from xumx.errors import XumxError
from xumx.files import replacing
from xumx.interrupts import Interrupts, name
from xumx.training import checkpoint
from xumx.training.options import new_run, parse
from xumx.training.schedule import EarlyStopping
from xumx.training.trainer import BEST

_FAILED = "failed.txt"


def train(run: Run, interrupts: Interrupts) -> None:
    """Begin a run, go on with it, or find that it is done.

    Raises
    ------
    SystemExit
        If a signal has come, when there is a checkpoint.
    XumxError
        If it fails; :func:`failure` remembers.
    """
    from xumx.training.lines import Lines
    from xumx.training.start import prepare

    note = run.folder / _FAILED
    note.unlink(missing_ok=True)
    try:
        if not done(run):
            known = (run.folder / checkpoint.NAME).exists()
            argv = [*run.argv, *(["--model", str(run.folder)] if known else [])]
            with ExitStack() as stack:
                _, trainer = prepare(argv, None, Lines(), stack)
                with interrupts.noted():
                    trainer.run(interrupts.asked)
            if number := interrupts.asked():
                print(f"stopped by {name(number)}; the same command goes on", file=sys.stderr)
                sys.exit(128 + number)
    except XumxError as error:
        try:
            with replacing(note) as aside:
                aside.write_text(str(error), encoding="utf-8")
        except OSError:
            pass  # what failed first says it
        raise


def done(run: Run) -> bool:
    """Whether the run has trained its epochs, or was stopped early."""
    path = run.folder / checkpoint.NAME
    if not path.exists():
        return False
    options = new_run(*parse(run.argv))
    progress = checkpoint.load(path).progress
    stopping = EarlyStopping(**{**progress["stopping"], "patience": options.patience})
    return bool(progress["position"]["epoch"] >= options.epochs or stopping.over)


def history(run: Run) -> list[dict[str, Any]]:
    """What each epoch came to; empty if none was ended, or the checkpoint cannot be read."""
    try:
        return list(checkpoint.load(run.folder / checkpoint.NAME).progress["position"]["history"])
    except XumxError:
        return []


def failure(runs: list[Run]) -> str | None:
    """Why a configuration has no model; None if nothing failed."""
    for run in runs:
        if (run.folder / _FAILED).exists():
            text = (run.folder / _FAILED).read_text(encoding="utf-8", errors="replace")
            return f"{run.source}: {text}" if run.source else text
    return None


def model(runs: list[Run]) -> Path | None:
    """The weights of a configuration, a file or a folder of ``<source>.h5``; None if a run has none yet."""
    files = [run.folder / BEST for run in runs]
    if failure(runs) or not all(file.exists() for file in files):
        return None
    if runs[0].source is None:
        return files[0]
    folder = runs[0].folder.parent / "model"
    for run, file in zip(runs, files, strict=True):
        with replacing(folder / f"{run.source}.h5") as aside:
            shutil.copyfile(file, aside)
    return folder if len(runs) > 1 else folder / f"{runs[0].source}.h5"


def digest(runs: list[Run]) -> str:
    """Of the weights."""
    content = b"".join((run.folder / BEST).read_bytes() for run in runs)
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()
