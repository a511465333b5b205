"""A published file to a folder of this machine: fetched, and known to be the one that was published."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

from xumx.base.console import Bar
from xumx.base.files import aside, replacing
from xumx.network.catalogue import RemoteFile

TIMEOUT = (10.0, 30.0)
"""Seconds to wait for a connection, and for the next bytes of a transfer."""

MIRROR = "XUMX_MIRROR"
"""Names a server that has the files as ``<server>/<network>/<file>``, to ask in place of the publishers."""

_LENGTHS = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}

Watch = Callable[[float, "float | None"], None]
"""Called with the bytes that a download has brought, and with how many there are, once that is known."""

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def fetched(file: RemoteFile, folder: Path, progress: bool | Watch) -> Iterator[Path]:
    """A file of a network, whole and checked, beside its place in `folder`; it goes with the block.

    One that somebody has put into `folder` by hand saves the download. When the block ends well, the SHA-256
    of a file whose own nobody has published in full is noted there: the next one must be the same.

    pooch's ``retrieve`` around its downloaders is not for this: it leaves files that other users of a shared
    cache cannot read, knows whole digests only (of some the first digits are published), and prints.

    Raises
    ------
    OSError, ValueError
        What went wrong; :func:`reason` tells it in a few words.
    """
    pinned = _pinned(file, folder)
    with contextlib.ExitStack() as stack:
        if os.path.isfile(folder / file.name):
            part = folder / file.name
            _check(part, [file.checksum, pinned])
        else:
            folder.mkdir(parents=True, exist_ok=True)
            # A folder for each download, so that processes that start together do not write into one file.
            part = stack.enter_context(aside(folder)) / file.name
            url, checksum = _place(file, folder.name)
            _transfer(url, part, progress)
            _check(part, [file.checksum, checksum, pinned])
        digest = _digest_to_pin(file, part)
        yield part
    if digest and not pinned:
        _pin(file, folder, digest)


def digest_of(path: Path, algorithm: str) -> str:
    """``algorithm:hexdigest`` of a file's bytes."""
    state = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as content:
        while block := content.read(1 << 20):
            state.update(block)
    return f"{algorithm}:{state.hexdigest()}"


def reason(error: OSError | ValueError) -> str:
    """A failed download in a few words."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answered {response.status_code} {response.reason}"
    if isinstance(error, OSError):
        return error.strerror or f"the connection failed ({type(error).__name__})"
    return " ".join(str(error).split())


def _place(file: RemoteFile, network: str) -> tuple[str, str]:
    """The URL of a file, and the checksum in the record of its DOI, empty without one."""
    mirror = os.environ.get(MIRROR)
    if mirror:
        return f"{mirror.rstrip('/')}/{network}/{file.name}", ""
    if not file.has_doi:
        return file.url, ""
    from pooch.downloaders import REQUESTS_HEADERS, doi_to_repository

    repository = doi_to_repository(file.doi, timeout=TIMEOUT, headers=REQUESTS_HEADERS)
    record = SimpleNamespace(registry={})
    try:
        repository.populate_registry(record)
        url = repository.download_url(file.name)
    except (KeyError, TypeError, AttributeError):  # the answer of the repository has another form
        raise ValueError(f"{file.page} has no list of files, or one that pooch does not know") from None
    return url, record.registry.get(file.name) or ""


def _transfer(url: str, path: Path, progress: bool | Watch) -> None:
    from pooch.downloaders import REQUESTS_HEADERS, HTTPDownloader  # Zenodo limits those without a name

    with (
        open(path, "wb") as out,
        # pooch sets the total from the server's answer.
        _Watched(progress)
        if callable(progress)
        else Bar(None, path.name, unit="B", scale=True, leave=False, quiet=not progress) as bar,
    ):
        HTTPDownloader(bar, chunk_size=1 << 16, timeout=TIMEOUT, headers=REQUESTS_HEADERS)(url, out, None)
        out.flush()
        os.fsync(out.fileno())  # a power cut must not leave the name without the bytes


class _Watched(Bar):
    """A bar that nobody sees."""

    def __init__(self, watch: Watch) -> None:
        super().__init__(None, quiet=True)
        self._watch = watch

    def update(self, step: float = 1) -> None:
        super().update(step)
        self._watch(self.done, self.total)


def _check(path: Path, checksums: list[str]) -> None:
    for checksum in filter(None, checksums):
        algorithm = checksum.partition(":")[0]
        if algorithm not in _LENGTHS:
            raise ValueError(f"the checksum of {path.name} is of an unknown kind, {algorithm!r}")
        if not digest_of(path, algorithm).startswith(checksum):
            raise ValueError(f"what came has another {algorithm.upper()} than the published file")


def _digest_to_pin(file: RemoteFile, path: Path) -> str:
    """SHA-256 of a file whose digest is not known in full; empty for others."""
    algorithm, _, digits = file.checksum.partition(":")
    return "" if len(digits) == _LENGTHS.get(algorithm) else digest_of(path, "sha256")


def _pin(file: RemoteFile, folder: Path, digest: str) -> None:
    logger.info("%s: noted %s", file.name, digest)
    with contextlib.suppress(OSError), replacing(_note(file, folder)) as note:
        note.write_text(f"{digest.partition(':')[2]}  {file.name}\n", encoding="ascii")


def _pinned(file: RemoteFile, folder: Path) -> str:
    """The checksum of the file that was fetched here before; empty if none was."""
    try:
        words = _note(file, folder).read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return ""
    return f"sha256:{words[0]}" if len(words) == 2 and words[1] == file.name else ""


def _note(file: RemoteFile, folder: Path) -> Path:
    """Where the digest is noted, as ``sha256sum --check`` reads it."""
    return folder / f"{file.name}.sha256"
