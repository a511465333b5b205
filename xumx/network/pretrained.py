"""From the name of a published network to its weights on this machine, downloaded once."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import platformdirs

from xumx.base.console import Bar
from xumx.base.errors import UsageError, WeightsError, XumxError
from xumx.base.files import aside, replacing

TIMEOUT = (10.0, 30.0)
"""Seconds to wait for a connection, and for the next bytes of a transfer."""


@dataclass(frozen=True)
class RemoteFile:
    """One file of published weights.

    Parameters
    ----------
    url : str
        Where it is, by HTTP or as ``doi:<DOI>/<file>`` in Zenodo, figshare or Dataverse; the last part of
        the path is its name.
    checksum : str
        ``algorithm:hexdigest`` of its bytes, with an algorithm of :mod:`hashlib`. The first digits suffice.

    Examples
    --------
    >>> file = RemoteFile("https://example.org/files/vocals-b62c91ce.pth", "sha256:b62c91ce")
    >>> file.name, file.for_pytorch, file.kept
    ('vocals-b62c91ce.pth', True, 'vocals.h5')
    """

    url: str
    checksum: str

    @property
    def name(self) -> str:
        """What it is called where it is published."""
        return PurePosixPath(urlsplit(self.url).path).name

    @property
    def has_doi(self) -> bool:
        return self.url.startswith("doi:")

    @property
    def page(self) -> str:
        """What a browser opens to fetch it."""
        return f"https://doi.org/{self.url[4:].rpartition('/')[0]}" if self.has_doi else self.url

    @property
    def for_pytorch(self) -> bool:
        """Whether it is a checkpoint of Open-Unmix's, to be converted."""
        return self.name.endswith(".pth")

    @property
    def kept(self) -> str:
        """Its name in the cache: ``vocals.h5`` for ``vocals-b62c91ce.pth``."""
        return f"{self.name.partition('-')[0]}.h5" if self.for_pytorch else self.name


def _open_unmix(record: int, **digits: str) -> tuple[RemoteFile, ...]:
    """Checkpoints of Open-Unmix, whose names hold the first digits of their SHA-256."""
    folder = f"https://zenodo.org/records/{record}/files"
    return tuple(
        RemoteFile(f"{folder}/{target}-{first}.pth", f"sha256:{first}") for target, first in digits.items()
    )


REGISTRY: dict[str, tuple[RemoteFile, ...]] = {
    "x-umx": (
        RemoteFile(
            "https://nnabla.org/pretrained-models/ai-research-code/x-umx/x-umx.h5",
            "sha1:6414e08527d37bd1d08130c4b87255830af819bf",
        ),
    ),
    "umxhq": _open_unmix(3370489, bass="8d85a5bd", drums="9619578f", vocals="b62c91ce", other="b52fbbf7"),
    "umx": _open_unmix(3370486, bass="646024d3", drums="5a48008b", vocals="c8df74a5", other="f8e132cc"),
    "umxl": _open_unmix(5069601, bass="2ca1ce51", drums="69e0ebd4", vocals="bccbd9aa", other="c8c5b3e6"),
}
"""The published networks: name -> files, kept together in the folder ``<cache>/<name>``."""

BUNDLED = {"demo": Path(__file__).parents[1] / "assets" / "demo.h5"}
"""Networks that come with the package: docs/demo-model.md is about the only one."""


Watch = Callable[[float, "float | None"], None]
"""Called with the bytes that a download has brought, and with how many there are, once that is known."""


