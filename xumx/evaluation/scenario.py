"""Which sources each stem stands for, and which stems are scored against each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from xumx.data.musdb import configuration
from xumx.errors import UsageError

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
            "--two-stems scores one against the rest"
        )
    return groups
