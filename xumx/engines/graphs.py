"""Folded graphs on disk: made once of a weights file, and mapped into memory by every later start.

Reading, checking and folding the published weights takes longer than all else at a start. So the graph is
kept in the cache, in a folder whose name is the digest of the weights, the precision, and what made it:
another file or another version of xumx finds another folder. What has not been used for the longest goes when
they take more than `LARGEST` together.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from xumx.base import jsonfile
from xumx.base.errors import WriteError, XumxError
from xumx.base.files import aside, replacing
from xumx.network import pretrained
from xumx.network import weights as weights_file
from xumx.network.config import ModelConfig
from xumx.network.weights import Weights

GRAPH, CONFIG, CHECKS = "network.onnx", "config.json", "checks.json"
"""In the folder of a graph: itself (with ``.data`` beside it), the network's sizes, and what providers of
ONNX Runtime were found to make of it (:mod:`xumx.engines.providers`)."""

STREAM = "+stream"
"""Behind a precision: the graph hands the state of its LSTMs in and out."""

LARGEST = 2_000_000_000
"""Bytes of all graphs that are kept: fourteen of the published size."""

ROOM = 1_000_000_000
"""Bytes that a disk must have left for a graph to be kept."""


class Stored:
    """A network that is in its file until something needs the weights themselves.

    Parameters
    ----------
    path : Path
        As :func:`xumx.network.weights.load` takes it.
    model_dir : path, optional
        The cache, as of :func:`xumx.network.pretrained.cache_folder`.

    Raises
    ------
    WeightsError
        Here, or when it is used, if it is no network.
    """

    def __init__(self, path: Path, model_dir: str | os.PathLike[str] | None = None) -> None:
        self.path = path
        self._folder = pretrained.cache_folder(model_dir) / "graphs"

    @cached_property
    def weights(self) -> Weights:
        """The weights, read when first asked for."""
        return weights_file.load(self.path)

    @property
    def config(self) -> ModelConfig:
        """The network's sizes: from a graph that is kept, or of the weights."""
        return self._known[0]

    @property
    def level(self) -> float:
        """See :attr:`xumx.network.weights.Weights.level`."""
        return self._known[1]

    @cached_property
    def _known(self) -> tuple[ModelConfig, float]:
        if "weights" not in self.__dict__:
            for folder in self._folder.glob(f"{self.digest}-*") if self.digest else ():
                with contextlib.suppress(OSError, XumxError, TypeError, KeyError):
                    found = jsonfile.read(folder / CONFIG, dict[str, Any])
                    level = float(found.pop("level"))
                    return ModelConfig(**{**found, "sources": tuple(found["sources"])}), level
        return self.weights.config, self.weights.level

    @cached_property
    def digest(self) -> str:
        """Of the bytes of all its files, known unread if none has changed; "" if they cannot be read."""
        try:
            files = sorted(self.path.glob("*.h5")) if self.path.is_dir() else [self.path]
            states = [(file.name, (s := file.stat()).st_size, s.st_mtime_ns) for file in files]
            state = hashlib.sha256(repr((os.path.abspath(self.path), states)).encode()).hexdigest()[:32]
            note = self._folder / f"{state}.digest"
            with contextlib.suppress(OSError, ValueError):
                if len(digest := note.read_text(encoding="ascii").strip()) == 32:
                    return digest
            sha = hashlib.sha256()
            for file in files:
                sha.update(f"{file.name}\n".encode())
                with open(file, "rb") as content:
                    while block := content.read(1 << 20):
                        sha.update(block)
            digest = sha.hexdigest()[:32]
            with contextlib.suppress(WriteError), replacing(note) as new:
                new.write_text(digest, encoding="ascii")
            return digest
        except OSError:
            return ""

    def place(self, precision: str) -> Path | None:
        """The folder of its graph in a precision, whether it is there or not; None if it has no digest."""
        return self._folder / f"{self.digest}-{precision}-{_maker()}" if self.digest else None

    def kept(self, precision: str) -> Path | None:
        """Its graph in the cache, made if it is not there; None where it cannot be kept."""
        folder = self.place(precision)
        if folder is None:
            return None
        with contextlib.suppress(OSError):  # gone meanwhile, or a cache that may only be read
            if not (folder / GRAPH).exists():
                _keep(folder, self.weights, precision)
            with contextlib.suppress(PermissionError):
                os.utime(folder)
            return folder / GRAPH
        return None

    def forget(self, precision: str) -> None:
        """Remove the graph: it cannot be used."""
        if folder := self.place(precision):
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def graph(network: Weights | Stored, precision: str) -> Iterator[Path]:
    """Give the folded graph as a file: one that is kept, or one that goes with the block.

    With :data:`STREAM` behind its precision, it is one for streams.

    ONNX Runtime maps the tensors of a file and lets go of them once they are packed; handed over in memory
    they would stay beside their packed copies.

    Raises
    ------
    XumxError
        If there is nowhere to write it.
    """
    if isinstance(network, Stored):
        if path := network.kept(precision):
            yield path
            return
        network = network.weights
    place = tempfile.gettempdir()
    with contextlib.ExitStack() as stack:
        try:
            path = stack.enter_context(aside(place)) / GRAPH
            _write(path, network, precision)
        except OSError as error:
            raise XumxError(f"{place}: cannot hold a temporary file ({error.strerror})") from None
        yield path


def _keep(folder: Path, weights: Weights, precision: str) -> None:
    """Make the folder of a graph; it appears when it is whole.

    Raises
    ------
    OSError
        If it cannot be written, or should not.
    """
    parent = folder.parent
    parent.mkdir(parents=True, exist_ok=True)
    size = sum(array.nbytes for arrays in weights.parameters.values() for array in arrays.values())
    if shutil.disk_usage(parent).free < size + ROOM:
        raise OSError(f"{parent} has little room left")
    with aside(parent) as place:
        new = place / "graph"
        new.mkdir()
        _write(new / GRAPH, weights, precision)
        known = {**dataclasses.asdict(weights.config), "level": weights.level}
        (new / CONFIG).write_text(json.dumps(known), encoding="utf-8")
        try:
            new.rename(folder)
        except OSError:  # another process was faster, or what is there is not whole
            if not (folder / GRAPH).exists():
                raise
    _tidy(parent, folder)


def _write(path: Path, weights: Weights, precision: str) -> None:
    from xumx.engines import folding, quantising  # which import onnx: later starts do without

    precision, _, stream = precision.partition("+")
    model, tensors = folding.build(weights, stream=bool(stream))
    if precision == "int8":
        quantising.quantise(model, tensors)
    elif precision == "float16":
        folding.compute_in_half(model, tensors)
    folding.write(path, model, tensors)


def _tidy(parent: Path, newest: Path) -> None:
    """Remove the graphs that were not used for the longest, so that the others and the newest have room."""
    found = []
    for folder in parent.glob("*-*-*"):
        with contextlib.suppress(OSError):
            size = sum(file.stat().st_size for file in folder.iterdir())
            found.append((folder != newest, -folder.stat().st_mtime, size, folder))
    total = 0
    for other, _, size, folder in sorted(found):
        total += size
        if other and total > LARGEST:
            shutil.rmtree(folder, ignore_errors=True)  # on Windows not while it is used


def _maker() -> str:
    """What a graph depends on besides the weights, in a few letters."""
    here = Path(__file__).parent
    sources = b"".join((here / name).read_bytes() for name in ("folding.py", "quantising.py"))
    return hashlib.sha256(sources + _version().encode()).hexdigest()[:12]


def _version() -> str:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version("xumx")
    return ""
