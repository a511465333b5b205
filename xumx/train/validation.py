"""The loss on the validation tracks: all of them, from the first to the last sample."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from types import ModuleType

import nnabla as nn
import numpy as np
from nnabla.ext_utils import get_extension_context

from xumx.base.console import Bar
from xumx.base.errors import XumxError
from xumx.data.pieces import Mixes, Pieces
from xumx.data.track import Track
from xumx.engines import automatic_context
from xumx.graph import losses, model, ops_for
from xumx.graph.losses import Term
from xumx.graph.losses.features import Encoders
from xumx.graph.objective import Objective, shortest
from xumx.network.config import ModelConfig
from xumx.network.weights import Weights
from xumx.parallel.communicator import Communicator
from xumx.train.options import Options

_SHAPES = 2  # graphs that are kept: of full pieces, and of the last of a track


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
        self._pieces, self._config, self._ops, self._communicator = pieces, config, ops, communicator
        self._terms = [term for term in terms if not term.loss.adversarial]
        self._encoders = encoders
        self._graphs: OrderedDict[int, Objective] = OrderedDict()

    def run(self, *, progress: bool = True, stop: Callable[[], int] = lambda: 0) -> dict[str, float] | None:
        """The loss and its terms, means over all ranks' pieces in which each audio sample counts the same.

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
            # A track may be too short for a single frame.
            missing = max(shortest(self._config) - piece.length, 0)
            objective = self._graph(piece.length + missing)
            objective.feed(
                np.pad(sample.mixture, ((0, 0), (0, missing)))[None],
                np.pad(sample.targets, ((0, 0), (0, 0), (0, missing)))[None],
            )
            for name, value in {"loss": objective.forward(), **objective.values()}.items():
                sums[name] += value * piece.length
            weight += piece.length
        stopped, *totals = self._communicator.sum(np.array([stop(), weight, *sums.values()]))
        if stopped:
            return None
        if not totals[0]:
            raise XumxError("none of the validation tracks can be read")
        return {name: float(total / totals[0]) for name, total in zip(sums, totals[1:], strict=True)}

    def _graph(self, samples: int) -> Objective:
        if samples not in self._graphs:
            while len(self._graphs) >= _SHAPES:
                self._graphs.popitem(last=False)
            with nn.no_grad():
                self._graphs[samples] = Objective(
                    self._config, 1, samples, self._ops, terms=self._terms, encoders=self._encoders
                )
        self._graphs.move_to_end(samples)
        return self._graphs[samples]


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
