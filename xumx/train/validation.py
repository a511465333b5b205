"""The loss on the validation tracks: all of them, from the first to the last sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from types import ModuleType

import nnabla as nn
import numpy as np

from xumx.base.console import Bar
from xumx.base.errors import XumxError
from xumx.data.pieces import Mixes, Piece, Pieces
from xumx.data.source import Sample
from xumx.data.track import Track
from xumx.engines import automatic_context
from xumx.engines.nnabla import open_context
from xumx.graph import losses, model, ops_for
from xumx.graph.losses import Term
from xumx.graph.losses.features import Encoders
from xumx.graph.objective import Objective, shortest
from xumx.network.config import ModelConfig
from xumx.network.weights import Weights
from xumx.parallel.communicator import Communicator
from xumx.train.options import TrainOptions


class Validation:
    """Goes through the validation tracks with the network of the current scope.

    Parameters
    ----------
    pieces : Pieces or Mixes
        This rank's share.
    config : ModelConfig
    ops : module
        See :func:`xumx.graph.ops_for`.
    terms : sequence of Term
        Of the loss; those of discriminators, whose opinion changes, are left out.
    communicator : Communicator
    encoders : list, optional
        See :class:`xumx.graph.objective.Objective`.
    """

    def __init__(
        self,
        pieces: Pieces | Mixes,
        config: ModelConfig,
        ops: ModuleType,
        terms: Sequence[Term],
        communicator: Communicator,
        encoders: Encoders | None = None,
    ) -> None:
        self._pieces, self._communicator = pieces, communicator
        self._terms = [term for term in terms if not term.loss.adversarial]
        self._values = _values(config, ops, self._terms, encoders)

    def run(self, *, progress: bool = True, stop: Callable[[], int] = lambda: 0) -> dict[str, float] | None:
        """Compute the loss and its terms, means over all ranks' pieces, each audio sample counting the same.

        None if ``stop``, which is asked before each piece, gave anything but 0 on any rank.

        Raises
        ------
        XumxError
            If no piece can be read.
        """
        # Named before there is a piece, as a rank may have none.
        names = ["loss", *losses.labels(self._terms)]
        sums, weight = dict.fromkeys(names, 0.0), 0
        bar = Bar(len(self._pieces), "validation", unit="pieces", leave=False, quiet=not progress)
        for piece, sample in bar.over(self._pieces):
            if stop():
                break
            for name, value in self._values(piece, sample).items():
                sums[name] += value * piece.length
            weight += piece.length
        stopped, *totals = self._communicator.sum(np.array([stop(), weight, *sums.values()]))
        if stopped:
            return None
        if not totals[0]:
            raise XumxError("none of the validation tracks can be read")
        return {name: float(total / totals[0]) for name, total in zip(sums, totals[1:], strict=True)}


def _values(
    config: ModelConfig, ops: ModuleType, terms: Sequence[Term], encoders: Encoders | None = None
) -> Callable[[Piece, Sample], dict[str, float]]:
    """Make what computes the loss and its terms of a piece, with the network of the current scope."""

    @lru_cache(maxsize=2)  # full pieces, and the last of a track
    def graph(samples: int) -> Objective:
        with nn.no_grad():
            return Objective(config, 1, samples, ops, terms=terms, encoders=encoders)

    def values(piece: Piece, sample: Sample) -> dict[str, float]:
        # A track may be too short for a single frame.
        missing = max(shortest(config) - piece.length, 0)
        objective = graph(piece.length + missing)
        objective.feed(
            np.pad(sample.mixture, ((0, missing), (0, 0)))[None],
            np.pad(sample.targets, ((0, 0), (0, missing), (0, 0)))[None],
        )
        return {"loss": objective.forward(), **objective.values()}

    return values


def measured(config: ModelConfig) -> list[str]:
    """Name the single losses that any network of these sources has a value of.

    They need no discriminator and no other network; of one source, none that compares sources or sums them.
    """
    several = len(config.sources) > 1
    return [
        name
        for name, loss in losses.LOSSES.items()
        if not {"critics", "encoders"} & set(loss.extras)
        and (several or not (loss.compares or name.startswith("Combination")))
    ]


def measure(weights: Weights, tracks: Sequence[Track], options: TrainOptions) -> dict[str, dict[str, float]]:
    """Compute the value of each of :func:`measured` for each track, as validation computes it.

    Parameters
    ----------
    weights : Weights
        An X-UMX, or a UMX of one source.
    tracks : sequence of Track
    options : TrainOptions
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
    pieces = Pieces(
        tracks,
        config.sources,
        round(options.valid_dur * config.sample_rate),
        shortest=shortest(config),
        channels=config.nb_channels,
        workers=options.nb_workers,
    )
    names = measured(config)
    values = _values(config, ops, losses.terms(dict.fromkeys(names, 1.0), 1.0))
    sums = {name: dict.fromkeys((track.name for track in tracks), 0.0) for name in names}
    seen = dict.fromkeys((track.name for track in tracks), 0)
    device = open_context(context, options.device_id)
    with nn.context_scope(device), nn.auto_forward(False), nn.parameter_scope("measured", {}):
        model.set_weights(weights)
        for piece, sample in pieces:
            found = values(piece, sample)
            seen[piece.track.name] += piece.length
            for name in names:
                sums[name][piece.track.name] += found[name] * piece.length
    return {
        name: {track: total / seen[track] for track, total in of_tracks.items() if seen[track]}
        for name, of_tracks in sums.items()
    }
