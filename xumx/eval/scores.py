"""A track's estimates to scores, and score files in museval's format."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import msgspec
import numpy as np

from xumx.base import jsonfile
from xumx.base.errors import UsageError, XumxError
from xumx.base.files import replacing
from xumx.data.musdb import configuration, sigsep
from xumx.eval.bsseval import METRICS, bss_eval
from xumx.eval.estimators import Truth

logger = logging.getLogger(__name__)

Members = dict[str, tuple[str, ...]]
"""Names of stems to the sources whose sum is their truth."""


def members_of(
    stems: Iterable[str], sources: Sequence[str], known: Mapping[str, Sequence[str]] | None = None
) -> Members:
    """The sources of each stem that has a truth; other stems are not in the result.

    In the order of musdb's targets, as museval scores them: the equations' rounding depends on it.

    Parameters
    ----------
    stems : iterable of str
        A source, ``no_<source>``, one of musdb's sums of sources such as ``accompaniment``, or a name of
        ``known``.
    sources : sequence of str
        Those of the data set.
    known : mapping of str to sequence of str, optional
        Stems with the sources they hold, before any other rule.
    """
    targets = configuration()["targets"]
    found: dict[str, Sequence[str]] = {name: list(parts) for name, parts in targets.items()}
    found.update({f"no_{source}": [other for other in sources if other != source] for source in sources})
    found.update({source: [source] for source in sources})
    found.update(known or {})
    stems = sorted(stems, key=lambda stem: list(targets).index(stem) if stem in targets else len(targets))
    return {
        stem: tuple(found[stem])
        for stem in stems
        if stem in found and set(found[stem]) <= set(sources) and len(found[stem]) < len(sources)
    }


def scenarios(members: Members) -> list[tuple[str, ...]]:
    """Groups of stems to score together; the scores of a stem are those of the last group it is in.

    Stems that share no source are one group. Otherwise the single sources are one, and each sum is one
    with the stems that it does not hold: as in museval, which scores ``vocals`` once more with
    ``accompaniment`` and keeps that.

    Raises
    ------
    UsageError
        If no two stems can be scored together.
    """
    held = [source for parts in members.values() for source in parts]
    groups = [tuple(members)]
    if len(set(held)) < len(held):
        groups = [tuple(stem for stem, parts in members.items() if len(parts) == 1)]
        for stem, parts in members.items():
            if len(parts) > 1:
                rest = (other for other, theirs in members.items() if not set(theirs) & set(parts))
                groups.append((*rest, stem))
    groups = [group for group in groups if len(group) > 1]
    if not groups:
        raise UsageError(
            f"BSS Eval compares two stems or more, and cannot score {', '.join(members) or 'none'} alone; "
            "`two_stems` scores one against the rest"
        )
    return groups


Scores = dict[str, np.ndarray]
"""Stem to float64 array (metrics, frames of a second), in the order of `METRICS`."""


class _Metrics(msgspec.Struct):
    """In the order of `METRICS`."""

    SDR: float
    ISR: float
    SIR: float
    SAR: float


class _Frame(TypedDict):
    metrics: _Metrics


class _Target(TypedDict):
    name: str
    frames: list[_Frame]


class _File(TypedDict):
    targets: list[_Target]


def score(
    truth: Truth,
    estimates: Mapping[str, np.ndarray],
    members: Members,
    *,
    fast: bool = False,
    threads: int = 1,
) -> Scores:
    """BSS Eval v4 of one track, a second at a time, as ``museval.eval_mus_track`` by museval itself.

    Parameters
    ----------
    truth : Truth
    estimates : mapping of str to float array (samples, channels)
        Cut or filled to the length of the truth, mono doubled or channels averaged to mono, with a
        warning in the log.
    members : Members
        The stems to score. Estimates of other stems are not looked at.
    fast : bool
        Take :func:`xumx.eval.bsseval.bss_eval`.
    threads : int
        Of the fast way; museval has one.

    Raises
    ------
    XumxError
        For an estimate that is missing or silent, or a truth that is silent throughout.
    """
    true, fitted = pairs(truth, estimates, members)
    for stem in members:
        for what, audio in (("truth", true[stem]), ("estimate", fitted[stem])):
            if not audio.sum(axis=1).any():
                raise XumxError(f"{truth.name}: the {what} of {stem} is silent throughout, and has no score")
    scores: Scores = {}
    for group in scenarios(members):
        references, candidates = (np.stack([signals[stem] for stem in group]) for signals in (true, fitted))
        if fast:
            result = bss_eval(references, candidates, truth.rate, threads=threads)
        else:
            museval = sigsep("museval")
            result = np.stack(museval.evaluate(references, candidates, win=truth.rate, hop=truth.rate))
        scores.update(zip(group, result.swapaxes(0, 1)))
    return scores


def pairs(
    truth: Truth, estimates: Mapping[str, np.ndarray], members: Members
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The truth and the estimate of each stem, (samples, channels), of one shape.

    Raises
    ------
    XumxError
        For an estimate that is missing, or has other channels.
    """
    missing = [stem for stem in members if stem not in estimates]
    if missing:
        raise XumxError(f"{truth.name}: no estimate of {', '.join(missing)}")
    true, fitted = {}, {}
    for stem, parts in members.items():
        true[stem] = np.sum([truth.sources[source] for source in parts], axis=0, dtype=np.float64)
        fitted[stem] = _fitted(estimates[stem], true[stem].shape, f"{truth.name}: the estimate of {stem}")
    return true, fitted


def _fitted(estimate: np.ndarray, shape: tuple[int, ...], what: str) -> np.ndarray:
    samples, channels = shape
    if estimate.shape[1] != channels:
        if 1 not in (channels, estimate.shape[1]):
            raise XumxError(f"{what} has {estimate.shape[1]} channels, not {channels}")
        if channels == 1:
            logger.warning("%s has %d channels, which are averaged", what, estimate.shape[1])
        else:
            logger.warning("%s is mono and is doubled", what)
        estimate = np.repeat(estimate.mean(axis=1, keepdims=True), channels, axis=1)
    lacking = samples - len(estimate)
    if lacking:
        how = "shorter and is filled with silence" if lacking > 0 else "longer and is cut"
        logger.warning("%s is %d samples %s", what, abs(lacking), how)
    return np.pad(estimate[:samples], ((0, max(lacking, 0)), (0, 0)))


def write_scores(path: Path, scores: Scores) -> None:
    """A score file of museval's ``TrackStore``: values to 1e-5 dB, infinite ones as NaN.

    Raises
    ------
    XumxError
        If it cannot be written, or museval cannot be imported.
    """
    store = sigsep("museval").TrackStore(path.stem, win=1.0, hop=1.0)
    for stem, values in scores.items():
        store.add_target(stem, dict(zip(METRICS, values.tolist())))
    with replacing(path) as aside:
        store.save(aside)


def read_scores(path: Path) -> Scores:
    """What `write_scores` or museval has written.

    Raises
    ------
    XumxError
        If it is not a score file.
    """
    try:
        content = jsonfile.read(path, _File)
    except FileNotFoundError as error:
        raise XumxError(f"{path}: cannot be read ({error.strerror})") from None
    except jsonfile.JsonError as error:
        raise XumxError(f"{path}: is no score file of museval ({error.reason})") from None
    scores = {}
    for target in content["targets"]:
        columns = [msgspec.structs.astuple(frame["metrics"]) for frame in target["frames"]]
        scores[target["name"]] = np.array(columns, np.float64).reshape(-1, len(METRICS)).T
    if not scores:
        raise XumxError(f"{path}: holds no scores")
    return scores
