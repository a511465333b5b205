import warnings

import librosa
import numpy as np
import pytest

from tests.networks import music
from xumx.signal.stft import istft, stft

SIZES = [(4096, 1024), (1024, 256), (512, 200), (64, 32), (256, 100)]


def reference(audio, n_fft, n_hop):
    """librosa's, in double precision, laid out as ours."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "n_fft=.* is too large")  # for audio shorter than a window
        spectrogram = librosa.stft(
            audio.T.astype(float), n_fft=n_fft, hop_length=n_hop, pad_mode="reflect", dtype=complex
        )
    return spectrogram.transpose(2, 0, 1)


@pytest.mark.parametrize("n_fft, n_hop", SIZES)
@pytest.mark.parametrize("samples", [1, 10, 700, 5000, 9999])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_equals_librosa_and_inverts(n_fft, n_hop, samples, channels):
    audio = np.random.default_rng(samples).standard_normal((samples, channels)).astype(np.float32)
    before = audio.copy()
    spectrogram = stft(audio, n_fft, n_hop)
    expected = reference(audio, n_fft, n_hop)
    assert spectrogram.shape == expected.shape == (samples // n_hop + 1, channels, n_fft // 2 + 1)
    assert spectrogram.dtype == np.complex64 and spectrogram.flags.c_contiguous
    np.testing.assert_allclose(spectrogram, expected, atol=1e-5 * np.abs(expected).max())
    back = istft(spectrogram, samples, n_fft, n_hop)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, audio, atol=2e-5)
    np.testing.assert_array_equal(audio, before)


@pytest.mark.parametrize("n_fft, n_hop", SIZES)
@pytest.mark.parametrize("samples", [700, 5000, 9999])
def test_the_inverse_equals_librosa_s(n_fft, n_hop, samples):
    """Of spectrograms that no audio has, too."""
    rng = np.random.default_rng(samples)
    parts = rng.standard_normal((2, samples // n_hop + 1, 2, n_fft // 2 + 1))
    spectrogram = (parts[0] + 1j * parts[1]).astype(np.complex64)
    expected = librosa.istft(
        spectrogram.transpose(1, 2, 0), n_fft=n_fft, hop_length=n_hop, length=samples, dtype=float
    ).T
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
