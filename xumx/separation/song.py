"""A song's file to files of its stems."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xumx.audio import Resampler, decode, probe, resampled
from xumx.base.errors import AudioError
from xumx.base.files import aside, writing_to
from xumx.separation.naming import MAKER, STDIN, Output, Song
from xumx.separation.outputs import Files
from xumx.separation.separator import Separator


class Separated(NamedTuple):
    """How much of a song was separated, in seconds, and the gain that kept its stems within full scale."""

    seconds: float
    gain: float


def separate_song(
    separator: Separator,
    song: Path,
    stems: Mapping[str, Path],
    output: Output,
    *,
    start: float = 0.0,
    duration: float | None = None,
    stream: int | None = None,
    request: str = "",
    sound: Iterable[np.ndarray] | None = None,
    progress: Callable[[float], None] | None = None,
    encoding: Callable[[float], None] | None = None,
) -> Separated:
    """Separate a file into files, in memory that does not grow with its length.

    Parameters
    ----------
    separator : Separator
    song : path
        Any file whose audio FFmpeg decodes.
    stems : mapping of str to path
        Where each stem goes, and what else is asked for; see :meth:`xumx.separation.naming.Output.paths`.
    output : Output
    start, duration : float
        Part of the song, in seconds.
    stream : int, optional
        Which audio track of the file, as for :func:`xumx.audio.decode`.
    request : str
        What the files say that they were made for; see :func:`xumx.separation.naming.made_of`.
    sound : iterable of float32 array (samples, channels), optional
        What :func:`decoded` gives of the song, where somebody has begun to decode it.
    progress : callable (seconds), optional
        Called with the seconds that each step added.
    encoding : callable (seconds), optional
        Where stems are rescaled, and so encoded only when all are separated: called with the seconds that
        each step of that added.

    Returns
    -------
    Separated

    Raises
    ------
    AudioError
        If the song cannot be read or a stem cannot be written; no stem is then left half-written.
    """
    config = separator.config
    info = probe(song, stream=stream)
    rate = output.sample_rate or info.sample_rate
    done = 0.0
    with ExitStack() as stack:
        # Reports errors of the song before anything is made for its stems.
        if sound is None:
            sound = decoded(separator, song, start=start, duration=duration, stream=stream)
        pieces = _separated(separator, song, rate, info.sample_rate, sound)
        piece: list[np.ndarray] | None = next(pieces)
        for folder in {path.parent for path in stems.values()}:
            for made in _make_folder(folder):
                stack.push(_unless_failed(made))
        maker = f"{MAKER}:{request}" if request else MAKER
        part = {"start": start, "duration": duration, "stream": stream}
        files = stack.enter_context(Files(stems, separator.stems, output, rate, config.nb_channels, maker))
        files.open(song, info, part)
        spool = None
        if output.clip_mode == "rescale":
            spool = stack.enter_context(_Spool(next(iter(stems.values())).parent))
        while piece is not None:
            piece = _with_mix(piece, separator.stems, output.gains)
            if spool:
                spool.write(piece)
            elif output.clip_mode == "clamp":
                files.write([np.clip(stem, -1, 1) for stem in piece])
            else:
                files.write(piece)
            seconds = len(piece[0]) / rate
            done += seconds
            if progress:
                progress(seconds)
            piece = None  # or its memory would be held until the next one is there
            piece = next(pieces, None)
        if spool:
            for rescaled in spool.rescaled():
                files.write(rescaled, spool.gain)
                if encoding:
                    encoding(len(rescaled[0]) / rate)
    return Separated(done, spool.gain if spool else 1.0)


def decoded(
    separator: Separator,
    song: Path,
    *,
    start: float = 0.0,
    duration: float | None = None,
    stream: int | None = None,
) -> Iterator[np.ndarray]:
    """Decode a song or a part of it, for :func:`separate_song`: (samples, channels) at its own rate."""
    channels = separator.config.nb_channels
    return decode(song, channels=channels, start=start, duration=duration, stream=stream)


def _with_mix(
    piece: list[np.ndarray], names: Sequence[str], gains: Mapping[str, float] | None
) -> list[np.ndarray]:
    """The stems, and behind them their sum with these gains, if one is wanted."""
    if gains is None:
        return piece
    factors = [np.float32(gains.get(name, 1.0)) for name in names]
    return [*piece, sum((f * stem for f, stem in zip(factors, piece) if f), np.zeros_like(piece[0]))]


@contextmanager
def kept(songs: Sequence[Song]) -> Iterator[tuple[list[Song], list[str]]]:
    """Songs that can be read more than once: those from pipes lie in temporary files during the block.

    With them comes a line for each that could not be kept there.
    """
    there: list[Song] = []
    problems = []
    with ExitStack() as stack:
        for song in songs:
            try:
                there.append(song if song.file.is_file() else _from_pipe(song, stack))
            except OSError as error:
                folder = f"{tempfile.gettempdir()} ({error.strerror}); TMPDIR names another folder"
                problems.append(f"{song.name}: cannot be kept in {folder}")
        yield there, problems


def _from_pipe(song: Song, stack: ExitStack) -> Song:
    with ExitStack() as until_whole:
        file = until_whole.enter_context(aside(tempfile.gettempdir())) / song.name.name
        place: Path | int = 0 if song.file == STDIN else song.file
        with open(place, "rb", closefd=place != 0) as pipe, open(file, "wb") as copy:
            shutil.copyfileobj(pipe, copy, 1 << 20)
        stack.enter_context(until_whole.pop_all())
    return Song(song.name, file)


def _separated(
    separator: Separator,
    song: Path,
    rate: int,
    song_rate: int,
    sound: Iterable[np.ndarray],
) -> Iterator[list[np.ndarray]]:
    """Stems of the song at ``rate``, each (samples, channels), together exactly as long as the song."""
    config = separator.config
    samples = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal samples
        for block in sound:
            samples += len(block)
            yield block

    blocks = resampled(counted(), song_rate, config.sample_rate)
    resamplers = [Resampler(config.sample_rate, rate, config.nb_channels) for _ in separator.stems]
    written = 0
    try:
        for stems in separator.stream(blocks):
            piece = [r.push(stems[stem]) for r, stem in zip(resamplers, separator.stems, strict=True)]
            written += len(piece[0])
            yield piece
            del stems, piece  # or their memory would be held until the next ones are there
    except AudioError as error:
        text = str(error)
        raise AudioError(text if str(song) in text else f"{song}: {text}") from None
    # Rounding to the network's rate and back can be off by a sample.
    missing = max(round(samples * rate / song_rate) - written, 0)
    yield [_of_length(r.flush(), missing) for r in resamplers]


def _of_length(audio: np.ndarray, samples: int) -> np.ndarray:
    return np.pad(audio[:samples], ((0, max(samples - len(audio), 0)), (0, 0)))


class _Spool:
    """Stems on disk until the peak of all is known, as float32."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shapes: list[tuple[int, ...]] = []
        self._peak = 1.0

    def __enter__(self) -> _Spool:
        try:
            self._file = tempfile.TemporaryFile(dir=self._folder, prefix=".xumx-")
        except OSError as error:
            raise self._failed(error) from None
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, piece: Sequence[np.ndarray]) -> None:
        for stem in piece:
            try:
                self._file.write(np.ascontiguousarray(stem).data)
            except OSError as error:
                raise self._failed(error) from None
            self._peak = max(self._peak, float(stem.max(initial=0)), -float(stem.min(initial=0)))
        self._shapes.append((len(piece), *piece[0].shape))

    @property
    def gain(self) -> float:
        """What all stems are multiplied with, to stay within full scale."""
        return 1 / self._peak

    def rescaled(self) -> Iterator[list[np.ndarray]]:
        try:
            self._file.seek(0)
        except OSError as error:
            raise self._failed(error) from None
        for shape in self._shapes:
            piece = np.fromfile(self._file, np.float32, math.prod(shape)).reshape(shape)
            if self._peak > 1:
                piece /= self._peak
            yield list(piece)

    def _failed(self, error: OSError) -> AudioError:
        return AudioError(
            f"{self._folder}: cannot hold the stems until their peak is known ({error.strerror}); "
            "`clip_mode` clamp writes them at once"
        )


def _make_folder(folder: Path) -> list[Path]:
    """Make a folder and return those that were not there, the outermost first."""
    with writing_to(folder):
        missing = [parent for parent in (folder, *folder.parents) if not parent.exists()][::-1]
        folder.mkdir(parents=True, exist_ok=True)
    return missing


def _unless_failed(folder: Path) -> Callable[..., None]:
    """On the way out of a failure, remove a folder that was made for nothing."""

    def leave(kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            with suppress(OSError):
                folder.rmdir()

    return leave
