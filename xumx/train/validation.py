"""The loss on the validation tracks: all of them, from the first to the last sample."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any, NamedTuple

import nnabla as nn
import numpy as np

from xumx.base.console import Bar
from xumx.base.errors import XumxError
from xumx.data.pieces import Mixes, Piece, Pieces
from xumx.data.source import Sample
from xumx.data.track import MIXTURE, Track
from xumx.engines import automatic_context
from xumx.engines.nnabla import open_context
from xumx.graph import losses, model, ops_for
from xumx.graph.losses import Term
from xumx.graph.losses.features import Encoders
from xumx.graph.objective import Objective, shortest
from xumx.network.config import ModelConfig
from xumx.network.weights import Weights
from xumx.parallel.communicator import Communicator
from xumx.signal import metrics
from xumx.signal.stft import istft, stft
from xumx.signal.wiener import wiener
from xumx.train.average import Average
from xumx.train.options import TrainOptions

SDR = ("sdr", "median_sdr")
"""What validation tells beside losses, where it separates."""


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
    separate : bool
        Also separate each piece, for the SDR of songs and for the example.
    through_filter : bool
        See :class:`xumx.graph.objective.Objective`.

    Attributes
    ----------
    example : dict of str to array (samples, channels)
        The stems of the piece in the middle of this rank's first track, as last separated, and the mixture.
    """

    def __init__(
        self,
        pieces: Pieces | Mixes,
        config: ModelConfig,
        ops: ModuleType,
        terms: Sequence[Term],
        communicator: Communicator,
        encoders: Encoders | None = None,
        separate: bool = False,
        through_filter: bool = False,
    ) -> None:
        self._pieces, self._communicator, self._config, self._separate = (
            pieces,
            communicator,
            config,
            separate,
        )
        self._terms = [term for term in terms if not term.loss.adversarial]
        self._forward = _forward(
            config, ops, self._terms, encoders, keep=separate, through_filter=through_filter
        )
        self._middle = _middle(pieces)
        self.example: dict[str, np.ndarray] = {}

    def run(self, *, progress: bool = True, stop: Callable[[], int] = lambda: 0) -> dict[str, float] | None:
        """Compute the loss and its terms, means over all ranks' pieces, each audio sample counting the same.

        Where it separates, also `SDR`: the SDR of the MDX challenge, which is the mean over songs of the mean
        over sources, and the mean over sources of the median over songs. A source that is silent in a song
        is left out there.

        None if ``stop``, which is asked before each piece, gave anything but 0 on any rank.

        Raises
        ------
        XumxError
            If no piece can be read, or no source sounds in any.
        """
        # Named before there is a piece, as a rank may have none.
        names = ["loss", *losses.labels(self._terms)]
        sums, weight = dict.fromkeys(names, 0.0), 0
        energies: dict[str, np.ndarray] = {}
        bar = Bar(len(self._pieces), "validation", unit="pieces", leave=False, quiet=not progress)
        for number, (piece, sample) in enumerate(bar.over(self._pieces)):
            if stop():
                break
            objective, values = self._forward(piece, sample)
            for name, value in values.items():
                sums[name] += value * piece.length
            weight += piece.length
            if self._separate:
                stems = separated(objective, sample.mixture, self._config)
                parts = [metrics.energies(*pair) for pair in zip(sample.targets, stems, strict=True)]
                energies[piece.track.name] = energies.get(piece.track.name, 0) + np.array(parts)
                if number == self._middle:
                    self.example = dict(zip((MIXTURE, *self._config.sources), (sample.mixture, *stems)))
        stopped, *totals = self._communicator.sum(np.array([stop(), weight, *sums.values()]))
        if stopped:
            return None
        if not totals[0]:
            raise XumxError("none of the validation tracks can be read")
        found = {name: float(total / totals[0]) for name, total in zip(sums, totals[1:], strict=True)}
        return found | (song_sdr(self._communicator.gather(energies)) if self._separate else {})


def _middle(pieces: Pieces | Mixes) -> int:
    """Number of the piece in the middle of the first track."""
    if isinstance(pieces, Mixes) or not pieces.pieces:
        return 0
    first = pieces.pieces[0].track
    return sum(piece.track is first for piece in pieces.pieces) // 2


def song_sdr(shares: Sequence[Mapping[str, np.ndarray]]) -> dict[str, float]:
    """Compute `SDR` of energies.

    Parameters
    ----------
    shares : sequence of mapping of str to float64 array (sources, 2)
        From each rank, by song: of each source the energy of the truth and of the error, in its pieces.

    Raises
    ------
    XumxError
        If there is nothing but silence.

    Examples
    --------
    >>> one, two = ({"a": np.array([[50.0, error]])} for error in (1, 0))
    >>> one["b"] = np.array([[10.0, 1.0]])
    >>> {name: round(value, 2) for name, value in song_sdr([one, two]).items()}
    {'sdr': 15.0, 'median_sdr': 15.0}
    """
    songs = sorted({song for share in shares for song in share})
    found = np.array([sum(share[song] for share in shares if song in share) for song in songs])
    values = np.array([[metrics.ratio(*pair) if pair[0] else np.nan for pair in song] for song in found])
    sounds = ~np.isnan(values)
    if not sounds.any():
        raise XumxError("all validation tracks are silent, and have no SDR: leave `validate_sdr` out")
    # By hand, as nanmean warns of what is silent throughout.
    of_songs = [values[i][sounds[i]].mean() for i in range(len(songs)) if sounds[i].any()]
    of_sources = [np.median(values[:, j][sounds[:, j]]) for j in range(values.shape[1]) if sounds[:, j].any()]
    return {"sdr": float(np.mean(of_songs)), "median_sdr": float(np.mean(of_sources))}