def resolve(
    model: str | os.PathLike[str],
    *,
    model_dir: str | os.PathLike[str] | None = None,
    progress: bool | Watch = True,
) -> Path:
    """Find the weights that a name or a path stands for, and download them once.

    A string that is a name of `REGISTRY` or `BUNDLED` means that network, even where a file or folder of
    that name exists (write ``./x-umx`` for that one). Any other string, and every path object, is a path.

    A download is checked against its checksum and gets its final name only then. A file in the cache is
    checked once for each size and time that it has, whoever put it there, and is used from then on without
    being hashed again and without a network. Checkpoints of PyTorch's are converted and not kept.

    Parameters
    ----------
    model : str or path
        Name of a published network, or path of a weights file or folder.
    model_dir : str or path, optional
        Cache folder, see `cache_folder`.
    progress : bool or callable
        Show downloads as a bar on stderr, or tell them to a function, which may raise to end them.

    Returns
    -------
    Path
        The file, or the folder of a network that has several.

    Raises
    ------
    UsageError
        For a word that is neither a known name nor a path.
    WeightsError
        For a path that does not exist, and for a download that fails: no network, a broken transfer,
        a wrong checksum, a cache that cannot be written. Nothing is then left under the final name. For a
        file in the cache that is not the published one.
    XumxError
        For checkpoints that wait to be converted, without PyTorch.

    Examples
    --------
    >>> resolve("demo").name
    'demo.h5'
    >>> resolve("x-unx")
    Traceback (most recent call last):
        ...
    xumx.base.errors.UsageError: unknown model 'x-unx' (did you mean 'x-umx'?): ...
    """
    if isinstance(model, str) and model in BUNDLED:
        return BUNDLED[model]
    if isinstance(model, str) and model in REGISTRY:
        files = REGISTRY[model]
        folder = cache_folder(model_dir) / model
        for file in files:
            if not os.path.isfile(folder / file.kept):
                (_convert if file.for_pytorch else _download)(file, folder, progress)
            _verify(file, folder / file.kept)
        return folder / files[0].kept if len(files) == 1 else folder

    text = os.fspath(model)
    path = os.path.expanduser(text)
    if os.path.exists(path):
        return Path(path)
    names = [*REGISTRY, *BUNDLED]
    known = ", ".join(names)
    if isinstance(model, str) and os.path.basename(text) == text and not text.endswith(".h5"):
        near = difflib.get_close_matches(text.lower(), names, n=1, cutoff=0.65)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise UsageError(f"unknown model {text!r}{hint}: give one of {known}, or a path of weights")
    raise WeightsError(f"there are no weights at {text!r}: give a path that exists, or one of {known}")


