"""Which tracks to train on, and which to validate on."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from unicodedata import normalize

from xumx.base.errors import UsageError, XumxError
from xumx.data.folders import Found
from xumx.data.track import Track, listing

logger = logging.getLogger(__name__)

SHARE = 0.1
"""Of the tracks, for validation, where no folder sets them apart."""


def split(
    root: Path, finders: Iterable[Callable[[Path], Found]], share: float | None = None
) -> tuple[Found, Found]:
    """Find what there is to train on, and to validate on.

    That is in the folders ``train`` and ``valid``. Without ``valid``, tracks are set apart by their names;
    without ``train`` too, they are in the root itself.

    Parameters
    ----------
    root : path
    finders : iterable of callable
        Each takes a folder; what each finds is divided by itself.
    share : float, optional
        Of the tracks for validation, if there is no folder for it; `SHARE` by default.

    Raises
    ------
    UsageError
        If there are no such folders or no tracks, or nothing is left on one of the sides.
    """
    if not root.is_dir():
        raise UsageError(f"`root` {root}: no such folder")
    train, valid = root / "train", root / "valid"
    separate = valid.is_dir()
    if separate and not train.is_dir():
        raise UsageError(f"`root` {root} has a folder 'valid', but no folder 'train'")
    if separate and share is not None:
        raise UsageError(f"`valid_share`: {valid} sets apart what to validate on; leave the option out")
    if not train.is_dir():
        train = root
    learned: Found = {}
    held: Found = {}
    for find in finders:
        parts = (find(train), find(valid)) if separate else _divided(find(train), share or SHARE, train)
        learned.update(parts[0])
        held.update(parts[1])
    return learned, held


def position(name: str) -> float:
    """Place a track among all that there could be, evenly distributed from 0 to 1: by its name alone.

    Files of different sources (``vocals/song.wav``, ``drums/song.flac``) are at one place if they share a
    name, as they may be of one song.
    """
    source, slash, rest = name.partition("/")
    key = os.path.splitext(rest)[0] if slash else source
    digest = hashlib.sha256(normalize("NFC", key).encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def long_enough(tracks: Sequence[Track], seconds: float) -> list[Track]:
    """Keep those that last so long; the others are named in one warning.

    Raises
    ------
    XumxError
        If none does.
    """
    kept = [track for track in tracks if track.samples >= seconds * track.sample_rate]
    short = listing(track.name for track in tracks if track not in kept)
    if not kept:
        raise XumxError(f"`min_chunk_duration` {seconds:g}: all tracks are shorter: {short}")
    if len(kept) < len(tracks):
        logger.warning("shorter than `min_chunk_duration` %g, left out: %s", seconds, short)
    return kept


def _divided(found: Found, share: float, folder: Path) -> tuple[Found, Found]:
    if len(found) < 2:
        raise UsageError(f"{folder} holds too few tracks ({listing(found)}) to set some apart for validation")
    valid = {name: files for name, files in found.items() if position(name) < share}
    train = {name: files for name, files in found.items() if name not in valid}
    if not valid or not train:
        places = sorted(map(position, found))
        one = sum(places[:2] if train else places[-2:]) / 2
        what = f"none of the {len(found)} tracks" if train else f"all {len(found)} tracks"
        raise UsageError(
            f"`valid_share` {share:g} sets {what} of {folder} ({listing(found, 2)}) apart for validation; "
            f"give one such as {one:.4f}, or make a folder 'valid'"
        )
    return train, valid
