"""From the name of a published network to its weights on this machine, downloaded once."""

from __future__ import annotations

import difflib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import platformdirs

from xumx.errors import UsageError, WeightsError

TIMEOUT = (10.0, 30.0)
"""Seconds to wait for a connection, and for the next bytes of a transfer."""


@dataclass(frozen=True)
class RemoteFile:
    """One file of published weights.

    Parameters
    ----------
    url : str
        Where it is; the last part of the path is its name in the cache.
    checksum : str
        ``algorithm:hexdigest`` of its bytes, with an algorithm of :mod:`hashlib`.
    """

    url: str
    checksum: str

    @property
    def name(self) -> str:
        return PurePosixPath(urlsplit(self.url).path).name


REGISTRY: dict[str, tuple[RemoteFile, ...]] = {
    "x-umx": (
        RemoteFile(
            "https://nnabla.org/pretrained-models/ai-research-code/x-umx/x-umx.h5",
            "sha1:6414e08527d37bd1d08130c4b87255830af819bf",
        ),
    ),
}
"""The published networks: name -> files, kept together in the folder ``<cache>/<name>``."""


def resolve(
    model: str | os.PathLike[str], *, model_dir: str | os.PathLike[str] | None = None, progress: bool = True
) -> Path:
    """The weights that a name or a path stands for.

    A string that is a name of `REGISTRY` means the published network, even where a file or folder of
    that name exists (write ``./x-umx`` for that one). Any other string, and every path object, is a path.

    A download is checked against its checksum and gets its final name only then, so that a file in the
    cache is whole: it is used from then on without being hashed again and without a network.

    Parameters
    ----------
    model : str or path
        Name of a published network, or path of a weights file or folder.
    model_dir : str or path, optional
        Cache folder, see `cache_folder`.
    progress : bool
        Show downloads as a bar on stderr.

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
        a wrong checksum, a cache that cannot be written. Nothing is then left under the final name.
    """
    if isinstance(model, str) and model in REGISTRY:
        files = REGISTRY[model]
        folder = cache_folder(model_dir) / model
        for file in files:
            if not os.path.isfile(folder / file.name):
                _download(file, folder / file.name, progress)
        return folder / files[0].name if len(files) == 1 else folder

    text = os.fspath(model)
    path = os.path.expanduser(text)
    if os.path.exists(path):
        return Path(path)
    known = ", ".join(REGISTRY)
    if isinstance(model, str) and os.path.basename(text) == text and not text.endswith(".h5"):
        near = difflib.get_close_matches(text.lower(), REGISTRY, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise UsageError(f"unknown model {text!r}{hint}: give one of {known}, or a path of weights")
    raise WeightsError(f"there are no weights at {text!r}: give a path that exists, or one of {known}")


def cache_folder(model_dir: str | os.PathLike[str] | None = None) -> Path:
    """Where downloads are kept: `model_dir`, else ``$XUMX_HOME``, else the user's cache of this system."""
    # platformdirs is what pooch.os_cache calls; pooch itself costs 30 ms to import, and a start that
    # finds its weights in the cache has no other use for it.
    folder = model_dir or os.environ.get("XUMX_HOME") or platformdirs.user_cache_dir("xumx")
    return Path(os.path.expanduser(folder))


def _download(file: RemoteFile, target: Path, progress: bool) -> None:
    """Fetch `file` to `target`: beside it first, moved there in one step when it is whole."""
    import pooch
    from tqdm import tqdm

    algorithm, digest = file.checksum.split(":")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # A folder for each download, so that processes that start together do not write into one file.
        with tempfile.TemporaryDirectory(prefix=".download-", dir=target.parent) as aside:
            part = Path(aside, file.name)
            with (
                open(part, "wb") as out,
                # pooch sets the total from the server's answer; a bar of no length counts as none to it.
                tqdm(
                    total=1, desc=file.name, unit="B", unit_scale=True, leave=False, disable=not progress
                ) as bar,
            ):
                fetch = pooch.HTTPDownloader(progress and bar, chunk_size=1 << 16, timeout=TIMEOUT)
                fetch(file.url, out, None)
                out.flush()
                os.fsync(out.fileno())  # a power cut must not leave the name without the bytes
            if pooch.file_hash(str(part), alg=algorithm) != digest:
                raise ValueError(f"what came has another {algorithm.upper()} than the published file")
            os.replace(part, target)
    except (OSError, ValueError) as error:  # the errors of requests are OSErrors
        raise WeightsError(
            f"cannot download the weights: {_reason(error)}; fetch {file.url} yourself and save it as "
            f"{target} (--model-dir or XUMX_HOME moves this folder)"
        ) from error


def _reason(error: OSError | ValueError) -> str:
    """A failed download in a few words."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answered {response.status_code} {response.reason}"
    if isinstance(error, OSError):
        return error.strerror or f"the connection failed ({type(error).__name__})"
    return str(error)
