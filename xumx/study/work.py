"""The runs of a study: trained as far as they are not."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

from xumx.base import jsonfile
from xumx.base.console import complain
from xumx.base.cores import threads
from xumx.base.errors import UsageError, WriteError, XumxError
from xumx.base.files import replacing
from xumx.base.interrupts import Interrupts, name
from xumx.data.track import Track
from xumx.eval import work as session
from xumx.eval.options import EvalOptions, make_estimator, settings
from xumx.eval.scores import Scores, members_of
from xumx.eval.work import evaluate_all, finished
from xumx.separation.separator import Separator
from xumx.study import work as training
from xumx.study.options import StudyOptions
from xumx.study.plan import Run
from xumx.train import checkpoint
from xumx.train.resolve import new_run
from xumx.train.schedule import EarlyStopping
from xumx.train.trainer import BEST

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
    from xumx.train.start import prepare

    note = run.folder / _FAILED
    note.unlink(missing_ok=True)
    try:
        if not done(run):
            known = (run.folder / checkpoint.NAME).exists()
            given = {**run.given, **({"model": str(run.folder)} if known else {})}
            with ExitStack() as stack:
                _, trainer = prepare(given, None, stack)
                with interrupts.noted():
                    trainer.run(interrupts.asked)
            if number := interrupts.asked():
                complain(f"stopped by {name(number)}; the same command goes on")
                sys.exit(128 + number)
    except XumxError as error:
        with suppress(WriteError), replacing(note) as aside:  # what failed first says it
            aside.write_text(str(error), encoding="utf-8")
        raise


def done(run: Run) -> bool:
    """Whether the run has trained its epochs, or was stopped early."""
    path = run.folder / checkpoint.NAME
    if not path.exists():
        return False
    options = new_run(run.given)
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


REFERENCES = {
    "mixture as every stem": {"baseline": "mixture"},
    "ideal ratio mask": {"oracle": "irm"},
}
"""What is scored beside the models: a floor and a ceiling."""

_METRICS = "losses.json"


class _Measured(TypedDict):
    weights: str
    losses: list[str]
    values: dict[str, dict[str, float]]


def command(args: StudyOptions, runs: list[Run]) -> str:
    """What scores the model of a configuration as the study does; empty if it has none."""
    model = training.model(runs)
    if model is None:
        return ""
    again = f"scores-{runs[0].configuration.path.replace('/', '-')}"
    options = replace(args.network_options(str(model)), evaldir=again)
    return shlex.join(["python", "-m", "xumx.eval", *options.argv()])


def score_model(args: StudyOptions, model: Path, folder: Path, tracks: list[Track]) -> list[str]:
    """Score a network on the test tracks; a line for each track that failed."""
    options = args.network_options(str(model))
    separator = Separator(**options.separator())
    members = session.network_members(separator.config.sources, separator.stems, None, tracks[0].sources)
    return _score(options, folder, tracks, members, args.cores)


def score_reference(args: StudyOptions, name: str, folder: Path, tracks: list[Track]) -> list[str]:
    """Score one of `REFERENCES` for the stems of the study's networks; otherwise like :func:`score_model`.

    If that is one stem, for all that the tracks have: it cannot be scored alone.
    """
    options = args.eval_options(**REFERENCES[name])
    stems = args.sources if len(args.sources) > 1 else tracks[0].sources
    return _score(options, folder, tracks, members_of(stems, tracks[0].sources), args.cores)


def _score(options: EvalOptions, folder: Path, tracks: list[Track], members: Any, cores: int) -> list[str]:
    session.check_scorable(members)
    tasks = session.tasks_of(tracks, folder, "test", None, options.fast)
    # The weights say which model it is, wherever the study has been moved to.
    wanted = {name: value for name, value in settings(options).items() if name != "model"}
    try:
        session.begin(folder, wanted, force=False)
    except UsageError:  # scores of a model that has been trained further since
        for task in tasks:
            task.scores.unlink(missing_ok=True)
        session.begin(folder, wanted, force=True)
    left = [task for task in tasks if not finished(task, members)]
    make, each = make_estimator(options), threads(cores)
    outcomes = evaluate_all(left, make, members, processes=cores, threads=each)
    return [outcome.error for outcome in outcomes if outcome.error is not None]


def scores(folder: Path, tracks: list[Track]) -> dict[str, Scores]:
    """What has been scored, by track."""
    return session.scores_of(session.tasks_of(tracks, folder, "test", None, False))


def measure_losses(runs: Sequence[Run], folder: Path, tracks: list[Track]) -> None:
    """Write the value of every loss for a configuration's model and each test track, unless it is there.

    Of a umx, the mean over the networks of its sources.

    Raises
    ------
    XumxError
        If it cannot be computed or written.
    """
    from xumx.network import weights
    from xumx.train.validation import measure, measured

    path = folder / _METRICS
    models = [weights.load(run.folder / BEST) for run in runs]
    key = {"weights": training.digest(list(runs)), "losses": measured(models[0].config)}
    if {name: _read(path).get(name) for name in key} == key:
        return
    began = time.monotonic()
    options = new_run(runs[0].given)
    parts = [measure(one, tracks, options) for one in models]
    values = {
        name: {track: sum(part[name][track] for part in parts) / len(parts) for track in parts[0][name]}
        for name in parts[0]
    }
    with replacing(path) as aside:
        whole = {**key, "seconds": time.monotonic() - began, "values": values}
        aside.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


def measured_losses(folder: Path) -> dict[str, dict[str, float]]:
    """What :func:`measure_losses` wrote, by loss and track; empty if it has not."""
    path = folder / _METRICS
    return dict(_read(path).get("values", {}))


def _read(path: Path) -> dict[str, Any]:
    """The file of measured losses; empty if there is none or it is damaged, so that it is made anew."""
    try:
        return {**jsonfile.read(path, _Measured)}
    except (FileNotFoundError, jsonfile.JsonError):
        return {}
