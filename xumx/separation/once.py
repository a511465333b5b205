"""One signal: a :class:`~xumx.separation.separator.Separator` made, called and let go."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from xumx.separation.blend import Model, Shares
from xumx.separation.separator import Progress, Separator

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Options(TypedDict, total=False):
    """What a :class:`Separator` takes beside the network and its targets, for type checkers."""

    weights: Shares | None
    two_stems: str | None
    aggregate: Mapping[str, Sequence[str]] | None
    residual_model: bool
    niter: int
    softmask: bool
    alpha: float
    level: str
    chunk_dur: float
    overlap: float | None
    engine: str
    context: str
    device_id: str | None
    precision: str
    provider_options: Mapping[str, str] | None
    model_dir: str | os.PathLike[str] | None
    threads: int | None
    show_download: bool


def separate(
    audio: np.ndarray,
    rate: int,
    *,
    model: Model | Sequence[Model] = "x-umx",
    targets: Sequence[str] | None = None,
    progress: Progress | None = None,
    **options: Unpack[Options],
) -> dict[str, np.ndarray]:
    """Separate one signal: :class:`Separator` made, called and let go.

    Parameters
    ----------
    audio : float array (samples, channels) or (samples,)
        Full scale is 1.
    rate : int
        In Hz.
    model, targets, **options
        As for :class:`Separator`.
    progress : callable (seconds done, seconds in all), optional

    Returns
    -------
    dict of str to float32 array (samples, channels)
        As long as ``audio`` and at its rate.

    Examples
    --------
    >>> audio = np.zeros((44100, 2), np.float32)
    >>> stems = separate(audio, 44100, model="demo", targets=["vocals", "drums"])
    >>> stems["vocals"].shape == audio.shape
    True
    """
    return Separator(model, targets=targets, **options)(audio, rate, progress=progress)
