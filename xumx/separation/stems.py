"""Which stems come out of what a network estimates."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from xumx.base.errors import UsageError


def estimated(sources: tuple[str, ...], residual: bool) -> tuple[str, ...]:
    """Name what the Wiener filter returns of a network's sources, with one more for the rest if ``residual``.

    A network of one source always has it.

    >>> estimated(("vocals",), False), estimated(("drums", "bass"), True)
    (('vocals', 'accompaniment'), ('drums', 'bass', 'residual'))
    """
    if len(sources) == 1:
        return (*sources, "accompaniment")
    return (*sources, "residual") if residual else sources


def chosen(
    estimated: tuple[str, ...],
    targets: Sequence[str] | None,
    two_stems: str | None,
    aggregate: Mapping[str, Sequence[str]] | None,
) -> dict[str, list[int] | None]:
    """Say which stems come out.

    Parameters
    ----------
    estimated : tuple of str
        What the network and its filter estimate.
    targets, two_stems, aggregate
        The choice, see :class:`xumx.separation.separator.Separator`; one of them at most.

    Returns
    -------
    dict of str to list of int or None
        Name of each stem, and the places in ``estimated`` that it sums. None is the mixture less the first
        stem.

    Raises
    ------
    UsageError
        For a name that is not estimated, and for choices that contradict each other.

    Examples
    --------
    >>> estimated = "bass", "drums", "vocals", "other"
    >>> chosen(estimated, ["vocals"], None, None), chosen(estimated, None, "vocals", None)
    ({'vocals': [2]}, {'vocals': [2], 'no_vocals': None})
    >>> chosen(estimated, None, None, {"accompaniment": ["bass", "drums", "other"]})
    {'accompaniment': [0, 1, 3]}
    """
    given = {"`targets`": targets, "`two_stems`": two_stems, "`aggregate`": aggregate}
    used = [option for option, value in given.items() if value is not None]
    if len(used) > 1:
        raise UsageError(f"{' and '.join(used)} each choose the stems: give one of them")

    def place(option: str, name: str) -> int:
        if name not in estimated:
            raise UsageError(f"{option}: the network has no {name!r}; it has {', '.join(estimated)}")
        return estimated.index(name)

    names = [*(aggregate or ()), *estimated]
    bad = next((n for n in names if not n or n != os.path.basename(n) or "\\" in n or n in (".", "..")), None)
    if bad is not None:
        raise UsageError(f"{bad!r} cannot be the name of a stem, since it is no file name")
    if two_stems is not None:
        return {two_stems: [place("`two_stems`", two_stems)], f"no_{two_stems}": None}
    if aggregate is not None:
        for name, members in aggregate.items():
            if isinstance(members, str) or not members or len(set(members)) != len(members):
                raise UsageError(f"`aggregate`: {name!r} needs a list of different stems, not {members!r}")
        if not aggregate:
            raise UsageError("`aggregate` names no stem")
        return {name: [place("`aggregate`", m) for m in members] for name, members in aggregate.items()}
    if targets is None:
        targets = estimated
    elif isinstance(targets, str) or not targets or len(set(targets)) != len(targets):
        raise UsageError(f"`targets` needs one or more different stems, not {targets!r}")
    return {name: [place("`targets`", name)] for name in targets}
