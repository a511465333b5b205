"""The published networks, each with what is known of it: names, downloads and lists come from this one table.

File names and layouts are as asteroid and Open-Unmix have them in their sources. What is on this machine,
:func:`xumx.network.pretrained.is_here` tells.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from xumx.network.config import SOURCES

ASSETS = Path(__file__).parents[1] / "assets"
"""Where the networks lie that come with the package."""

SUFFIXES = (".pth", ".pt")
"""Of PyTorch's checkpoints."""

_HASH = re.compile(r"[-_][0-9a-f]{8,64}$")


def target_of(path: Path) -> str:
    """Tell the target from the name of Open-Unmix's checkpoint.

    >>> target_of(Path("vocals-b62c91ce.pth")), target_of(Path("lead-guitar.pth"))
    ('vocals', 'lead-guitar')
    """
    return _HASH.sub("", path.stem)


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
        Empty where nobody has published it: then that of the DOI's record counts.

    Examples
    --------
    >>> file = RemoteFile("https://example.org/files/vocals-b62c91ce.pth", "sha256:b62c91ce")
    >>> file.name, file.for_pytorch, file.kept
    ('vocals-b62c91ce.pth', True, 'vocals.h5')
    """

    url: str
    checksum: str = ""

    @property
    def name(self) -> str:
        """What it is called where it is published."""
        return PurePosixPath(urlsplit(self.url).path).name

    @property
    def has_doi(self) -> bool:
        return self.url.startswith("doi:")

    @property
    def doi(self) -> str:
        """The DOI alone; empty where there is none."""
        return self.url[4:].rpartition("/")[0] if self.has_doi else ""

    @property
    def page(self) -> str:
        """What a browser opens to fetch it."""
        return f"https://doi.org/{self.doi}" if self.has_doi else self.url

    @property
    def for_pytorch(self) -> bool:
        """Whether it is a checkpoint of PyTorch's, to be converted."""
        return self.name.endswith(SUFFIXES)

    @property
    def kept(self) -> str:
        """Its name in the cache: ``vocals.h5`` for ``vocals-b62c91ce.pth``."""
        return f"{target_of(Path(self.name))}.h5" if self.for_pytorch else self.name


@dataclass(frozen=True, kw_only=True)
class Model:
    """A network that somebody has published.

    Parameters
    ----------
    name : str
        What ``--model`` calls it.
    about : str
        What it was trained on.
    arch : str
        See :class:`xumx.network.config.ModelConfig`.
    sources : tuple of str
        Its stems.
    licence : str
        Of the weights, as their publisher gives it.
    page : str
        Where one reads about it.
    files : tuple of RemoteFile
        What is fetched; none of a network that comes with the package.
    aliases : tuple of str
        Other names, such as asteroid's.
    sdr : mapping of str to float
        Median SDR of each source in dB, as published; empty where nothing is.
    scored : str
        On what, and who published it.
    n_fft, n_hop, sample_rate, nb_channels : int
        STFT in samples, rate in Hz: the files of PyTorch's do not say all of it.
    hidden_size : int, optional
        None where nobody states it.
    size : int, optional
        Bytes of all files, rounded; None where nobody states it.

    Examples
    --------
    >>> find("r-sawata/XUMXL_MUSDB18_music_separation").name
    'x-umxl'
    >>> round(find("umxl").mean_sdr, 2), find("umxse").mean_sdr
    (6.32, None)
    """

    name: str
    about: str
    arch: str
    licence: str
    page: str
    sources: tuple[str, ...] = SOURCES
    files: tuple[RemoteFile, ...] = ()
    aliases: tuple[str, ...] = ()
    sdr: Mapping[str, float] = field(default_factory=dict)
    scored: str = ""
    n_fft: int = 4096
    n_hop: int = 1024
    sample_rate: int = 44100
    nb_channels: int = 2
    hidden_size: int | None = None
    size: int | None = None

    @property
    def bundled(self) -> Path | None:
        """Where it lies in the package, if it does."""
        return None if self.files else ASSETS / f"{self.name}.h5"

    @property
    def mean_sdr(self) -> float | None:
        """Mean of the sources' SDR in dB, if it is published."""
        return sum(self.sdr.values()) / len(self.sdr) if self.sdr else None


def _zenodo(record: int, *files: str, **digits: str) -> tuple[RemoteFile, ...]:
    """Files of a record: by name, and Open-Unmix's, whose names end with digits of their SHA-256."""
    doi = f"doi:10.5281/zenodo.{record}"
    named = {f"{target}-{digest[:8]}.pth": f"sha256:{digest}" for target, digest in digits.items()}
    both = {**dict.fromkeys(files, ""), **named}
    return tuple(RemoteFile(f"{doi}/{name}", checksum) for name, checksum in both.items())


def _sdr(vocals: float, drums: float, bass: float, other: float) -> dict[str, float]:
    return {"bass": bass, "drums": drums, "vocals": vocals, "other": other}


_MUSDB = "MUSDB18, test set, median of frames and tracks (BSS Eval v4)"
_ASTEROID = f"{_MUSDB}; asteroid, recipe X-UMX"
_OPENUNMIX = f"{_MUSDB}; Open-Unmix's README"
_CC_BY = "CC BY 4.0"

