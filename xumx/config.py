"""What a network is: the few numbers from which every shape follows."""

from __future__ import annotations

from dataclasses import dataclass

from xumx.errors import UsageError

SOURCES = ("bass", "drums", "vocals", "other")
"""The sources of the published networks, in the order of their tensors."""

ARCHITECTURES = ("x-umx", "umx", "joint")


@dataclass(frozen=True)
class ModelConfig:
    """Architecture and sizes of a separation network, with the published ones as defaults.

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
        Names of the stems, in tensor order.
    n_fft, n_hop : int
        STFT window and hop, in samples.
    hidden_size : int
        Width of the encoder and of the LSTM (both directions together).
    nb_layers : int
        LSTM layers.
    nb_channels : int
        Audio channels.
    max_bin : int
        Number of bins, from 0 Hz up, that the network sees; it masks all of them.
    unidirectional : bool
        LSTM forward in time only.
    sample_rate : int
        In Hz.

    Raises
    ------
    UsageError
        For sizes that make no network.
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
        object.__setattr__(self, "sources", tuple(self.sources))
        if self.arch not in ARCHITECTURES:
            raise UsageError(f"unknown architecture {self.arch!r}; use one of {', '.join(ARCHITECTURES)}")
        if not self.sources or len(set(self.sources)) != len(self.sources):
            raise UsageError(f"sources must be one or more different names, not {list(self.sources)}")
        for name in ("n_fft", "n_hop", "hidden_size", "nb_layers", "nb_channels", "max_bin", "sample_rate"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be positive, not {getattr(self, name)}")
        if self.n_fft % 2 or self.n_hop > self.n_fft // 2:
            raise UsageError(
                f"n_fft must be even and at least twice n_hop, not {self.n_fft} and {self.n_hop}"
            )
        if self.hidden_size % self.directions:
            raise UsageError(f"hidden_size must be even for a bidirectional LSTM, not {self.hidden_size}")
        if self.max_bin > self.bins:
            raise UsageError(
                f"max_bin {self.max_bin} is more than the {self.bins} bins of n_fft {self.n_fft}"
            )

    @property
    def bins(self) -> int:
        """Bins of the spectrogram: n_fft/2 + 1."""
        return self.n_fft // 2 + 1

    @property
    def directions(self) -> int:
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


def bandwidth_to_max_bin(sample_rate: int, n_fft: int, bandwidth: float) -> int:
    """Number of bins of an ``n_fft`` spectrum whose frequency is at most ``bandwidth`` Hz."""
    if bandwidth <= 0:
        raise UsageError(f"bandwidth must be positive, not {bandwidth}")
    return min(int(bandwidth * n_fft / sample_rate) + 1, n_fft // 2 + 1)
