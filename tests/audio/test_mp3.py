import io

import av
import numpy as np
import pytest

from tests.networks import music
from xumx.audio import read
from xumx.report.sound import mp3


@pytest.mark.parametrize("channels", [1, 2])
def test_a_block_comes_back_aligned_at_its_bit_rate(tmp_path, channels):
    block = music(2.0, channels=channels, noise=0.01)
    data = mp3(block, 44100, 128_000)
    assert len(data) == pytest.approx(2 * 128_000 / 8, rel=0.05)
    (tmp_path / "piece.mp3").write_bytes(data)
    decoded, rate = read(tmp_path / "piece.mp3")
    assert (decoded.shape, rate) == (block.shape, 44100)
    assert np.square(decoded - block).sum() < 0.01 * np.square(block).sum()


def test_decoders_that_do_not_heed_the_header_find_one_delay():
    """FFmpeg told to skip nothing: blocks of any length begin at the same sample."""
    delays = set()
    for seconds in (0.1, 0.7, 1.3):
        block = np.zeros((round(seconds * 44100), 2), np.float32)
        block[1000] = 0.9
        with av.open(io.BytesIO(mp3(block, 44100, 128_000))) as container:
            container.streams.audio[0].codec_context.options = {"flags2": "+skip_manual"}
            frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
        delays.add(int(np.abs(np.concatenate(frames, axis=1)[0]).argmax()) - 1000)
    assert delays == {1105}
