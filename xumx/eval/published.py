"""Scores that others have published, and which scores they may stand beside."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping

from xumx.data.track import Track

SDR = {
    "UMX, published": {"vocals": 6.32, "drums": 5.73, "bass": 5.23, "other": 4.02},
    "X-UMX, published": {"vocals": 6.61, "drums": 6.47, "bass": 5.43, "other": 4.64},
    "UMX of Sony in NNabla, published": {"vocals": 6.41, "drums": 5.58, "bass": 5.30, "other": 4.24},
}
"""On the 50 test tracks of MUSDB18 (Stöter et al. 2019; Sawata et al. 2021; Sony's repository)."""

_TRACKS = "e5b34c1adc08fb9ad926ac019e646ed117b525e0"
"""SHA-1 of the names of MUSDB18's test tracks, sorted, a line each."""

_WHOLE = 30.0
"""Seconds that all of them last; those of the preview, which have the same names, last 7."""


def beside(tracks: Collection[Track], stems: Iterable[str]) -> Mapping[str, Mapping[str, float]]:
    """The published SDR of each stem and their mean, by system, if it is of these tracks and stems.

    Parameters
    ----------
    tracks : collection of Track
        What has been scored. Published scores are of MUSDB18's test tracks, all of them and whole.
    stems : iterable of str
        All that the scores are of: a mean over other stems does not compare.

    Returns
    -------
    mapping of str to mapping of str to float
        Empty if the scores do not compare.
    """
    names = "\n".join(sorted(track.name for track in tracks))
    same = hashlib.sha1(names.encode(), usedforsecurity=False).hexdigest() == _TRACKS
    if not same or any(track.samples < _WHOLE * track.sample_rate for track in tracks):
        return {}
    wanted = set(stems)
    return {
        name: {**scores, "mean": sum(scores.values()) / len(scores)}
        for name, scores in SDR.items()
        if set(scores) == wanted
    }
