"""Against the definition in double precision, and against PyTorch where that is."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from tests.networks import music
from xumx.signal.stft import istft, stft

SIZES = [(4096, 1024), (1024, 256), (512, 200), (64, 32), (256, 100)]


def hann(n_fft):
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)


def defined(audio, n_fft, n_hop):
    """Spectra of windows around every hop of (samples, channels), mirrored at its ends."""
    padded = np.pad(audio.astype(float), ((n_fft // 2, n_fft // 2), (0, 0)), mode="reflect")
    frames = sliding_window_view(padded, n_fft, axis=0)[::n_hop]
    return np.fft.rfft(hann(n_fft) * frames)


def inverted(spectrogram, samples, n_fft, n_hop):
    """The audio whose windows are nearest to those of the spectrogram: their mean, weighted by the window."""
    total = np.zeros(((len(spectrogram) - 1) * n_hop + n_fft, spectrogram.shape[1]))
    weight = np.zeros((len(total), 1))
    for number, frame in enumerate(np.fft.irfft(spectrogram.astype(complex), n_fft)):
        place = slice(number * n_hop, number * n_hop + n_fft)
        total[place] += (hann(n_fft) * frame).T
        weight[place, 0] += hann(n_fft) ** 2
    place = slice(n_fft // 2, n_fft // 2 + samples)
    return total[place] / weight[place]


@pytest.mark.parametrize("n_fft, n_hop", SIZES)
@pytest.mark.parametrize("samples", [1, 10, 700, 5000, 9999])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_equals_its_definition_and_inverts(n_fft, n_hop, samples, channels):
    audio = np.random.default_rng(samples).standard_normal((samples, channels)).astype(np.float32)
    before = audio.copy()
    spectrogram = stft(audio, n_fft, n_hop)
    expected = defined(audio, n_fft, n_hop)
    assert spectrogram.shape == expected.shape == (samples // n_hop + 1, channels, n_fft // 2 + 1)
    assert spectrogram.dtype == np.complex64 and spectrogram.flags.c_contiguous
    np.testing.assert_allclose(spectrogram, expected, atol=1e-5 * np.abs(expected).max())
    back = istft(spectrogram, samples, n_fft, n_hop)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, audio, atol=2e-5)
    np.testing.assert_array_equal(audio, before)


def random_spectrogram(samples, n_fft, n_hop):
    """One that no audio has."""
    rng = np.random.default_rng(samples)
    parts = rng.standard_normal((2, samples // n_hop + 1, 2, n_fft // 2 + 1))
    return (parts[0] + 1j * parts[1]).astype(np.complex64)


@pytest.mark.parametrize("n_fft, n_hop", SIZES)
@pytest.mark.parametrize("samples", [700, 5000, 9999])
def test_the_inverse_equals_its_definition(n_fft, n_hop, samples):
    spectrogram = random_spectrogram(samples, n_fft, n_hop)
    expected = inverted(spectrogram, samples, n_fft, n_hop)
    ours = istft(spectrogram, samples, n_fft, n_hop)
    np.testing.assert_allclose(ours, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("n_fft, n_hop", SIZES)
def test_equals_pytorch(n_fft, n_hop):
    torch = pytest.importorskip("torch")
    window, samples = torch.hann_window(n_fft, dtype=torch.double), 9999
    audio = np.random.default_rng(0).standard_normal((samples, 2)).astype(np.float32)
    same = {"n_fft": n_fft, "hop_length": n_hop, "window": window, "center": True}
    theirs = torch.stft(torch.from_numpy(audio.T).double(), **same, pad_mode="reflect", return_complex=True)
    expected = theirs.numpy().transpose(2, 0, 1)
    np.testing.assert_allclose(stft(audio, n_fft, n_hop), expected, atol=1e-5 * np.abs(expected).max())
    spectrogram = random_spectrogram(samples, n_fft, n_hop)
    laid_out = torch.from_numpy(spectrogram.transpose(1, 2, 0).astype(complex))
    expected = torch.istft(laid_out, **same, length=samples).numpy().T
    ours = istft(spectrogram, samples, n_fft, n_hop)
    np.testing.assert_allclose(ours, expected, atol=1e-5 * np.abs(expected).max())


def test_the_inverse_is_the_least_squares_one():
    """Of a spectrogram that no audio has, the inverse's STFT is nearer than that of audio beside it."""
    rng = np.random.default_rng(0)
    audio = music(0.2, channels=1)
    noisy = stft(audio, 256, 64) + rng.standard_normal((len(audio) // 64 + 1, 1, 129)).astype(np.complex64)
    best = istft(noisy, len(audio), 256, 64)

    def distance(x):
        weight = np.full(129, 2.0)
        weight[[0, -1]] = 1  # one-sided spectrum: all bins but the outer two count twice
        return float((weight * np.abs(stft(x.astype(np.float32), 256, 64) - noisy) ** 2)[4:-4].sum())

    for step in (0.01, -0.01):
        nudge = np.zeros_like(best)
        nudge[2000:4000] = step * rng.standard_normal((2000, 1))
        assert distance(best + nudge) > distance(best)


def test_threads_do_not_change_the_result():
    audio = music(0.5)
    one = stft(audio, threads=1)
    np.testing.assert_array_equal(one, stft(audio, threads=2))
    np.testing.assert_array_equal(istft(one, len(audio), threads=1), istft(one, len(audio), threads=2))
