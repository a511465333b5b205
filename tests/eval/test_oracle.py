import numpy as np
import pytest

from tests.networks import music
from xumx.eval.options import EvalOptions
from xumx.eval.oracle import ORACLES, frequency, irm, mwf
from xumx.signal.stft import istft, stft


@pytest.fixture(scope="module")
def sources():
    return np.stack([music(0.4, seed) for seed in range(3)])


def test_ideal_ratio_mask(sources):
    mixture = sources.sum(axis=0)
    spectra = np.stack([stft(source) for source in sources]).astype(np.complex128)
    power = np.abs(spectra) ** 2
    masked = power / (power.sum(axis=0) + 1e-12) * stft(mixture)
    expected = np.stack([istft(x.astype(np.complex64), len(mixture)) for x in masked])
    np.testing.assert_allclose(irm(mixture, sources), expected, rtol=0, atol=1e-4)


def test_multichannel_wiener_filter(sources):
    """By the textbook's formulas, a bin at a time."""
    mixture = sources.sum(axis=0)
    spectra = np.stack([stft(source) for source in sources]).astype(np.complex128)
    x = stft(mixture).astype(np.complex128)
    power = (np.abs(spectra) ** 2).mean(axis=2)
    outer = np.einsum("jtcf,jtdf->jfcd", spectra, spectra.conj()) / (
        power.sum(axis=1)[..., None, None] + 1e-9
    )
    found = mwf(mixture, sources)
    filtered = np.zeros_like(spectra)
    for f in range(x.shape[2]):
        for t in range(len(x)):
            parts = power[:, t, f, None, None] * outer[:, f]
            total = parts.sum(axis=0) + 1e-8 * np.eye(2)
            filtered[:, t, :, f] = parts @ np.linalg.solve(total, x[t, :, f])
    expected = np.stack([istft(y.astype(np.complex64), len(mixture)) for y in filtered])
    error = np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2))
    assert error < 1e-2, error


def test_gains_by_frequency():
    """Stationary noise of three bands is parted; what two sources share in frequency is not."""
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.standard_normal((3, 44100, 2)), axis=1)
    hz = np.arange(spectrum.shape[1])
    bands = [hz < 2000, (hz > 4000) & (hz < 8000), hz > 10000]
    noise = np.stack([np.fft.irfft(s * b[:, None], axis=0) for s, b in zip(spectrum, bands)]).astype("f")
    found = frequency(noise.sum(axis=0), noise)
    assert np.mean((found - noise) ** 2) < 1e-3 * np.mean(noise**2)
    silent = np.zeros_like(noise[0])
    turns = np.stack([np.where(np.arange(44100)[:, None] // 4410 % 2 == k, noise[0], 0) for k in (0, 1)])
    halves = frequency(noise[0], np.stack([*turns, silent]))
    assert np.mean((halves[0] - noise[0] / 2) ** 2) < 0.05 * np.mean(noise[0] ** 2), "half of it all the time"
    assert not halves[2].any()


def test_the_command_offers_all_oracles():
    assert [EvalOptions.parse(["--root", "x", "--oracle", kind]).oracle for kind in ORACLES] == list(ORACLES)


@pytest.mark.parametrize("kind", ORACLES)
def test_oracles_sum_to_the_mixture(kind, sources):
    mixture, before = sources.sum(axis=0), sources.copy()
    estimates = ORACLES[kind](mixture, sources)
    assert estimates.shape == sources.shape and estimates.dtype == np.float32
    np.testing.assert_allclose(
        estimates.sum(axis=0), mixture, rtol=0, atol=1e-2 * np.abs(mixture).max(), err_msg=kind
    )
    assert np.array_equal(sources, before)
    most = 1.0 if kind == "frequency" else 0.3
    for estimate, source in zip(estimates, sources):
        assert np.mean((estimate - source) ** 2) < most * np.mean((mixture - source) ** 2), kind
