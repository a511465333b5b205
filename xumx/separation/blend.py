"""Several networks as one: each estimates the magnitude of every source, and a weighted mean of them counts.

Networks err in different places, so that the mean of their estimates is nearer to the truth than most of them
(a blend before the filter won its authors 0.5 dB [1]_). One Wiener filter then shares out the mixture.

References
----------
.. [1] C.-Y. Yu, K.-W. Cheuk. Danna-Sep: Unite to separate them all. arXiv 2112.03752, 2021.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias, Union

import numpy as np

from xumx.base import jsonfile
from xumx.base.errors import UsageError
from xumx.engines import Stored
from xumx.engines.base import Engine
from xumx.network.config import ModelConfig
from xumx.network.weights import Weights
from xumx.separation.level import Meter
from xumx.signal.stft import istft, stft

Model: TypeAlias = Union[str, "os.PathLike[str]", Weights]
"""What stands for a network."""

Shares: TypeAlias = Mapping[str, float | Mapping[str, float]]
"""By the name of a network, its weight, or its weight for each source."""


class _Member(NamedTuple):
    name: str
    engine: Engine
    order: list[int] | None
    """Where the sources of the first network stand in this one; None where they stand alike."""
    level: float
    """See :attr:`xumx.network.weights.Weights.level`."""


class Blend:
    """Networks that estimate as one; a single one is its own mean, to the last bit.

    The first network's STFT is that of the result and of the filter. What a network of another STFT estimates
    becomes audio, with the mixture's phase, and then a spectrogram of the first one's.

    Parameters
    ----------
    names : sequence of str
        What the networks are called, in messages and in `weights`.
    networks : iterable of Weights or Stored
        Used one after the other; not kept.
    make : callable
        What makes an engine of a network.
    weights : mapping, optional
        See :func:`shares`; all networks weigh the same if not given.
    threads : int
        Of each Fourier transform.

    Attributes
    ----------
    config : ModelConfig
        Of the first network.
    names : tuple of str
    shares : float32 array (networks, sources)
        Of each source they sum to 1.

    Raises
    ------
    UsageError
        For networks of other sources, another sample rate or other channels, and for weights that are none.
    """

    def __init__(
        self,
        names: Sequence[str],
        networks: Iterable[Weights | Stored],
        make: Callable[[Weights | Stored], Engine],
        weights: Shares | None = None,
        *,
        threads: int = 1,
    ) -> None:
        twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
        if twice is not None:
            raise UsageError(f"the network {twice} is given twice")
        self.names, self._threads = tuple(names), threads
        self._members: list[_Member] = []
        for name, network in zip(names, networks, strict=True):
            if not self._members:
                self.config = network.config
                self.shares = shares(names, self.config.sources, weights)
            order = _order(names[0], self.config, name, network.config)
            self._members.append(_Member(name, make(network), order, network.level))

    def __len__(self) -> int:
        return len(self._members)

    def meters(self) -> list[Meter]:
        """Make what measures a song for each network."""
        return [Meter(member.engine.config, member.level) for member in self._members]

    def __call__(
        self, mixture: np.ndarray, spectrogram: np.ndarray, gains: Sequence[float] | None = None
    ) -> np.ndarray:
        """Estimate the sources' magnitudes.

        Parameters
        ----------
        mixture : float32 array (samples, channels)
        spectrogram : complex64 array (frames, channels, bins)
            Of the mixture, in the first network's STFT.
        gains : sequence of float, optional
            With which each network sees the mixture; its estimates come without them.

        Returns
        -------
        float32 array (sources, frames, channels, bins)
        """
        total: np.ndarray | None = None
        for estimate, share in zip(self.each(mixture, spectrogram, gains), self.shares, strict=True):
            if len(self) > 1:
                estimate *= share[:, None, None, None]
            total = estimate if total is None else np.add(total, estimate, out=total)
        assert total is not None
        return total

    def each(
        self, mixture: np.ndarray, spectrogram: np.ndarray, gains: Sequence[float] | None = None
    ) -> Iterator[np.ndarray]:
        """Estimate with one network after the other: a result like that of a call for each."""
        size = self.config.n_fft, self.config.n_hop
        for member, gain in zip(self._members, gains or [1.0] * len(self), strict=True):
            own = member.engine.config.n_fft, member.engine.config.n_hop
            x = spectrogram if own == size else stft(mixture, *own, threads=self._threads)
            magnitude = np.abs(x)[:, None]
            if gain != 1:
                magnitude *= np.float32(gain)
            estimate = member.engine(magnitude)[:, :, 0]
            if gain != 1:
                estimate /= np.float32(gain)
            if own != size:
                estimate = self._moved(estimate, x, own, len(mixture))
            yield estimate if member.order is None else estimate[member.order]

    def _moved(
        self, magnitude: np.ndarray, spectrogram: np.ndarray, own: tuple[int, int], samples: int
    ) -> np.ndarray:
        """Magnitudes of one STFT as magnitudes of the first network's."""
        size = self.config.n_fft, self.config.n_hop
        amplitude = np.abs(spectrogram)
        phase = np.divide(spectrogram, amplitude, out=np.zeros_like(spectrogram), where=amplitude > 0)
        moved = []
        for source in magnitude:
            audio = istft(source * phase, samples, *own, threads=self._threads)
            moved.append(np.abs(stft(audio, *size, threads=self._threads)))
        return np.stack(moved)


