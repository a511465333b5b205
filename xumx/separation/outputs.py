"""What the stems of a song are written to: a file each, a stem file, a film."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from xumx.audio import AudioInfo, Writer, decode, resampled
from xumx.audio.tracks import STEM_ORDER, TracksWriter, begin
from xumx.separation.naming import FILM, MIX, Output
from xumx.separation.options import STEM_FILE

_BITRATE = 256_000
"""Of a track, in bit/s."""

_ORIGINAL = -1
"""In place of a stem's number: the song itself."""


class Files:
    """All files of one song, written together; when an exception passes, none is left.

    Parameters
    ----------
    paths : mapping of str to path
        See :meth:`xumx.separation.naming.Output.paths`.
    stems : sequence of str
        The stems, as they come.
    output : Output
    rate : int
        Of what comes, in Hz.
    channels : int
    maker : str
        What the files say made them.
    """

    def __init__(
        self,
        paths: Mapping[str, Path],
        stems: Sequence[str],
        output: Output,
        rate: int,
        channels: int,
        maker: str,
    ) -> None:
        self._paths, self._stems, self._output = paths, tuple(stems), output
        self._rate, self._channels, self._maker = rate, channels, maker
        self._held = ExitStack()
        self._single: list[Writer] = []
        self._joint: list[tuple[TracksWriter, list[int]]] = []
        self._song: _Song | None = None

    def open(self, song: Path, info: AudioInfo, part: Mapping[str, Any]) -> None:
        """Begin the files.

        Parameters
        ----------
        song : path
        info : AudioInfo
            Its tags become those of the files.
        part : mapping
            Which part of the song is separated: start, duration and stream of :func:`xumx.audio.decode`.

        Raises
        ------
        AudioError
            If one cannot be written, or a film has no picture.
        """
        said: dict[str, Any] = {"tags": info.tags, "maker": self._maker}
        for what, path in self._paths.items():
            if what == FILM:
                self._film(path, song, part, said)
            elif self._output.format == STEM_FILE:
                self._stem_file(path, said)
                self._song = _Song(song, info.sample_rate, self._rate, self._channels, part)
            else:
                self._single.append(self._held.enter_context(self._writer(path, said)))
        self._threads = self._held.enter_context(
            ThreadPoolExecutor(len(self._single) + len(self._joint), thread_name_prefix="xumx-write")
        )

    def _writer(self, path: Path, said: Mapping[str, Any]) -> Writer:
        kind: dict[str, Any] = {
            name: getattr(self._output, name) for name in ("format", "bitrate", "subtype")
        }
        return Writer(path, self._rate, self._channels, **kind, **said)

    def _stem_file(self, path: Path, said: Mapping[str, Any]) -> None:
        order = _in_order(self._stems)
        names = [path.name.removesuffix(f".{STEM_FILE}"), *(self._stems[i] for i in order)]
        kind: dict[str, Any] = {"bitrate": self._output.bitrate or _BITRATE, "stems": True}
        writer = TracksWriter(path, self._rate, names, self._channels, **kind, **said)
        self._joint.append((self._held.enter_context(writer), [_ORIGINAL, *order]))

    def _film(self, path: Path, song: Path, part: Mapping[str, Any], said: Mapping[str, Any]) -> None:
        names, places = list(self._stems), list(range(len(self._stems)))
        if self._output.gains is not None:
            names, places = [MIX], [len(self._stems)]
        picture: dict[str, Any] = {"film": song, "delay": begin(song, part["stream"])}
        writer = TracksWriter(path, self._rate, names, self._channels, **picture, **said)
        self._joint.append((self._held.enter_context(writer), places))

    def write(self, piece: Sequence[np.ndarray], gain: float = 1.0) -> None:
        """Append to all files: the stems, each (samples, channels), and behind them the mixdown, if any.

        ``gain`` is what they have been multiplied with; the song beside them in a stem file is, too.
        """
        done = [self._threads.submit(Writer.write, w, block) for w, block in zip(self._single, piece)]
        original = self._song.take(len(piece[0])) * np.float32(gain) if self._song else piece[0]
        for writer, chosen in self._joint:
            blocks = [original if i == _ORIGINAL else piece[i] for i in chosen]
            done.append(self._threads.submit(TracksWriter.write, writer, blocks))
        for one in done:
            one.result()

    def __enter__(self) -> Files:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.__exit__(kind, error, trace)


class _Song:
    """The song itself once more, at the rate of the stems, in pieces as long as theirs."""

    def __init__(self, song: Path, song_rate: int, rate: int, channels: int, part: Mapping[str, Any]) -> None:
        self._blocks = resampled(decode(song, channels=channels, **part), song_rate, rate)
        self._left = np.empty((0, channels), np.float32)

    def take(self, samples: int) -> np.ndarray:
        """The next (samples, channels); silence behind the end, where rounding the rates is off by one."""
        blocks = [self._left]
        while sum(map(len, blocks)) < samples and (block := next(self._blocks, None)) is not None:
            blocks.append(block)
        joined = np.concatenate(blocks)
        self._left = joined[samples:]
        return np.pad(joined[:samples], ((0, max(samples - len(joined), 0)), (0, 0)))


def _in_order(stems: Sequence[str]) -> list[int]:
    """Places of the stems in the order that players and musdb know, where they are those."""
    known = set(stems) == set(STEM_ORDER)
    return [stems.index(name) for name in STEM_ORDER] if known else list(range(len(stems)))
