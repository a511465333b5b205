"""Files that appear when they are whole, or not at all: what all writers of media have in common."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import av

from xumx.base.errors import AudioError

Self = TypeVar("Self", bound="Whole")


class Whole(ABC):
    """A writer of one file: a context manager that closes it, or discards it when an exception passes."""

    path: Path

    @abstractmethod
    def close(self) -> None:
        """Finish the file and give it its name."""

    @abstractmethod
    def discard(self) -> None:
        """Leave nothing behind, nor touch what the path held before."""

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    @contextlib.contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Discard the file when anything goes wrong, an interrupt included."""
        try:
            yield
        except BaseException as error:
            self.discard()
            if isinstance(error, (av.FFmpegError, OSError)):
                raise AudioError(f"{self.path}: cannot be written: {error.strerror}") from error
            raise


def written(tags: Mapping[str, str] | None) -> dict[str, str]:
    """Make tags that FFmpeg takes: characters that are none in UTF-8 become question marks.

    Examples
    --------
    >>> written({"title": "caf\\udce9"}), written(None)
    ({'title': 'caf?'}, {})
    """
    return {key: value.encode("utf-8", "replace").decode() for key, value in (tags or {}).items()}
