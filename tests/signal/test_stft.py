import numpy as np
import pytest
import scipy.signal

from tests.networks import music
from xumx.signal.stft import istft, stft

SIZES = [(4096, 1024), (1024, 256), (512, 200), (64, 32), (256, 100)]


def direct(audio, n_fft, n_hop):
    """The definition, sample by sample."""
    window = scipy.signal.get_window("hann", n_fft)
    padded = np.pad(audio, ((n_fft // 2, n_fft // 2), (0, 0)), mode="reflect")
    frames = [
        np.fft.rfft((padded[s : s + n_fft] * window[:, None]).T, axis=1)
        for s in range(0, len(padded) - n_fft + 1, n_hop)
    ]
    return np.array(frames)


@pytest.mark.parametrize("n_fft, n_hop", SIZES)
@pytest.mark.parametrize("samples", [1, 10, 700, 5000, 9999])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_equals_the_definition_and_inverts(n_fft, n_hop, samples, channels):
    audio = np.random.default_rng(samples).standard_normal((samples, channels)).astype(np.float32)
    before = audio.copy()
    spectrogram = stft(audio, n_fft, n_hop)
    expected = direct(audio, n_fft, n_hop)
    assert spectrogram.shape == expected.shape == (samples // n_hop + 1, channels, n_fft // 2 + 1)
    assert spectrogram.dtype == np.complex64 and spectrogram.flags.c_contiguous
    np.testing.assert_allclose(spectrogram, expected, atol=1e-5 * np.abs(expected).max())
    back = istft(spectrogram, samples, n_fft, n_hop)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, audio, atol=2e-5)
    np.testing.assert_array_equal(audio, before)


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
