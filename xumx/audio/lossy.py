"""What a lossy codec makes of audio, in memory."""

from __future__ import annotations

import io

import av
import numpy as np

from xumx.audio.samples import float_samples

RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
"""Sample rates that MP3 has."""


def mp3(audio: np.ndarray, rate: int, bit_rate: int) -> np.ndarray:
    """Encode by LAME and decode by FFmpeg: the same length, in its place, as the file's header says both.

    Parameters
    ----------
    audio : float32 array (samples, channels)
        One channel or two, one sample or more.
    rate : int
        One of `RATES`.
    bit_rate : int
        In bits a second.

    Returns
    -------
    float32 array (samples, channels)

    Examples
    --------
    >>> tone = np.sin(np.arange(9000, dtype=np.float32) / 20)[:, None] / 2
    >>> decoded = mp3(tone, 44100, 128_000)
    >>> decoded.shape, bool(0 < np.abs(decoded - tone)[3000:-3000].max() < 0.05)
    ((9000, 1), True)
    """
    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as output:
        layout = "mono" if audio.shape[1] == 1 else "stereo"
        stream = output.add_stream("libmp3lame", rate=rate, layout=layout)
        assert isinstance(stream, av.AudioStream)
        stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(audio.T), "fltp", layout)
        frame.sample_rate = rate
        output.mux([*stream.encode(frame), *stream.encode(None)])
    file.seek(0)
    result = np.zeros_like(audio)
    with av.open(file, "r") as encoded:
        at = 0
        for decoded in encoded.decode(audio=0):
            block = float_samples(decoded)[: len(result) - at]
            result[at : at + len(block)] = block
            at += len(block)
    return result
