import pytest

from xumx.base.errors import UsageError
from xumx.network.config import ModelConfig, bandwidth_to_max_bin


def test_defaults_are_the_published_sizes():
    config = ModelConfig()
    assert (config.bins, config.max_bin, config.lstm_size, config.directions) == (2049, 1487, 256, 2)
    assert config.max_bin == bandwidth_to_max_bin(44100, 4096, 16000)


@pytest.mark.parametrize(
    "rate, n_fft, bandwidth", [(44100, 4096, 16000), (48000, 2048, 15999), (8000, 64, 4000)]
)
def test_bandwidth_counts_the_bins_up_to_it(rate, n_fft, bandwidth):
    frequencies = [k * rate / n_fft for k in range(n_fft // 2 + 1)]
    expected = sum(f <= bandwidth for f in frequencies)
    assert bandwidth_to_max_bin(rate, n_fft, bandwidth) == expected


def test_bandwidth_beyond_the_spectrum_is_all_of_it():
    assert bandwidth_to_max_bin(44100, 1024, 1e6) == 513


def test_a_unidirectional_lstm_keeps_its_width():
    assert ModelConfig(unidirectional=True).lstm_size == 512


@pytest.mark.parametrize(
    "arch, crossing, independent", [("x-umx", True, False), ("umx", False, True), ("joint", False, False)]
)
def test_what_the_sources_of_an_architecture_share(arch, crossing, independent):
    config = ModelConfig(arch=arch)
    assert (config.crossing, config.independent) == (crossing, independent)


@pytest.mark.parametrize(
    "change, named",
    [
        ({"arch": "demucs"}, "demucs"),
        ({"sources": ()}, "sources"),
        ({"sources": ("a", "a")}, "sources"),
        ({"hidden_size": 0}, "hidden_size"),
        ({"hidden_size": 7}, "hidden_size"),
        ({"n_fft": 4095}, "n_fft"),
        ({"n_hop": 4096}, "n_hop"),
        ({"max_bin": 5000}, "max_bin"),
        ({"nb_channels": 0}, "nb_channels"),
        ({"n_hop": 1}, "n_hop"),
        ({"n_fft": 2**62, "n_hop": 2**60}, "n_fft must be 64 to"),
        ({"n_fft": 64, "n_hop": 2}, "n_hop 2 is too short"),
        ({"sample_rate": 2**31 - 1}, "sample_rate must be 1000 to 768000"),
        ({"sample_rate": 999}, "sample_rate"),
        ({"hidden_size": 2**62}, "hidden_size"),
        ({"nb_layers": 33}, "nb_layers"),
        ({"nb_channels": 17}, "nb_channels"),
        ({"n_hop": 1024.0}, "n_hop must be a whole number"),
        ({"n_hop": True}, "n_hop"),
        ({"n_hop": "1024"}, "n_hop must be a whole number"),
        ({"n_hop": None}, "n_hop must be a whole number"),
        ({"sample_rate": 10**5000}, "sample_rate"),
        ({"unidirectional": "no"}, "unidirectional"),
        ({"sources": "vocals"}, "sources"),
        ({"sources": None}, "sources"),
        ({"sources": (["a"],)}, "name of a source"),
        ({"sources": tuple(map(str, range(65)))}, "at most 64 sources, not 65"),
    ],
)
def test_sizes_that_make_no_network_are_refused(change, named):
    with pytest.raises(UsageError, match=named):
        ModelConfig(**change)


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../../escaped", "/etc/escaped", "a/b", "a\\b", "C:escaped", " a", "a ", " "),
        *("a\nb", "a\0", "\x1b[2J", "\u202egnp", "\ud800", 101 * "a", 51 * "ä", None, 5, b"a"),
    ],
)
def test_names_that_would_be_odd_files_are_refused(name):
    with pytest.raises(UsageError, match="cannot be the name of a source") as raised:
        ModelConfig(sources=("vocals", name))
    assert str(raised.value).isprintable() and len(str(raised.value)) < 300


@pytest.mark.parametrize(
    "name", ["vocals", "lead vocals (1)", "größe", "ボーカル", ".hidden", "no. 1...", 100 * "a"]
)
def test_names_of_any_language_are_taken(name):
    assert ModelConfig(sources=[name]).sources == (name,)


def test_sizes_of_networks_that_exist_are_within_the_bounds():
    sizes = ((8000, 512, 128), (16000, 512, 160), (44100, 4096, 441), (192000, 16384, 4096))
    for rate, n_fft, n_hop in sizes:
        ModelConfig(n_fft=n_fft, n_hop=n_hop, sample_rate=rate, max_bin=n_fft // 4, hidden_size=2048)


@pytest.mark.parametrize("bandwidth", [0, -1, float("inf"), float("nan")])
def test_bandwidths_that_are_none(bandwidth):
    with pytest.raises(UsageError, match="bandwidth"):
        bandwidth_to_max_bin(44100, 4096, bandwidth)
