"""What a network is: the few numbers from which every shape follows."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from pathlib import Path

from xumx.base.errors import UsageError, WeightsError

SOURCES = ("bass", "drums", "vocals", "other")
"""The sources of the published networks, in the order of their tensors."""

ARCHITECTURES = ("x-umx", "umx", "joint")

BOUNDS = {
    "n_fft": (64, 1 << 17),
    "n_hop": (1, 1 << 16),
    "hidden_size": (1, 1 << 14),
    "nb_layers": (1, 32),
    "nb_channels": (1, 16),
    "max_bin": (1, (1 << 16) + 1),
    "sample_rate": (1_000, 768_000),
}
"""The least and the most of each size: what no network meets, but a damaged or hostile file may hold."""

MAX_SOURCES = 64
MAX_NAME = 100
"""Bytes of a source's name in UTF-8."""

MAX_REDUNDANCY = 32
"""Hops in a window."""

MAX_FRAME_RATE = 5_000
"""Hops in a second; the published networks have 43."""


@dataclass(frozen=True)
class ModelConfig:
    """Architecture and sizes of a separation network, with the published ones as defaults.

    Sizes come from files of strangers, and memory is taken by them: each has a bound that no sensible network
    meets.

    Parameters
    ----------
    arch : 'x-umx', 'umx' or 'joint'
        X-UMX: one network whose sources share two averages (Sawata et al., 2021,
        "All for One and One for All: Improving Music Separation by Bridging Networks").
        UMX: one independent network a source (Stöter et al., 2019, "Open-Unmix - A Reference
        Implementation for Music Source Separation").
        Joint: one UMX for all sources, which have only the last layer to themselves (Gusó et al., 2022,
        "On Loss Functions and Evaluation Metrics for Music Source Separation", of hidden size 1024).
    sources : tuple of str
        Names of the stems, in tensor order; 64 at most. They become names of files: see `check_name`.
    n_fft, n_hop : int
        STFT window and hop, in samples. The window is even, 64 to 131072, and 2 to 32 times the hop; there
        are at most 5000 hops in a second.
    hidden_size : int
        Width of the encoder and of the LSTM (both directions together); at most 16384.
    nb_layers : int
        LSTM layers; at most 32.
    nb_channels : int
        Audio channels; at most 16. Files of audio, and so training, have 1 or 2: more are for arrays.
    max_bin : int
        Number of bins, from 0 Hz up, that the network sees; it masks all of them.
    unidirectional : bool
        LSTM forward in time only.
    sample_rate : int
        In Hz; 1000 to 768000.

    Raises
    ------
    UsageError
        For sizes that make no network, and names that are none.

    Examples
    --------
    >>> config = ModelConfig(n_fft=2048, n_hop=512, max_bin=744)
    >>> config.arch, config.bins, config.directions, config.lstm_size
    ('x-umx', 1025, 2, 256)
    >>> ModelConfig(hidden_size=511)
    Traceback (most recent call last):
        ...
    xumx.base.errors.UsageError: hidden_size must be even for a bidirectional LSTM, not 511
    """

    arch: str = "x-umx"
    sources: tuple[str, ...] = SOURCES
    n_fft: int = 4096
    n_hop: int = 1024
    hidden_size: int = 512
    nb_layers: int = 3
    nb_channels: int = 2
    max_bin: int = 1487
    unidirectional: bool = False
    sample_rate: int = 44100

    def __post_init__(self) -> None:
        if self.arch not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            raise UsageError(f"unknown architecture {_shown(self.arch)}; use one of {known}")
        self._check_sources()
        for name, (least, most) in BOUNDS.items():
            object.__setattr__(self, name, _whole(name, getattr(self, name), least, most))
        if not isinstance(self.unidirectional, bool):
            raise UsageError(f"unidirectional must be true or false, not {_shown(self.unidirectional)}")
        self._check_frames()
        if self.hidden_size % self.directions:
            raise UsageError(f"hidden_size must be even for a bidirectional LSTM, not {self.hidden_size}")
        if self.max_bin > self.bins:
            raise UsageError(
                f"max_bin {self.max_bin} is more than the {self.bins} bins of n_fft {self.n_fft}"
            )

    def _check_sources(self) -> None:
        sources = self.sources
        if not isinstance(sources, (list, tuple)) or not sources:
            raise UsageError(f"sources must be one or more different names, not {_shown(sources)}")
        if len(sources) > MAX_SOURCES:
            raise UsageError(f"there must be at most {MAX_SOURCES} sources, not {len(sources)}")
        for name in sources:
            check_name(name)
        if len(set(sources)) != len(sources):
            raise UsageError(f"sources must be one or more different names, not {_shown(sources)}")
        object.__setattr__(self, "sources", tuple(sources))

    def _check_frames(self) -> None:
        n_fft, n_hop = self.n_fft, self.n_hop
        if n_fft % 2 or n_hop > n_fft // 2:
            raise UsageError(f"n_fft must be even and at least twice n_hop, not {n_fft} and {n_hop}")
        if n_fft > MAX_REDUNDANCY * n_hop:
            raise UsageError(f"n_fft must be at most {MAX_REDUNDANCY} times n_hop, not {n_fft} and {n_hop}")
        if self.sample_rate > MAX_FRAME_RATE * n_hop:
            raise UsageError(
                f"n_hop {n_hop} is too short: at {self.sample_rate} Hz more than {MAX_FRAME_RATE} in a second"
            )

    @property
    def bins(self) -> int:
        """Bins of the spectrogram: n_fft/2 + 1."""
        return self.n_fft // 2 + 1

    @property
    def directions(self) -> int:
        """Directions of the LSTM: 2, or 1 if it goes forward in time only."""
        return 1 if self.unidirectional else 2

    @property
    def lstm_size(self) -> int:
        """Hidden units of one LSTM direction."""
        return self.hidden_size // self.directions

    @property
    def crossing(self) -> bool:
        """Whether the sources' own networks meet in averages (X-UMX)."""
        return self.arch == "x-umx"

    @property
    def independent(self) -> bool:
        """Whether each source has a network, and a file, of its own (UMX)."""
        return self.arch == "umx"


