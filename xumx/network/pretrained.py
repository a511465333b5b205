"""From the name of a published network to its weights on this machine, downloaded once."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from xumx.base.errors import UsageError, WeightsError, WriteError, XumxError
from xumx.base.files import replacing
from xumx.network.catalogue import MODELS, Model, RemoteFile, find
from xumx.network.download import Watch, digest_of, fetched, reason

if TYPE_CHECKING:
    from xumx.network.weights import Weights

_UNKNOWN = "unpublished"
"""Stands for a checksum in notes."""


def resolve(
    model: str | os.PathLike[str],
    *,
    model_dir: str | os.PathLike[str] | None = None,
    progress: bool | Watch = True,
) -> Path:
    """Find the weights that a name or a path stands for, and download them once.

    A string that is a name or an alias of :mod:`xumx.network.catalogue` means that network, even where a file
    or folder of that name exists (write ``./x-umx`` for that one). Any other string, and every path object,
    is a path.

    A download is checked against its checksum, that in the record of its DOI, and that of an earlier
    download, and gets its final name only then. A file in the cache is checked once for each size and time
    that it has, whoever put it there, and is used from then on without being hashed again and without a
    network. Checkpoints of PyTorch's are converted and not kept.

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
        file in the cache that is not the published one. For a checkpoint that holds another network than
        the catalogue says.

    Examples
    --------
    >>> resolve("demo").name
    'demo.h5'
    >>> resolve("x-unx")
    Traceback (most recent call last):
        ...
    xumx.base.errors.UsageError: unknown model 'x-unx' (did you mean 'x-umx'?): ...
    """
    published = find(model) if isinstance(model, str) else None
    if published is not None:
        return published.bundled or _cached(published, cache_folder(model_dir) / published.name, progress)
    text = os.fspath(model)
    path = os.path.expanduser(text)
    if os.path.exists(path):
        return Path(path)
    known = ", ".join(MODELS)
    if isinstance(model, str) and not text.endswith(".h5") and _like_a_name(text):
        names = {_bare(name): name for one in MODELS.values() for name in (one.name, *one.aliases)}
        near = difflib.get_close_matches(_bare(text), names, n=1, cutoff=0.65)
        hint = f" (did you mean {names[near[0]]!r}?)" if near else ""
        raise UsageError(f"unknown model {text!r}{hint}: give one of {known}, or a path of weights")
    raise WeightsError(f"there are no weights at {text!r}: give a path that exists, or one of {known}")


def is_here(model: Model, model_dir: str | os.PathLike[str] | None = None) -> bool:
    """Whether a published network can be used without a network connection.

    Parameters
    ----------
    model : Model
        Of :func:`xumx.network.catalogue.models`.
    model_dir : path, optional
        Cache folder, see `cache_folder`.

    Examples
    --------
    >>> is_here(MODELS["demo"]), is_here(MODELS["umxl"], "no such folder")
    (True, False)
    """
    return not _missing(model, cache_folder(model_dir) / model.name)


def cache_folder(model_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of downloads: `model_dir`, else ``$XUMX_HOME``, else the user's cache of this system.

    Examples
    --------
    >>> cache_folder("here").as_posix()
    'here'
    """
    # platformdirs is what pooch.os_cache calls; pooch itself costs 30 ms to import, and a start that
    # finds its weights in the cache has no other use for it.
    folder = model_dir or os.environ.get("XUMX_HOME") or platformdirs.user_cache_dir("xumx")
    return Path(os.path.expanduser(folder))


def _bare(name: str) -> str:
    """A name without what is easily mistaken in it."""
    return re.sub("[-_ ]", "", name.lower())


def _like_a_name(text: str) -> bool:
    """Whether a text that is no path looks like a name, or like asteroid's of the form ``user/network``."""
    head, _, name = text.rpartition("/")
    return name == text or (head in {a.rpartition("/")[0] for m in MODELS.values() for a in m.aliases} - {""})


def _missing(model: Model, folder: Path) -> list[RemoteFile]:
    """The files of a network that are neither in its folder nor made of what is."""
    return [
        file
        for file in model.files
        if not os.path.isfile(folder / file.kept) and not os.path.isfile(folder / file.name)
    ]


def _cached(model: Model, folder: Path, progress: bool | Watch) -> Path:
    """Where a network is, of which what lacks has been fetched."""
    for file in model.files:
        if not os.path.isfile(folder / file.kept):
            try:
                _fetch(model, file, folder, progress)
            except (OSError, ValueError) as error:  # the errors of requests are OSErrors
                if isinstance(error, XumxError):
                    raise
                raise _not_had(model, file, folder, error) from error
        _verify(file, folder / file.kept)
    return folder / model.files[0].kept if len(model.files) == 1 else folder


