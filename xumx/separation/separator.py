"""Audio in, stems out: chunks through STFT, network, Wiener filter and inverse STFT, blended again."""

from __future__ import annotations

import functools
import inspect
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from xumx import audio as media
from xumx import engines
from xumx.base import cores
from xumx.base.errors import AudioError, UsageError
from xumx.base.pools import prefetch
from xumx.engines import Stored
from xumx.engines.stream import StreamEngine
from xumx.network import pretrained
from xumx.network.weights import Weights
from xumx.separation.blend import Blend, Model, Shares
from xumx.separation.level import check_level
from xumx.separation.live import CHOICES, Live, open_engine
from xumx.separation.stems import chosen, estimated
from xumx.signal.overlap_add import blend, split
from xumx.signal.stft import Inverse, stft
from xumx.signal.wiener import Filter, check_filter, wiener

OVERLAP = 0.05
"""The least that hides the joins of chunks; see bench/joins.py."""

Progress = Callable[[float, float], None]
"""Called with the seconds done and the seconds in all."""


class Separator:
    """A network loaded once, ready to separate many signals.

    May be used from several threads at once. Pickled, it is its options: unpickled, it loads the network
    again.

    Parameters
    ----------
    model : str, path or Weights, or a sequence of them
        Name of published weights, a weights file, a folder of UMX files, or loaded weights. Of several
        networks the magnitudes are averaged, see :class:`xumx.separation.blend.Blend`.
    targets : sequence of str, optional
        Stems to return, in this order; all by default. The others still take part in the filter.
    two_stems : str, optional
        Return this stem and ``no_<stem>``, the mixture without it; at the network's sample rate they sum to
        the mixture exactly.
    aggregate : mapping of str to sequence of str, optional
        Return these sums of stems instead: ``{"accompaniment": ["drums", "bass", "other"]}``.
    residual_model : bool
        Add a stem ``residual`` for what no source explains. A network of one source always has it, under
        the name ``accompaniment``.
    niter : int
        Iterations of the EM Wiener filter; 0 takes the network's magnitudes with the mixture's phase.
    softmask : bool
        Start from the ratio mask of the magnitudes instead.
    alpha : float
        Exponent of the magnitudes in that mask.
    level : 'auto' or 'as-is'
        'auto' lets a network see songs that are much quieter than what it was trained on at its own level,
        see :mod:`xumx.separation.level`; others as they are. 'as-is' does so with all.
    chunk_dur : float
        Seconds a chunk; 0 takes the whole signal at once, in memory that grows with it.
    overlap : float, optional
        Fraction of a chunk that it shares with the next, 0 up to less than 1; 0.05 if not given.
    weights : mapping, optional
        How much each of several networks counts, by its name or path: a number, or one a source, see
        :func:`xumx.separation.blend.shares`. Loaded weights are called ``network 1`` and so on, by their
        place. All count the same if not given.
    engine, context, device_id, precision, provider_options
        See :func:`xumx.engines.create`.
    model_dir : path, optional
        Folder of downloaded weights, and of what is made of weights to start faster.
    threads : int, optional
        Cores to use; all by default.
    show_download : bool
        Show a progress bar if weights are downloaded.

    Attributes
    ----------
    config : ModelConfig
        Of the first network.
    networks : tuple of str
        Names of the networks, as they were given.
    stems : tuple of str
        Names of what comes out, in order.

    Raises
    ------
    UsageError
        For an option that cannot be.
    WeightsError
        For weights that cannot be had or read.
    """

    def __init__(
        self,
        model: Model | Sequence[Model] = "x-umx",
        *,
        targets: Sequence[str] | None = None,
        weights: Shares | None = None,
        two_stems: str | None = None,
        aggregate: Mapping[str, Sequence[str]] | None = None,
        residual_model: bool = False,
        niter: int = 1,
        softmask: bool = False,
        alpha: float = 1.0,
        level: str = "auto",
        chunk_dur: float = 10.0,
        overlap: float | None = None,
        engine: str = "auto",
        context: str = "auto",
        device_id: str | None = None,
        precision: str = "float32",
        provider_options: Mapping[str, str] | None = None,
        model_dir: str | os.PathLike[str] | None = None,
        threads: int | None = None,
        show_download: bool = False,
    ) -> None:
        given = locals()
        self._given = {name: given[name] for name in inspect.signature(Separator).parameters}
        overlap = _overlap(chunk_dur, overlap)
        check_filter(niter, softmask, alpha)
        check_level(level)
        self._level = level
        if threads is not None and threads < 1:
            raise UsageError(f"threads must be at least 1, not {threads}")
        threads = threads or cores.threads()
        # One chunk a core beats one chunk on all cores; more than two at once would cost too much memory.
        self._workers = min(threads, 2) if chunk_dur else 1
        self._threads = max(threads // self._workers, 1)
        make = functools.partial(
            engines.create, engine=engine, context=context, device_id=device_id, threads=self._threads,
            precision=precision, provider_options=provider_options,
        )  # fmt: skip
        models = _models(model)
        if weights is not None and len(models) == 1:
            raise UsageError("`weights` are for several networks, and there is one: leave them out")
        self._stored = _found(models, model_dir, show_download)
        self._estimated = estimated(self._stored[0].config.sources, residual_model)
        # While the network is loaded.
        threading.Thread(target=_warm_up, args=(len(self._estimated), niter), daemon=True).start()
        names = [_name(one, place) for place, one in enumerate(models, 1)]
        self._networks = Blend(names, self._stored, make, weights, threads=self._threads)
        self.config, self.networks = self._networks.config, self._networks.names
        self._filter: dict[str, Any] = {"niter": niter, "softmask": softmask, "alpha": alpha}
        self._filter["residual"] = self._estimated != self.config.sources
        self._outputs = chosen(self._estimated, targets, two_stems, aggregate)
        self.stems = tuple(self._outputs)

        self._cut(chunk_dur, overlap)

    def _cut(self, chunk_dur: float, overlap: float) -> None:
        """Set the length of chunks and of what they share, in samples."""
        rate = self.config.sample_rate
        self._length = max(round(chunk_dur * rate), self.config.n_fft) if chunk_dur else sys.maxsize
        self._overlap = min(round(overlap * self._length), self._length - 1) if chunk_dur else 0

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(type(self), **self._given), ()

    def __repr__(self) -> str:
        """The call that makes it, less what is left at its default."""
        defaults = {name: p.default for name, p in inspect.signature(Separator).parameters.items()}
        options = [f"{n}={v!r}" for n, v in self._given.items() if n != "model" and v != defaults[n]]
        given = self._given["model"]
        shown = [
            f"<weights of {self.config.arch}>" if isinstance(one, Weights) else repr(os.fspath(one))
            for one in _models(given)
        ]
        model = shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]"
        return f"{type(self).__name__}({', '.join([model, *options])})"

    def __call__(
        self, audio: np.ndarray, rate: int | None = None, *, progress: Progress | None = None
    ) -> dict[str, np.ndarray]:
        """Separate one signal.

        Parameters
        ----------
        audio : float array (samples, channels) or (samples,)
            Full scale is 1. Mono is doubled for a stereo network. Not changed.
        rate : int, optional
            Its sample rate in Hz, by default the network's; other rates are resampled both ways.
        progress : callable (seconds done, seconds in all), optional

        Returns
        -------
        dict of str to float32 array (samples, channels)
            A stem a name, as long as ``audio``, at ``rate``, with the network's number of channels.

        Raises
        ------
        UsageError
            For an array that is not audio.
        AudioError
            For audio without samples or with values that are not finite.
        """
        config = self.config
        rate = config.sample_rate if rate is None else rate
        media.check_rate(rate, "rate")
        mixture = media.as_audio(audio, config.nb_channels)
        samples = len(mixture)
        mixture = media.resample(mixture, rate, config.sample_rate)
        total = len(mixture) / config.sample_rate
        pieces: list[dict[str, np.ndarray]] = []
        done = 0.0
        for piece in self.stream([mixture]):
            pieces.append(piece)
            done += len(piece[self.stems[0]]) / config.sample_rate
            if progress:
                progress(done, total)
        whole = {name: np.concatenate([p[name] for p in pieces]) for name in self.stems}
        return {
            n: media.resample(stem, config.sample_rate, rate, samples=samples) for n, stem in whole.items()
        }

    def stream(self, blocks: Iterable[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Separate audio as it comes, in memory that does not grow with it.

        Parameters
        ----------
        blocks : iterable of float arrays (samples, channels) or (samples,)
            Consecutive audio at the network's sample rate, blocks of any length.

        Yields
        ------
        dict of str to float32 array (samples, channels)
            Consecutive pieces of all stems; together as long as the input.

        Raises
        ------
        UsageError
            For an array that is not audio.
        AudioError
            For audio without samples or with values that are not finite.
        """
        hop = self._length - self._overlap
        meters = self._networks.meters() if self._level == "auto" else None
        chunks = (
            (start, chunk, None if meters is None else [meter.gain(chunk) for meter in meters])
            for start, chunk in split(self._checked(blocks), self._length, hop)
        )
        separated = prefetch(self._separate_at, chunks, workers=self._workers, ahead=self._workers)
        stems = blend(separated, hop, self._overlap)
        for piece in stems:
            yield dict(zip(self.stems, piece, strict=True))
            del piece  # or its memory would be held until the next one is there

    def live(self) -> Live:
        """Begin to separate a stream with little delay, see :class:`xumx.separation.live.Live`.

        For one network that was trained with ``unidirectional``. It computes on one core, in the precision of
        the separator. Each call begins a stream of its own.

        Raises
        ------
        UsageError
            For several networks, one that looks ahead, and for options that a stream cannot follow.

        Examples
        --------
        >>> Separator("demo").live()
        Traceback (most recent call last):
            ...
        xumx.base.errors.UsageError: demo hears the future too: ...
        """
        return Live(self._stream_engine, **{name: self._given[name] for name in CHOICES})

    @functools.cached_property
    def _stream_engine(self) -> StreamEngine:
        given = self._given
        return open_engine(
            self._stored, self.networks, given["precision"], engine=given["engine"], context=given["context"]
        )

    def magnitudes(self, mixture: np.ndarray) -> np.ndarray:
        """Estimate with each network apart what :class:`xumx.eval.fit.Sums` compares with the truth.

        Parameters
        ----------
        mixture : float32 array (samples, channels)
            At the network's sample rate, with its number of channels.

        Returns
        -------
        float32 array (networks, sources, frames, channels, bins)
            In the STFT and the order of sources of the first network.
        """
        spectrogram = stft(mixture, self.config.n_fft, self.config.n_hop, threads=self._threads)
        return np.stack(list(self._networks.each(mixture, spectrogram)))

    def _checked(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        samples = 0
        for array in blocks:
            block = media.as_audio(array, self.config.nb_channels)
            bad = media.first_non_finite(block)
            if bad is not None:
                at = (samples + bad) / self.config.sample_rate
                raise AudioError(f"the audio holds values that are not finite, first at {at:.3f} s")
            samples += len(block)
            yield block
        if not samples:
            raise AudioError("the audio holds no samples")

    def _separate_at(self, item: tuple[int, np.ndarray, list[float] | None]) -> tuple[int, np.ndarray]:
        start, chunk, gains = item
        return start, self._separate(chunk, gains)

    def _separate(self, mixture: np.ndarray, gains: list[float] | None) -> np.ndarray:
        """(samples, channels) of one chunk to (stems, samples, channels)."""
        size = self.config.n_fft, self.config.n_hop
        spectrogram = stft(mixture, *size, threads=self._threads)
        estimate = self._networks(mixture, spectrogram, gains)
        filtered = Filter(estimate, spectrogram, threads=self._threads, **self._filter)
        frames, channels, _ = spectrogram.shape
        inverses = [
            (members, Inverse(frames, channels, *size, threads=self._threads))
            for members in self._outputs.values()
            if members is not None
        ]
        del estimate, spectrogram
        for begin, sources in filtered:
            for members, inverse in inverses:
                inverse.add(begin, functools.reduce(np.add, (sources[member] for member in members)))
        del filtered, sources
        stems = np.empty((len(self.stems), *mixture.shape), np.float32)
        for audio in stems[: len(inverses)]:
            inverses.pop(0)[1].write(audio)
        if None in self._outputs.values():  # the complement of the stem before
            np.subtract(mixture, stems[0], out=stems[1])
        return stems


def _models(model: Model | Sequence[Model]) -> Sequence[Model]:
    models = [model] if isinstance(model, (str, os.PathLike, Weights)) else list(model)
    if not models:
        raise UsageError("model names no network")
    return models


def _name(model: Model, place: int) -> str:
    return f"network {place}" if isinstance(model, Weights) else os.fspath(model)


def _overlap(chunk_dur: float, overlap: float | None) -> float:
    """The fraction of a chunk that it shares with the next.

    Raises
    ------
    UsageError
        For chunks or an overlap that cannot be.
    """
    if not 0 <= chunk_dur < float("inf"):
        raise UsageError(f"`chunk_dur` must be 0 (the whole song) or more seconds, not {chunk_dur}")
    if overlap is not None and not chunk_dur:
        raise UsageError("`overlap` is between chunks, and `chunk_dur` 0 makes one of the whole song")
    overlap = OVERLAP if overlap is None else overlap
    if not 0 <= overlap < 1:
        raise UsageError(f"`overlap` must be at least 0 and below 1, not {overlap}")
    return overlap


def _found(
    models: Sequence[Model], model_dir: str | os.PathLike[str] | None, progress: bool
) -> list[Weights | Stored]:
    fetch = functools.partial(pretrained.resolve, model_dir=model_dir, progress=progress)
    return [one if isinstance(one, Weights) else Stored(fetch(one), model_dir) for one in models]


def _warm_up(sources: int, niter: int) -> None:
    """Import what transforms sound, and compile the filter."""
    stft(np.zeros((2, 1), np.float32), 2, 1)
    wiener(np.zeros((sources, 1, 2, 1), np.float32), np.zeros((1, 2, 1), np.complex64), niter)
