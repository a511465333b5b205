"""Audio to stems while it is heard: a stream goes in, and each sample's stems come out a window later.

Nothing looks ahead beyond the window. The STFT waits for half a window beyond the frame's middle, the
network's LSTMs run forward and keep their state, the filter knows the past alone
(:mod:`xumx.signal.causal`), and the inverse STFT waits for the frames that reach a sample. All of it goes
frame by frame, so that blocks of any size give the same, and memory and work a frame do not grow.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from xumx import audio as media
from xumx.base.errors import AudioError, UsageError
from xumx.engines import Stored
from xumx.engines.stream import StreamEngine
from xumx.network.weights import Weights
from xumx.separation.level import Meter, check_level
from xumx.separation.stems import chosen, estimated
from xumx.signal.causal import MEMORY, CausalFilter
from xumx.signal.streaming import Analysis, Synthesis

CHOICES = ("targets", "two_stems", "aggregate", "residual_model", "niter", "softmask", "alpha", "level")
"""What a stream takes of the options of a :class:`~xumx.separation.separator.Separator`."""


def open_engine(
    networks: Sequence[Weights | Stored],
    names: Sequence[str],
    precision: str = "float32",
    *,
    engine: str = "auto",
    context: str = "auto",
) -> StreamEngine:
    """Make what runs a network on streams, if these networks and options can.

    Raises
    ------
    UsageError
        For several networks, one that looks ahead, and what is not ONNX Runtime on the CPU.
    """
    if len(networks) > 1:
        raise UsageError(f"`live` runs one network, not {len(networks)}: choose one `model`")
    if engine == "nnabla" or context not in ("auto", "cpu"):
        raise UsageError("`live` computes on the CPU, by ONNX Runtime: leave `engine` and `context` out")
    return StreamEngine(networks[0], names[0], precision)


class Live:
    """One stream that is separated as it comes; :meth:`xumx.Separator.live` makes it.

    Parameters
    ----------
    engine : StreamEngine
        May serve several streams.
    targets, two_stems, aggregate, residual_model, niter, softmask, alpha, level
        As for :class:`xumx.separation.separator.Separator`. The filter is the causal one, and the level is
        that of what has come.

    Attributes
    ----------
    config : ModelConfig
    stems : tuple of str
        Names of what comes out, in order.

    Raises
    ------
    UsageError
        For an option that cannot be.
    """

    def __init__(
        self,
        engine: StreamEngine,
        *,
        targets: Sequence[str] | None = None,
        two_stems: str | None = None,
        aggregate: Mapping[str, Sequence[str]] | None = None,
        residual_model: bool = False,
        niter: int = 1,
        softmask: bool = False,
        alpha: float = 1.0,
        level: str = "auto",
    ) -> None:
        check_level(level)
        config = self.config = engine.config
        names = estimated(config.sources, residual_model)
        self._outputs = chosen(names, targets, two_stems, aggregate)
        self.stems = tuple(self._outputs)
        self._engine, self._state = engine, engine.begin()
        size = config.n_fft, config.n_hop
        self._analysis = Analysis(*size, config.nb_channels)
        self._synthesis = Synthesis(*size, len(self.stems), config.nb_channels)
        self._filter = CausalFilter(
            len(config.sources),
            config.nb_channels,
            config.bins,
            math.exp(-config.n_hop / (config.sample_rate * MEMORY)),
            niter,
            softmask=softmask,
            alpha=alpha,
            residual=len(names) > len(config.sources),
        )
        self._meter = Meter(config, engine.level) if level == "auto" else None
        self._frame, self._gain = 0, 1.0
        self._over = False

    @property
    def latency(self) -> int:
        """Samples by which stems are later than the audio, at most: a window, and a hop.

        The window is waited for: with the sample that is n_fft - 1 later, at the latest, a sample's stems are
        there. The hop is for what is gathered before it is pushed, and for the time that computing takes.
        """
        return self.config.n_fft + self.config.n_hop

    def push(self, block: np.ndarray) -> dict[str, np.ndarray]:
        """Take the next samples, and give the next of all stems: as many as are final, it may be none.

        Parameters
        ----------
        block : float array (samples, channels) or (samples,)
            At the network's sample rate, of any length. Mono is doubled for a stereo network.

        Returns
        -------
        dict of str to float32 array (samples, channels)

        Raises
        ------
        UsageError
            For an array that is not audio.
        AudioError
            For values that are not finite, and after :meth:`flush`.
        """
        if self._over:
            raise AudioError("this stream was ended; begin another")
        block = media.as_audio(block, self.config.nb_channels)
        bad = media.first_non_finite(block)
        if bad is not None:
            at = (self._analysis.samples + bad) / self.config.sample_rate
            raise AudioError(f"the audio holds values that are not finite, first at {at:.3f} s")
        return self._named(self._through(self._analysis.push(block)))

    def flush(self) -> dict[str, np.ndarray]:
        """End the stream and give the last samples: all pieces are together as long as what went in."""
        rest = [] if self._over else self._through(self._analysis.flush())
        if not self._over:
            rest.append(self._synthesis.flush(self._analysis.samples))
        self._over = True
        return self._named(rest)

    def stream(self, blocks: Iterable[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Push blocks and flush at their end; yields what comes of each."""
        for block in blocks:
            yield self.push(block)
        yield self.flush()

    def _through(self, frames: np.ndarray) -> list[np.ndarray]:
        """Frames of the mixture, complex64 (frames, channels, bins), to pieces (stems, samples, channels)."""
        return [self._synthesis.push(self._separated(frame)) for frame in frames]

    def _separated(self, frame: np.ndarray) -> np.ndarray:
        """One frame of the mixture, (channels, bins), to those of the stems, (stems, channels, bins)."""
        magnitude = np.abs(frame)
        if self._meter is not None and self._frame % (self._meter.every // self.config.n_hop) == 0:
            self._gain = self._meter.gain_of(magnitude[None])
        self._frame += 1
        gain = np.float32(self._gain)
        estimate, self._state = self._engine((gain * magnitude)[None, None], self._state)
        sources = self._filter(estimate[:, 0, 0] / gain, frame)
        stems = np.empty((len(self.stems), *frame.shape), np.complex64)
        for stem, members in zip(stems, self._outputs.values(), strict=True):
            # None is the complement of the stem before.
            stem[:] = frame - stems[0] if members is None else sources[members].sum(axis=0)
        return stems

    def _named(self, pieces: list[np.ndarray]) -> dict[str, np.ndarray]:
        empty = np.zeros((len(self.stems), 0, self.config.nb_channels), np.float32)
        return dict(zip(self.stems, np.concatenate([empty, *pieces], axis=1), strict=True))