def _fetch(model: Model, file: RemoteFile, folder: Path, progress: bool | Watch) -> None:
    """Put a file into `folder`, or the weights of a checkpoint, in one step when all is right."""
    from xumx.network import weights

    with fetched(file, folder, progress) as part:
        if not file.for_pytorch:
            os.replace(part, folder / file.name)
            return
        network = _converted(model, file, part)
        with replacing(folder / file.kept) as aside:
            weights.save(aside, network)
            # Before the file has its name: without this it would be one that somebody has put there.
            _remember(file, folder / file.kept, digest_of(aside, "sha256"), aside.stat())


def _converted(model: Model, file: RemoteFile, checkpoint: Path) -> Weights:
    """The network of a checkpoint, if it is the one that the catalogue tells of.

    Raises
    ------
    WeightsError
        If it is another: a record that changed, or was never what we took it for.
    """
    from xumx.network import pytorch

    network = pytorch.load(checkpoint, n_hop=model.n_hop, sample_rate=model.sample_rate)
    found = network.config
    target = Path(file.kept).stem
    right = found.arch == model.arch and {found.n_fft, found.n_hop} == {model.n_fft, model.n_hop}
    right = right and found.sample_rate == model.sample_rate and found.nb_channels == model.nb_channels
    right = right and model.hidden_size in (None, found.hidden_size)
    if not right or set(found.sources) != set(model.sources if found.crossing else [target]):
        raise WeightsError(
            f"{file.page}: {file.name} holds another network than {model.name}: {found.arch} of "
            f"{', '.join(found.sources)}, FFT {found.n_fft}, hop {found.n_hop}, hidden size "
            f"{found.hidden_size}, {found.nb_channels} channels at {found.sample_rate} Hz"
        )
    return network


def _not_had(model: Model, file: RemoteFile, folder: Path, error: OSError | ValueError) -> WeightsError:
    """What to do where a download fails: all files that one can put in place at once."""
    lacking = _missing(model, folder) or [file]
    names = ", ".join(one.name for one in lacking)
    if len({one.page for one in lacking}) == 1:
        where = f"{names} from {lacking[0].page}"
    else:
        where = ", ".join(f"{one.name} from {one.page}" for one in lacking)
    place = f"it as {folder / lacking[0].name}" if len(lacking) == 1 else f"them in {folder}"
    return WeightsError(
        f"cannot download the weights: {reason(error)}; fetch {where} yourself and save {place} (`model_dir` "
        "or XUMX_HOME moves this folder), or take `model` demo, which is here"
    )


def _verify(file: RemoteFile, path: Path) -> None:
    """See that a file in the cache is what was published, or what was made of that.

    Raises
    ------
    WeightsError
        If it is something else.
    """
    remedy = "delete it, and it is fetched again (`model` takes weights of your own by their path)"
    try:
        status, known = path.stat(), _remembered(file, path)
        if known is None and file.for_pytorch:
            raise WeightsError(f"{path}: was not made here of the published {file.name}: {remedy}")
        if known is not None and known[1:] == [str(status.st_size), str(status.st_mtime_ns)]:
            return
        expected = (file.checksum or "sha256:") if known is None else known[0]
        algorithm = expected.partition(":")[0]
        digest = digest_of(path, algorithm)
        if not digest.startswith(expected):
            raise WeightsError(
                f"{path}: is not the published {path.name}, its {algorithm.upper()} differs: {remedy}"
            )
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from None
    _remember(file, path, digest, status)


def _remember(file: RemoteFile, path: Path, digest: str, status: os.stat_result) -> None:
    """Write beside a file that is right what it is made of, and what it is when it is still the same."""
    line = f"{file.checksum or _UNKNOWN} {digest} {status.st_size} {status.st_mtime_ns}\n"
    with contextlib.suppress(WriteError), replacing(_note(path)) as aside:  # a cache that may only be read
        aside.write_text(line, encoding="ascii")


def _remembered(file: RemoteFile, path: Path) -> list[str] | None:
    """Digest, size and time that `_remember` wrote; None if it did not, or for another published file."""
    try:
        words = _note(path).read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    ours = "sha256:" if file.for_pytorch else file.checksum
    right = len(words) == 4 and words[0] == (file.checksum or _UNKNOWN) and words[1].startswith(ours)
    return words[1:] if right else None


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.checked")
