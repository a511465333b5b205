"""What ``xumx separate --live`` does: raw PCM on stdin, stems as raw PCM on stdout or as files."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from xumx.audio import Writer
from xumx.base.console import complain
from xumx.base.errors import AudioError, UsageError, WriteError
from xumx.base.files import make_folder
from xumx.base.ranks import Rank
from xumx.engines import Stored
from xumx.network import pretrained
from xumx.separation.live import CHOICES, Live, open_engine
from xumx.separation.naming import MAKER, Output
from xumx.separation.options import SongOptions

logger = logging.getLogger(__name__)

Sink = Callable[[Mapping[str, np.ndarray]], None]
"""Takes the next piece of all stems."""

_TYPES: Mapping[str, np.dtype[Any]] = {"f32le": np.dtype("<f4"), "s16le": np.dtype("<i2")}
_FULL = 32768


def separate_live(args: SongOptions) -> int:
    """Separate what comes on stdin until it ends; 0, or 128 and the number of the signal that ended it.

    Raises
    ------
    UsageError
        For options that a stream cannot follow, and where stdin or stdout is a terminal.
    XumxError
        If there is no network, or stems cannot be written.
    """
    if Rank.detect().size > 1:
        raise UsageError("`live` is one stream in one process: start it without mpirun")
    if len(args.model) > 1:
        raise UsageError(f"`live` runs one network, not {len(args.model)}: choose one `model`")
    if os.isatty(0):
        raise UsageError(f"`live` reads raw PCM from stdin, and that is a terminal: {_EXAMPLE}")
    if args.outdir is None and os.isatty(1):
        raise UsageError("stems on a terminal are noise: pipe them on, or give `outdir` for files")
    path = pretrained.resolve(args.model[0], model_dir=args.model_dir, progress=not args.quiet)
    engine = open_engine([Stored(path, args.model_dir)], args.model, args.precision)
    live = Live(engine, **{name: getattr(args, name) for name in CHOICES})
    say = (lambda line: None) if args.quiet else complain  # stdout is for sound
    with contextlib.ExitStack() as files, _Signals() as signals:
        sink, where = (_stdout if args.outdir is None else _files)(args, live, files)
        say(f"latency: {_latency(live)}; {where}")
        began = time.process_time()
        seconds = 0.0
        for block in _blocks(args, live, signals):
            seconds += len(block) / live.config.sample_rate
            sink(_pushed(live, block, args.pcm))
        if not seconds:
            raise AudioError("stdin: no samples came")
        sink(live.flush())
        busy = time.process_time() - began
        say(f"{seconds:.1f} s of sound in {busy:.1f} s of computing: real-time factor {busy / seconds:.2f}")
    return 128 + signals.number if signals.number else 0


def _pushed(live: Live, block: np.ndarray, pcm: str) -> dict[str, np.ndarray]:
    try:
        return live.push(block)
    except AudioError as error:
        raise AudioError(f"stdin: {error}; are its samples `pcm` {pcm}?") from None


_EXAMPLE = "ffmpeg -i song.mp3 -f f32le -ac 2 -ar 44100 - | xumx separate --live -n live.h5 | ..."


def _latency(live: Live) -> str:
    config = live.config
    return (
        f"{1000 * live.latency / config.sample_rate:.1f} ms at most, a window of {config.n_fft} and a hop of "
        f"{config.n_hop} samples at {config.sample_rate} Hz"
    )


def _blocks(args: SongOptions, live: Live, signals: _Signals) -> Iterator[np.ndarray]:
    """What comes on stdin, as it comes, a hop at most: float32 (samples, channels)."""
    kind, channels = _TYPES[args.pcm], args.pcm_channels or live.config.nb_channels
    size = kind.itemsize * channels
    with io.FileIO(0, "rb", closefd=False) as stdin:
        rest = b""
        while data := signals.waiting(partial(stdin.read, live.config.n_hop * size - len(rest))):
            data = rest + data
            whole = len(data) // size * size
            rest = data[whole:]
            if whole:
                block = np.frombuffer(data[:whole], kind).reshape(-1, channels)
                yield block / np.float32(_FULL) if kind.kind == "i" else block.astype(np.float32)
    if rest and not signals.number:
        logger.warning(
            "stdin ends within a sample, which is left out: %s of %d channels has %d bytes a sample; "
            "see `pcm` and `pcm_channels`",
            *(args.pcm, channels, size),
        )


def _stdout(args: SongOptions, live: Live, held: contextlib.ExitStack) -> tuple[Sink, str]:
    """Where stems go as raw PCM, the channels of one stem after those of the other; and that in words."""
    kind, each = _TYPES[args.pcm], live.config.nb_channels
    stdout = held.enter_context(io.FileIO(1, "wb", closefd=False))

    def sink(stems: Mapping[str, np.ndarray]) -> None:
        samples = np.concatenate(list(stems.values()), axis=1)
        if kind.kind == "i":
            samples = np.clip(np.rint(samples * np.float32(_FULL)), -_FULL, _FULL - 1)
        data = memoryview(samples.astype(kind).tobytes())
        try:
            while data:
                data = data[stdout.write(data) :]
        except BrokenPipeError:  # nobody listens any more
            raise
        except OSError as error:
            raise WriteError(f"standard output cannot be written ({error.strerror})") from None

    several = f" ({each} each)" if len(live.stems) > 1 else ""
    return sink, f"stdout: {args.pcm}, {each * len(live.stems)} channels: {', '.join(live.stems)}{several}"


def _files(args: SongOptions, live: Live, held: contextlib.ExitStack) -> tuple[Sink, str]:
    """Where stems go as files, which appear when the stream ends; and that in words."""
    given: dict[str, Any] = {name: getattr(args, name) for name in ("format", "bitrate", "subtype")}
    output = Output(args.outdir, args.filename, **given)
    (paths,) = output.paths([Path("live")], live.stems, args.name, several=False)
    writers = {}
    for stem, path in paths.items():
        make_folder(path.parent, "outdir")
        writer = Writer(path, live.config.sample_rate, live.config.nb_channels, maker=MAKER, **given)
        writers[stem] = held.enter_context(writer)

    def sink(stems: Mapping[str, np.ndarray]) -> None:
        for stem, piece in stems.items():
            writers[stem].write(piece)

    return sink, f"stems: {', '.join(map(str, paths.values()))}"


class _Signals:
    """Ctrl-C and SIGTERM end a stream as its own end does: what has come is separated, and files are whole.

    Attributes
    ----------
    number : int
        Of the signal; 0 if there was none.
    """

    def __init__(self) -> None:
        self.number = 0
        self._waits = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Signals:
        if threading.current_thread() is threading.main_thread():  # no other may
            self._before = {n: signal.signal(n, self._answer) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def waiting(self, read: Callable[[], bytes | None]) -> bytes | None:
        """Call what may take long, which a signal ends; then and after a signal, nothing comes."""
        try:
            self._waits = True
            return None if self.number else read()
        except _Ended:
            return None
        finally:
            self._waits = False

    def _answer(self, number: int, frame: FrameType | None) -> None:
        if self.number:  # asked for twice: at once
            sys.exit(128 + number)
        self.number = number
        if self._waits:
            raise _Ended


class _Ended(Exception):
    """A signal has come while there was nothing to do."""
