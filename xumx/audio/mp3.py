"""Short sounds to MP3 in memory."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import cast

import av
import numpy as np


def mp3(block: np.ndarray, sample_rate: int, bitrate: int) -> bytes:
    """An MP3 file of a block of samples, at a constant bit rate and by LAME's quick settings.

    Parameters
    ----------
    block : float32 array (samples, channels)
        Mono or stereo.
    sample_rate : int
        In Hz, one that MP3 has.
    bitrate : int
        In bit/s.

    Returns
    -------
    bytes
        The file, whose header tells the encoder's delay and padding. Decoders that do not heed it give all
        such files the same delay, 1105 samples.
    """
    file = io.BytesIO()
    with av.open(file, "w", "mp3") as container:
        options = {"compression_level": "7"}
        stream = cast(
            av.AudioStream, container.add_stream("libmp3lame", sample_rate, options, bit_rate=bitrate)
        )
        stream.format = av.AudioFormat("fltp")
        stream.layout = av.AudioLayout("stereo" if block.shape[1] == 2 else "mono")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block.T), stream.format, stream.layout)
        frame.sample_rate = sample_rate
        frame.time_base = Fraction(1, sample_rate)
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()
