"""The STFT and its inverse beside librosa's, the reference of the field."""

import importlib.util

import numpy as np
import pytest

from xumx.signal.stft import istft, stft

HERE = importlib.util.find_spec("librosa") is not None

pytestmark = pytest.mark.skipif(not HERE, reason="librosa is not installed")


@pytest.mark.parametrize("sizes", [(256, 64), (4096, 1024)])
def test_equals_librosa(sizes):
    import librosa  # seconds, in a new environment minutes: where it is needed alone

    audio = np.random.default_rng(0).standard_normal((9000, 2)).astype(np.float32)
    frames = stft(audio, *sizes)
    theirs = librosa.stft(audio.T, n_fft=sizes[0], hop_length=sizes[1], pad_mode="reflect")
    np.testing.assert_allclose(frames, theirs.transpose(2, 0, 1), atol=2e-3)
    back = librosa.istft(theirs, n_fft=sizes[0], hop_length=sizes[1], length=len(audio))
    np.testing.assert_allclose(istft(frames, len(audio), *sizes), back.T, atol=1e-4)
