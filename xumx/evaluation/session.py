"""A folder of scores: begun, resumed, finished."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from xumx import jsonfile, room
from xumx.data.track import MIXTURE, Track
from xumx.errors import UsageError, XumxError
from xumx.evaluation.estimators import stem_files
from xumx.evaluation.scenario import Members, members_of, scenarios
from xumx.evaluation.scores import Scores, read_scores
from xumx.evaluation.tracks import Task
from xumx.files import replacing

SETTINGS = "settings.json"

_FRAME = 600
"""Bytes that the scores of a stem take a second, in their file and in the table; somewhat less."""
_REPORT = 500_000
"""Bytes of the report; less."""


def begin(folder: Path, settings: Mapping[str, Any], *, force: bool) -> None:
    """Make the folder of scores, or see that what it holds was scored with the same settings.

    Raises
    ------
    UsageError
        If it was not; ``force`` takes the folder over.
    XumxError
        If it cannot be written.
    """
    path = folder / SETTINGS
    text = json.dumps(settings, indent=2)
    try:
        if path.exists() and not force:
            before = jsonfile.read(path, dict[str, Any])
            now = jsonfile.parse(text, dict[str, Any])
            other = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
            if other:
                changes = ", ".join(
                    f"{_short(name)[1:-1]} {_short(before.get(name))}, now {_short(now.get(name))}"
                    for name in other
                )
                raise UsageError(
                    f"--evaldir {folder} holds other scores ({changes}): give another or --force"
                )
            return
        with replacing(path) as aside:
            aside.write_text(text, encoding="utf-8")
    except OSError as error:
        raise XumxError(f"--evaldir {folder}: cannot be written ({error.strerror})") from None
    except jsonfile.JsonError as error:
        raise XumxError(f"{error}; --force replaces it") from None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def tasks_of(
    tracks: Iterable[Track], scores: Path, subset: str, estimates: Path | None, fast: bool
) -> list[Task]:
    """A task a track, the longest first, so that no process ends long after the others."""
    ordered = sorted(tracks, key=lambda track: (-track.samples, track.name))
    return [
        Task(
            track,
            scores / subset / f"{track.name}.json",
            estimates / subset / track.name if estimates else None,
            fast,
        )
        for track in ordered
    ]


def check_room(tasks: Iterable[Task], members: Members, folder: Path, kept: Path | None) -> None:
    """See that there is room for the scores of the tasks that are left, and for the estimates to keep.

    Raises
    ------
    XumxError
        If there is not, or if a folder cannot be written.
    """
    scores, estimates = 0, 0
    for task in tasks:
        if not task.scores.exists():
            seconds = math.ceil(task.track.samples / task.track.sample_rate)
            scores += _FRAME * len(members) * seconds
        if task.estimates is not None and not task.estimates.exists():
            channels = max(recording.channels for recording in task.track.recordings.values())
            estimates += 4 * len(members) * channels * task.track.samples
    room.check_room("--evaldir", folder, scores + _REPORT)
    if kept is not None:
        room.check_room("--outdir", kept, estimates)


def network_members(
    estimated: Sequence[str], stems: Sequence[str], aggregate: Any, sources: Sequence[str]
) -> Members:
    """Truths of a network's stems, which its options may have named.

    A network of one source calls the rest ``accompaniment``, whatever that source is.
    """
    known = dict(aggregate or {})
    if len(estimated) == 1:
        known["accompaniment"] = [source for source in sources if source != estimated[0]]
    return members_of(stems, sources, known)


def folder_members(
    folder: Path, tracks: Iterable[Track], sources: Sequence[str]
) -> tuple[Members, list[str]]:
    """Truths of all stems that any track has an estimate of, and the names that have none.

    Raises
    ------
    UsageError
        If the folder is none, or has no estimate of any track.
    """
    stems: dict[str, None] = {}
    if not folder.is_dir():
        raise UsageError(f"--estimates: {folder} is no folder; it needs <subset>/<track>/<stem>.wav")
    for track in tracks:
        if (folder / track.name).is_dir():
            stems.update(dict.fromkeys(stem_files(folder / track.name)))
    if not stems:
        raise UsageError(f"--estimates: {folder} holds no estimates of the tracks, as <track>/<stem>.wav")
    members = members_of([*sources, *(s for s in stems if s not in sources)], sources)
    members = {stem: parts for stem, parts in members.items() if stem in stems}
    return members, [stem for stem in stems if stem not in members and stem != MIXTURE]


def check_scorable(members: Members) -> None:
    """Raise UsageError if there are no two stems to score together, or one that nothing is scored with."""
    scored = {stem for group in scenarios(members) for stem in group}
    alone = [stem for stem in members if stem not in scored]
    if alone:
        raise UsageError(
            f"BSS Eval cannot score {', '.join(alone)}: no other stem is of the rest of the mixture"
        )


def scores_of(tasks: Iterable[Task]) -> dict[str, Scores]:
    """The scores of the tasks that are done, by track."""
    done = sorted((task for task in tasks if task.scores.exists()), key=lambda task: task.track.name)
    return {task.track.name: read_scores(task.scores) for task in done}