def shares(names: Sequence[str], sources: Sequence[str], weights: Shares | None) -> np.ndarray:
    """Make each network's share of each source of weights.

    Parameters
    ----------
    names, sources : sequence of str
    weights : mapping of str to float, or to a mapping of str to float, optional
        By name of the network one weight for all sources, or one a source; 0 or more. All alike if None.

    Returns
    -------
    float32 array (networks, sources)
        Of each source they sum to 1.

    Raises
    ------
    UsageError
        For a network or a source without a weight, a weight of something else, one that is negative or no
        number, and for a source whose weights are all 0.

    Examples
    --------
    >>> shares(["a", "b"], ["drums", "bass"], {"a": 1, "b": {"drums": 3, "bass": 0}}).tolist()
    [[0.25, 1.0], [0.75, 0.0]]
    """
    if weights is None:
        weights = dict.fromkeys(names, 1.0)
    strange = next((name for name in weights if name not in names), None)
    if strange is not None:
        raise UsageError(f"weights of {strange}, which is none of the networks {', '.join(names)}")
    table = np.empty((len(names), len(sources)))
    for i, name in enumerate(names):
        if name not in weights:
            raise UsageError(f"the weights leave out the network {name}")
        given = weights[name]
        row = given if isinstance(given, Mapping) else dict.fromkeys(sources, given)
        if set(row) != set(sources):
            raise UsageError(
                f"the weights of {name} are of {', '.join(map(str, row)) or 'nothing'}, its sources are "
                f"{', '.join(sources)}"
            )
        table[i] = [_weight(name, row[source]) for source in sources]
    total = table.sum(axis=0)
    for source, weight in zip(sources, total, strict=True):
        if not 0 < weight < math.inf:
            raise UsageError(f"the weights of {source} sum to {weight:g}: one of them must be above 0")
    return (table / total).astype(np.float32)


def read_weights(words: Sequence[str]) -> Shares:
    """Read weights as a command line gives them.

    Parameters
    ----------
    words : sequence of str
        ``<network>=<weight>`` each, or one file of JSON: ``{"x-umx": {"bass": 0.4, ...}, ...}``, which
        :mod:`xumx.eval.fit` writes.

    Raises
    ------
    UsageError
        For what is neither.
    JsonError
        For a file that cannot be read, or holds something else.

    Examples
    --------
    >>> read_weights(["x-umx=1", "umxl=2.5"])
    {'x-umx': 1.0, 'umxl': 2.5}
    """
    if len(words) == 1 and "=" not in words[0]:
        try:
            return jsonfile.read(words[0], dict[str, float | dict[str, float]])
        except FileNotFoundError:
            raise UsageError(f"weights: there is no file {words[0]!r}, and no = in it") from None
    found: dict[str, float] = {}
    for word in words:
        name, _, number = word.rpartition("=")
        try:
            found[name] = float(number)
        except ValueError:
            raise UsageError(f"weights: {word!r} is no <network>=<weight>") from None
        if not name:
            raise UsageError(f"weights: {word!r} is no <network>=<weight>")
    return found


def _weight(name: str, value: object) -> float:
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not number or not 0 <= float(value) < math.inf:  # type: ignore[arg-type]
        raise UsageError(f"a weight of {name} is {value!r}: weights are numbers, 0 or more")
    return float(value)  # type: ignore[arg-type]


def _order(first: str, config: ModelConfig, name: str, other: ModelConfig) -> list[int] | None:
    """Where the sources of the first network stand in another one.

    Raises
    ------
    UsageError
        If they are not networks for the same task.
    """
    if set(config.sources) != set(other.sources):
        raise UsageError(
            f"networks must separate the same sources to be taken together: {first} has "
            f"{', '.join(config.sources)}, {name} has {', '.join(other.sources)}"
        )
    for what in ("sample_rate", "nb_channels"):
        if getattr(config, what) != getattr(other, what):
            raise UsageError(
                f"networks must have the same {what} to be taken together: {first} has "
                f"{getattr(config, what)}, {name} has {getattr(other, what)}"
            )
    order = [other.sources.index(source) for source in config.sources]
    return None if order == sorted(order) else order