def separated(objective: Objective, mixture: np.ndarray, config: ModelConfig) -> np.ndarray:
    """Make waveforms of the estimates that an objective has kept, by the Wiener filter that separation has.

    Parameters
    ----------
    objective : Objective
        Of one member a batch, fed with the mixture, which it may have had filled to its shortest length.
    mixture : float32 array (samples, channels)

    Returns
    -------
    float32 array (sources, samples, channels)
    """
    samples = len(mixture)
    mixture = np.pad(mixture, ((0, max(shortest(config) - samples, 0)), (0, 0)))
    magnitudes = np.stack([magnitude.d[:, 0] for magnitude in objective.magnitudes])
    spectrogram = stft(mixture, config.n_fft, config.n_hop)
    found = wiener(magnitudes, spectrogram, residual=len(config.sources) == 1)
    stems = [istft(y, len(mixture), config.n_fft, config.n_hop) for y in found[: len(config.sources)]]
    return np.stack(stems)[:, :samples]


def _forward(
    config: ModelConfig,
    ops: ModuleType,
    terms: Sequence[Term],
    encoders: Encoders | None = None,
    **how: Any,
) -> Callable[[Piece, Sample], tuple[Objective, dict[str, float]]]:
    """Make what computes the loss and its terms of a piece, with the network of the current scope."""

    @lru_cache(maxsize=2)  # full pieces, and the last of a track
    def graph(samples: int) -> Objective:
        with nn.no_grad():
            return Objective(config, 1, samples, ops, terms=terms, encoders=encoders, **how)

    def forward(piece: Piece, sample: Sample) -> tuple[Objective, dict[str, float]]:
        # A track may be too short for a single frame.
        missing = max(shortest(config) - piece.length, 0)
        objective = graph(piece.length + missing)
        objective.feed(
            np.pad(sample.mixture, ((0, missing), (0, 0)))[None],
            np.pad(sample.targets, ((0, 0), (0, missing), (0, 0)))[None],
        )
        return objective, {"loss": objective.forward(), **objective.values()}

    return forward


class Verdict(NamedTuple):
    """What an epoch's validation came to.

    Attributes
    ----------
    found : list of dict of str to float
        With the weights and, if there are averages of them, with those.
    marks : list of float
        Of each, the less the better.
    examples : list of dict of str to array
        What each has made of the example.
    """

    found: list[dict[str, float]]
    marks: list[float]
    examples: list[dict[str, np.ndarray]]

    @property
    def averaged(self) -> bool:
        """Whether the averages are better."""
        return self.marks[-1] < self.marks[0]


def judge(
    validation: Validation,
    average: Average | None,
    select: str,
    clear: Callable[[], object],
    **how: Any,
) -> Verdict | None:
    """Validate with the weights in place, and then with their averages; None if it was stopped.

    Parameters
    ----------
    validation : Validation
    average : Average, optional
    select : 'loss' or 'sdr'
        What is better: a smaller loss or a larger SDR.
    clear : callable
        Called before and after each, as what training keeps in memory fits no graph of validation.
    how
        As for :meth:`Validation.run`.
    """
    verdict = Verdict([], [], [])
    for place in [None, average] if average else [None]:
        with place.in_place() if place else contextlib.nullcontext():
            clear()
            found = validation.run(**how)
            clear()
        if found is None:
            return None
        verdict.found.append(found)
        verdict.marks.append(-found["sdr"] if select == "sdr" else found["loss"])
        verdict.examples.append(validation.example)
    return verdict


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
    forward = _forward(config, ops, losses.terms(dict.fromkeys(names, 1.0), 1.0))
    sums = {name: dict.fromkeys((track.name for track in tracks), 0.0) for name in names}
    seen = dict.fromkeys((track.name for track in tracks), 0)
    device = open_context(context, options.device_id)
    with nn.context_scope(device), nn.auto_forward(False), nn.parameter_scope("measured", {}):
        model.set_weights(weights)
        for piece, sample in pieces:
            _, found = forward(piece, sample)
            seen[piece.track.name] += piece.length
            for name in names:
                sums[name][piece.track.name] += found[name] * piece.length
    return {
        name: {track: total / seen[track] for track, total in of_tracks.items() if seen[track]}
        for name, of_tracks in sums.items()
    }