_ALL = (
    Model(
        name="x-umx",
        about="X-UMX, MUSDB18",
        arch="x-umx",
        licence="not stated",
        page="https://github.com/sony/ai-research-code/tree/master/x-umx",
        files=(
            RemoteFile(
                "https://nnabla.org/pretrained-models/ai-research-code/x-umx/x-umx.h5",
                "sha1:6414e08527d37bd1d08130c4b87255830af819bf",
            ),
        ),
        sdr=_sdr(6.61, 6.47, 5.43, 4.64),
        scored=f"{_MUSDB}; Sawata et al. 2021",
        hidden_size=512,
        size=142_000_000,
    ),
    Model(
        name="x-umxl",
        about="X-UMX Large, much more music than MUSDB18, not published",
        arch="x-umx",
        licence="see its page",
        page="https://doi.org/10.5281/zenodo.7128659",
        files=_zenodo(7128659, "pretrained_xumxl.pth"),
        aliases=("r-sawata/XUMXL_MUSDB18_music_separation",),
        sdr=_sdr(7.565, 7.394, 6.283, 4.833),
        scored=_ASTEROID,
    ),
    Model(
        name="x-umx-asteroid",
        about="X-UMX trained anew with asteroid, MUSDB18",
        arch="x-umx",
        licence="see its page",
        page="https://doi.org/10.5281/zenodo.4704231",
        files=_zenodo(4704231, "pretrained_xumx.pth"),
        aliases=("r-sawata/XUMX_MUSDB18_music_separation",),
        sdr=_sdr(6.612, 6.471, 5.426, 4.639),
        scored=_ASTEROID,
        hidden_size=512,
        size=142_000_000,
    ),
    Model(
        name="x-umx-hq",
        about="X-UMX, MUSDB18-HQ; a baseline of the Music Demixing Challenge 2021",
        arch="x-umx",
        licence=_CC_BY,
        page="https://doi.org/10.5281/zenodo.4740378",
        files=_zenodo(4740378, "pretrained_xumx_musdb18HQ.pth"),
        hidden_size=512,
        size=142_000_000,
    ),
    Model(
        name="umx",
        about="Open-Unmix, MUSDB18",
        arch="umx",
        licence="MIT",
        page="https://doi.org/10.5281/zenodo.3370486",
        files=_zenodo(3370486, bass="646024d3", drums="5a48008b", vocals="c8df74a5", other="f8e132cc"),
        sdr=_sdr(6.32, 5.73, 5.23, 4.02),
        scored=_OPENUNMIX,
        hidden_size=512,
        size=142_600_000,
    ),
    Model(
        name="umxhq",
        about="Open-Unmix, MUSDB18-HQ",
        arch="umx",
        licence="MIT",
        page="https://doi.org/10.5281/zenodo.3370489",
        files=_zenodo(
            3370489,
            bass="8d85a5bd3f996a8867fca0e8442e077e5a3f5ec747a6112742452a8f347b39c8",
            drums="9619578f885c54737cb0234f9f9a4a679ee4f31438fd77fd1dbe02bb16c2da0a",
            vocals="b62c91cedbc7a066f1778ead5b5cecb377aa3a46a31af1cce7c5c8769339d083",
            other="b52fbbf76479e752bd72e02304c602ac7802aa5bfbfb9cd12054b2695d5093ab",
        ),
        sdr=_sdr(6.25, 6.04, 5.07, 4.28),
        scored=_OPENUNMIX,
        hidden_size=512,
        size=142_600_000,
    ),
    Model(
        name="umxl",
        about="Open-Unmix Large, about 400 hours of music, not published",
        arch="umx",
        licence="CC BY-NC-SA 4.0",
        page="https://doi.org/10.5281/zenodo.5069601",
        files=_zenodo(5069601, bass="2ca1ce51", drums="69e0ebd4", vocals="bccbd9aa", other="c8c5b3e6"),
        sdr=_sdr(7.21, 7.15, 6.02, 4.89),
        scored=_OPENUNMIX,
        hidden_size=1024,
        size=453_000_000,
    ),
    Model(
        name="umxse",
        about="Open-Unmix for speech, mono at 16 kHz, Voicebank and Demand (28 speakers)",
        arch="umx",
        licence="see its page",
        page="https://doi.org/10.5281/zenodo.3786908",
        sources=("speech", "noise"),
        files=_zenodo(3786908, "speech_f5e0d9f9.pth", "noise_04a6fc2d.pth"),
        n_fft=1024,
        n_hop=512,
        sample_rate=16000,
        nb_channels=1,
        hidden_size=256,
        size=12_700_000,
    ),
    Model(
        name="demo",
        about="a small X-UMX for trying xumx out, taught by composed music",
        arch="x-umx",
        licence="that of xumx",
        page="docs/demo-model.md",
        hidden_size=96,
        size=7_193_192,
    ),
)

MODELS: dict[str, Model] = {model.name: model for model in _ALL}
"""By name, in the order of lists."""


def models() -> list[Model]:
    """Return all published networks, the default one first and the one of the package last.

    Examples
    --------
    >>> [model.name for model in models()][:3]
    ['x-umx', 'x-umxl', 'x-umx-asteroid']
    """
    return list(MODELS.values())


def find(name: str) -> Model | None:
    """Return the network of a name or an alias; None where there is none."""
    found = MODELS.get(name)
    return found or next((model for model in MODELS.values() if name in model.aliases), None)
