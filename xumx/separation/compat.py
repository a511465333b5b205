"""The functions that programs written for Sony's code call: Spleeter Web, and users of the published fork.

Both take the names of the command's options and return a stem a target. They keep the network from one call
to the next, and need NNabla only where the program has chosen the context ``cudnn``.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xumx.base.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from xumx.separation.separator import Separator

_CHUNK = 30.0
"""Seconds that the network sees at once, as in Spleeter Web; more come in chunks of this."""


def separate_args_dict(audio: np.ndarray, args: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Separate audio at the network's sample rate.

    Parameters
    ----------
    audio : float array (samples, channels)
        Full scale is 1.
    args : mapping
        ``model``, the only one that must be there: weights file, folder of UMX files, or name of published
        weights. ``targets``: stems, all if not given. ``umx_infer``: insist on UMX. ``softmask``, ``alpha``,
        ``niter``, ``residual_model``: as for :class:`~xumx.separation.separator.Separator`. Others are
        passed over.

    Returns
    -------
    dict of str to float32 array (samples, channels)
        The targets, each as long as ``audio``, then ``residual`` with ``residual_model``. One target alone
        comes with ``accompaniment``, the rest of the mixture.

    Raises
    ------
    UsageError
        For options that cannot be.
    WeightsError
        For weights that cannot be had or read.
    """
    from xumx import engines
    from xumx.network import pretrained

    if args.get("model") is None:
        raise UsageError("separate needs the option model: a weights file, or the folder of UMX files")
    path = pretrained.resolve(args["model"], progress=False)
    targets = args.get("targets")
    separator = _separator(
        path,
        _state(path),
        engines.default_context(),
        None if targets is None else tuple(targets),
        residual_model=bool(args.get("residual_model", False)),
        softmask=bool(args.get("softmask", False)),
        alpha=args.get("alpha", 1.0),
        niter=args.get("niter", 1),
    )
    if args.get("umx_infer", False) and not separator.config.independent:
        raise UsageError(f"umx_infer: {path} is no UMX but {separator.config.arch}; leave the option out")
    stems = separator(audio)
    if targets is not None and len(targets) == 1:
        return dict(zip((targets[0], "accompaniment"), stems.values(), strict=True))
    return stems


def separate(audio: np.ndarray, args: Any) -> dict[str, np.ndarray]:
    """:func:`separate_args_dict` with the options as attributes, as of an ``argparse.Namespace``."""
    return separate_args_dict(audio, vars(args))


@functools.lru_cache(maxsize=2)
def _separator(
    path: Path,
    state: tuple[tuple[str, int, int], ...],
    context: tuple[str, str | None],
    targets: tuple[str, ...] | None,
    *,
    residual_model: bool,
    **options: Any,
) -> Separator:
    """A separator, made again only when the weights or an option change."""
    from xumx.separation.separator import Separator

    choice: dict[str, Any] = {"targets": targets}
    if targets is not None and len(targets) == 1:
        choice = {"two_stems": targets[0]}
    elif residual_model:
        choice["residual_model"] = True
        if targets is not None:
            choice["targets"] = (*targets, "residual")
    options["level"] = "as-is"  # as Sony's code
    return Separator(path, chunk_dur=_CHUNK, context=context[0], device_id=context[1], **choice, **options)


def _state(path: Path) -> tuple[tuple[str, int, int], ...]:
    """What tells one version of the weights from another: names, times and sizes of the files."""
    files = sorted(path.glob("*.h5")) if path.is_dir() else [path]
    stats = [(file.name, os.stat(file)) for file in files]
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)
