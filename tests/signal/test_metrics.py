"""The metrics of songs against other people's functions, or against their definitions computed otherwise."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from tests.networks import music
from xumx.signal.metrics import SONG_METRICS, bleedless, fullness, levels, mel_bank, sdr, si_sdr


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    truth = music(1.0)
    return truth, (0.8 * truth + 0.1 * music(1.0, seed=1)).astype(np.float32)


def test_sdr_is_that_of_the_challenge(pair):
    """As its starter kit computes it: of (instruments, samples, channels) at once."""
    references, estimates = (np.stack([audio, audio[::-1] * 2]) for audio in pair)
    numerator = np.sum(np.square(references.astype(np.float64)), axis=(1, 2)) + 1e-7
    denominator = np.sum(np.square(references.astype(np.float64) - estimates), axis=(1, 2)) + 1e-7
    wanted = 10 * np.log10(numerator / denominator)
    found = [sdr(reference, estimate) for reference, estimate in zip(references, estimates)]
    assert found == pytest.approx(wanted, abs=1e-9)
    assert sdr(pair[0] * 0, pair[0] * 0) == 0, "silence for silence"


def test_si_sdr_is_the_sdr_of_the_best_scale(pair):
    truth, estimate = (audio.astype(np.float64) for audio in pair)
    (scale,), error, *_ = scipy.linalg.lstsq(truth.reshape(-1, 1), estimate.ravel())
    wanted = 10 * np.log10(np.sum(np.square(scale * truth)) / float(error))
    assert si_sdr(truth, estimate) == pytest.approx(wanted, abs=1e-6)
    assert si_sdr(truth, estimate * -3) == pytest.approx(wanted, abs=1e-6)
    assert np.isnan(si_sdr(truth * 0, estimate)) and si_sdr(truth, truth * 0) == -np.inf


def test_fullness_and_bleedless_are_those_of_their_library(pair):
    """Its steps, with librosa's transform, mel bank and decibels."""
    librosa = pytest.importorskip("librosa")
    bank = librosa.filters.mel(sr=44100, n_fft=4096, n_mels=512)
    np.testing.assert_allclose(mel_bank(44100), bank, rtol=1e-4, atol=1e-9)

    def decibels(audio: np.ndarray) -> np.ndarray:
        spectra = np.abs(librosa.stft(audio.T, n_fft=4096, hop_length=1024, pad_mode="constant"))
        found = librosa.amplitude_to_db(bank @ spectra, ref=1.0, amin=1e-10, top_db=None)
        return np.maximum(found, found.max() - 80)  # of both channels, as torchaudio has it

    truth, estimate = pair
    # At the floor, 80 dB below the peak, everything is the same; some bands hold no bin, and are at it too.
    np.testing.assert_allclose(levels(truth), decibels(truth).transpose(2, 0, 1), atol=2e-2)
    difference = decibels(estimate) - decibels(truth)
    wanted = [100 / (1 + np.mean(np.abs(difference[sign * difference > 0]))) for sign in (-1, 1)]
    assert [fullness(truth, estimate), bleedless(truth, estimate)] == pytest.approx(wanted, rel=1e-3)
    assert [SONG_METRICS[name](truth, truth, 44100) for name in ("fullness", "bleedless")] == [100, 100]