def check_name(name: object) -> None:
    """See that a source's name can be the name of a file on any system, and stays in its folder.

    Raises
    ------
    UsageError
        If it is empty, longer than 100 bytes, ``.`` or ``..``, begins or ends with a space, or holds a slash,
        a backslash, a colon or what is not printable.

    Examples
    --------
    >>> check_name("lead vocals")
    >>> check_name("../vocals")
    Traceback (most recent call last):
        ...
    xumx.base.errors.UsageError: '../vocals' cannot be the name of a source: ...
    """
    if (
        not isinstance(name, str)
        or name in ("", ".", "..")
        or name != name.strip()
        or not name.isprintable()
        or any(character in name for character in "/\\:")
        or len(name.encode()) > MAX_NAME
    ):
        raise UsageError(
            f"{_shown(name)} cannot be the name of a source: it names files, so it is printable, of at most "
            f"{MAX_NAME} bytes, without / \\ :"
        )


def from_shapes(
    path: Path,
    *,
    arch: str,
    sources: tuple[str, ...],
    max_bin: int,
    bins: int,
    rows: int,
    hidden_size: int,
    nb_layers: int,
    unidirectional: bool,
    n_hop: int | None = None,
    sample_rate: int | None = None,
) -> ModelConfig:
    """Make the configuration that the shapes of one source's parameters tell, in whatever file they lie.

    Parameters
    ----------
    path : Path
        The file, which the error names.
    arch, sources
        As the names of the parameters tell them.
    max_bin, bins, hidden_size, nb_layers, unidirectional
        Lengths of ``input_mean`` and ``output_mean``, columns of ``fc1``, layers of the LSTM and their kind.
    rows : int
        Of ``fc1``: channels · max_bin.
    n_hop, sample_rate : int, optional
        What no shape tells: n_fft/4 and 44100 Hz if the file does not say either.

    Raises
    ------
    WeightsError
        For what makes no network.

    Examples
    --------
    >>> sizes = {"max_bin": 20, "bins": 33, "rows": 40, "hidden_size": 8, "nb_layers": 3}
    >>> config = from_shapes(Path("a.h5"), arch="umx", sources=("a",), unidirectional=False, **sizes)
    >>> config.n_fft, config.n_hop, config.nb_channels, config.sample_rate
    (64, 16, 2, 44100)
    """
    n_fft = 2 * (bins - 1)
    try:
        return ModelConfig(
            arch=arch,
            sources=sources,
            n_fft=n_fft,
            n_hop=n_fft // 4 if n_hop is None else n_hop,
            hidden_size=hidden_size,
            nb_layers=nb_layers,
            nb_channels=max(rows // max(max_bin, 1), 1),
            max_bin=max_bin,
            unidirectional=unidirectional,
            sample_rate=44100 if sample_rate is None else sample_rate,
        )
    except UsageError as error:
        raise WeightsError(f"{path}: its shapes and names make no network: {error}") from None


def bandwidth_to_max_bin(sample_rate: int, n_fft: int, bandwidth: float) -> int:
    """Count the bins of an ``n_fft`` spectrum whose frequency is at most ``bandwidth`` Hz.

    Raises
    ------
    UsageError
        If the bandwidth is not positive.

    Examples
    --------
    >>> bandwidth_to_max_bin(44100, 4096, 16000)
    1487
    """
    if not 0 < bandwidth < math.inf:
        raise UsageError(f"bandwidth must be positive, not {bandwidth}")
    return min(int(bandwidth * n_fft / sample_rate) + 1, n_fft // 2 + 1)


def _whole(name: str, value: object, least: int, most: int) -> int:
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise UsageError(f"{name} must be a whole number, not {_shown(value)}") from None
    if isinstance(value, bool) or not least <= number <= most:
        raise UsageError(f"{name} must be {least} to {most}, not {_shown(value)}")
    return number


def _shown(value: object) -> str:
    """A value of any kind and size in a line."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of thousands of digits
        text = f"this {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}…"
