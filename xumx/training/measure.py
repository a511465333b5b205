"""Losses as metrics: the value of every loss for a trained network on whole tracks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import nnabla as nn
import numpy as np
from nnabla.ext_utils import get_extension_context

from xumx.config import ModelConfig
from xumx.data.pieces import Pieces
from xumx.data.track import Track
from xumx.engines import automatic_context
from xumx.graph import losses, model, ops_for
from xumx.graph.objective import Objective, shortest
from xumx.training.options import Options
from xumx.weights import Weights

_SHAPES = 2  # graphs that are kept: of full pieces, and of the last of a track


def measured(config: ModelConfig) -> list[str]:
    """The single losses that any network of these sources has a value of.

    They need no discriminator and no other network; of one source, none that compares sources or sums them.
    """
    several = len(config.sources) > 1
    return [
        name
        for name, loss in losses.LOSSES.items()
        if not {"critics", "encoders"} & set(loss.extras)
        and (several or not (loss.compares or name.startswith("Combination")))
    ]


def measure(weights: Weights, tracks: Sequence[Track], options: Options) -> dict[str, dict[str, float]]:
    """The value of each of :func:`measured` for each track, as validation computes it.

    Parameters
    ----------
    weights : Weights
        An X-UMX, or a UMX of one source.
    tracks : sequence of Track
    options : Options
        Their ``valid_dur``, context and workers count.

    Returns
    -------
    dict of str to dict of str to float
        By loss and by track: means over pieces, weighted by their lengths.
    """
    config = weights.config
    context = options.context
    if context == "auto":
        context, _ = automatic_context(options.device_id)
    ops = ops_for(context, stock=options.stock_ops)
    needed = shortest(config)
    pieces = Pieces(
        tracks,
        config.sources,
        round(options.valid_dur * config.sample_rate),
        shortest=needed,
        channels=config.nb_channels,
        workers=options.nb_workers,
    )
    names = measured(config)
    terms = losses.terms(dict.fromkeys(names, 1.0), 1.0)
    graphs: OrderedDict[int, Objective] = OrderedDict()
    sums = {name: dict.fromkeys((track.name for track in tracks), 0.0) for name in names}
    seen = dict.fromkeys((track.name for track in tracks), 0)
    device = get_extension_context(context, device_id=options.device_id)
    with (
        nn.context_scope(device),
        nn.auto_forward(False),
        nn.no_grad(),
        nn.parameter_scope("measured", OrderedDict()),
    ):
        model.set_weights(weights)
        for piece, sample in pieces:
            missing = max(needed - piece.length, 0)
            samples = piece.length + missing
            if samples not in graphs:
                while len(graphs) >= _SHAPES:
                    graphs.popitem(last=False)
                graphs[samples] = Objective(config, 1, samples, ops, terms=terms)
            graphs.move_to_end(samples)
            graph = graphs[samples]
            graph.feed(
                np.pad(sample.mixture, ((0, 0), (0, missing)))[None],
                np.pad(sample.targets, ((0, 0), (0, 0), (0, missing)))[None],
            )
            graph.forward()
            seen[piece.track.name] += piece.length
            for name, value in graph.values().items():
                sums[name][piece.track.name] += value * piece.length
    return {
        name: {track: total / seen[track] for track, total in values.items() if seen[track]}
        for name, values in sums.items()
    }
