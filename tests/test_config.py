import pytest

from xumx.config import ModelConfig, bandwidth_to_max_bin
from xumx.errors import UsageError


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
    ],
)
def test_sizes_that_make_no_network_are_refused(change, named):
    with pytest.raises(UsageError, match=named):
        ModelConfig(**change)