def cache_folder(model_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of downloads: `model_dir`, else ``$XUMX_HOME``, else the user's cache of this system.

    >>> cache_folder("here").as_posix()
    'here'
    """
    # platformdirs is what pooch.os_cache calls; pooch itself costs 30 ms to import, and a start that
    # finds its weights in the cache has no other use for it.
    folder = model_dir or os.environ.get("XUMX_HOME") or platformdirs.user_cache_dir("xumx")
    return Path(os.path.expanduser(folder))


def _convert(file: RemoteFile, folder: Path, progress: bool | Watch) -> None:
    """Put the weights of a checkpoint into `folder`."""
    from xumx.network import pytorch as conversion
    from xumx.network import weights

    try:
        conversion.pytorch()  # that it is there, before a long download
    except XumxError as error:
        raise XumxError(f"{file.page} has to be converted once: {error}") from None
    with _fetched(file, folder, progress) as checkpoint:
        network = conversion.load(checkpoint)
        with replacing(folder / file.kept) as aside:
            weights.save(aside, network)
            # Before the file has its name: without this it would be one that somebody has put there.
            _remember(file, folder / file.kept, _digest(aside, "sha256"), aside.stat())


def _download(file: RemoteFile, folder: Path, progress: bool | Watch) -> None:
    """Put a file into `folder`, moved there in one step when it is whole."""
    with _fetched(file, folder, progress) as part:
        os.replace(part, folder / file.name)


@contextlib.contextmanager
def _fetched(file: RemoteFile, folder: Path, progress: bool | Watch) -> Iterator[Path]:
    """A download that is whole, in a folder beside its place that goes with the block.

    A checkpoint that somebody has put into `folder` by hand saves the download.

    pooch's ``retrieve`` around its downloaders is not for this: it leaves files that other users of a shared
    cache cannot read, knows whole digests only (of some the first digits are published), and prints.
    """
    import pooch

    try:
        if os.path.isfile(folder / file.name):
            _check(file, folder / file.name)
            yield folder / file.name
            return
        folder.mkdir(parents=True, exist_ok=True)
        # A folder for each download, so that processes that start together do not write into one file.
        with aside(folder) as place:
            part = place / file.name
            with (
                open(part, "wb") as out,
                # pooch sets the total from the server's answer.
                _Watched(progress)
                if callable(progress)
                else Bar(None, file.name, unit="B", scale=True, leave=False, quiet=not progress) as bar,
            ):
                kind = pooch.DOIDownloader if file.has_doi else pooch.HTTPDownloader
                kind(bar, chunk_size=1 << 16, timeout=TIMEOUT)(file.url, out, None)
                out.flush()
                os.fsync(out.fileno())  # a power cut must not leave the name without the bytes
            _check(file, part)
            yield part
    except (OSError, ValueError) as error:  # the errors of requests are OSErrors
        raise WeightsError(
            f"cannot download the weights: {_reason(error)}; fetch {file.name} from {file.page} yourself and "
            f"save it as {folder / file.name} (--model-dir or XUMX_HOME moves this folder)"
        ) from error


class _Watched(Bar):
    """A bar that nobody sees."""

    def __init__(self, watch: Watch) -> None:
        super().__init__(None, quiet=True)
        self._watch = watch

    def update(self, step: float = 1) -> None:
        super().update(step)
        self._watch(self.done, self.total)


def _check(file: RemoteFile, path: Path) -> None:
    algorithm = file.checksum.partition(":")[0]
    if not _digest(path, algorithm).startswith(file.checksum):
        raise ValueError(f"what came has another {algorithm.upper()} than the published file")


def _verify(file: RemoteFile, path: Path) -> None:
    """See that a file in the cache is what was published, or what was made of that.

    Raises
    ------
    WeightsError
        If it is something else.
    """
    remedy = "delete it, and it is fetched again (--model takes weights of your own by their path)"
    try:
        status, known = path.stat(), _remembered(file, path)
        if known is None and file.for_pytorch:
            raise WeightsError(f"{path}: was not made here of the published {file.name}: {remedy}")
        if known is not None and known[1:] == [str(status.st_size), str(status.st_mtime_ns)]:
            return
        expected = file.checksum if known is None else known[0]
        algorithm = expected.partition(":")[0]
        digest = _digest(path, algorithm)
        if not digest.startswith(expected):
            raise WeightsError(
                f"{path}: is not the published {path.name}, its {algorithm.upper()} differs: {remedy}"
            )
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from None
    _remember(file, path, digest, status)


def _remember(file: RemoteFile, path: Path, digest: str, status: os.stat_result) -> None:
    """Write beside a file that is right what it is made of, and what it is when it is still the same."""
    line = f"{file.checksum} {digest} {status.st_size} {status.st_mtime_ns}\n"
    with contextlib.suppress(OSError), replacing(_note(path)) as aside:  # a cache that may only be read
        aside.write_text(line, encoding="ascii")


def _remembered(file: RemoteFile, path: Path) -> list[str] | None:
    """Digest, size and time that `_remember` wrote; None if it did not, or for another published file."""
    try:
        words = _note(path).read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    ours = "sha256:" if file.for_pytorch else file.checksum
    right = len(words) == 4 and words[0] == file.checksum and words[1].startswith(ours)
    return words[1:] if right else None


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.checked")


def _digest(path: Path, algorithm: str) -> str:
    """``algorithm:hexdigest`` of a file's bytes."""
    state = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as content:
        while block := content.read(1 << 20):
            state.update(block)
    return f"{algorithm}:{state.hexdigest()}"


def _reason(error: OSError | ValueError) -> str:
    """A failed download in a few words."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answered {response.status_code} {response.reason}"
    if isinstance(error, OSError):
        return error.strerror or f"the connection failed ({type(error).__name__})"
    return str(error)
