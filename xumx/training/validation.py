"""The loss on the validation tracks: all of them, from the first to the last sample."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from types import ModuleType

import nnabla as nn
import numpy as np
from tqdm import tqdm

from xumx.config import ModelConfig
from xumx.data.pieces import Mixes, Pieces
from xumx.errors import XumxError
from xumx.graph import losses
from xumx.graph.losses import Term
from xumx.graph.losses.features import Encoders
from xumx.graph.objective import Objective, shortest
from xumx.parallel.communicator import Communicator

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
        for piece, sample in tqdm(
            self._pieces, "validation", unit="piece", leave=False, disable=not progress
        ):
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
