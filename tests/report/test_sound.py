import numpy as np
import pytest

from tests.networks import music
from xumx.audio import read
from xumx.report.sound import LIMIT, MARGIN, PIECE, RATE, Rate, encoded, evenly, rate_for


def test_evenly_cuts_fills_and_rearranges():
    rng = np.random.default_rng(0)
    for case in range(200):
        sizes = rng.integers(0, 20, rng.integers(0, 6))
        audio = rng.standard_normal((sizes.sum(), 2)).astype(np.float32)
        samples, size = (int(n) for n in rng.integers(1, 40, 2))
        blocks = list(evenly(np.split(audio, np.cumsum(sizes)[:-1]) if len(sizes) else [], samples, size))
        expected = np.zeros((samples, 2), np.float32)
        expected[: len(audio)] = audio[:samples]
        message = f"case {case}: {sizes} to {samples} by {size}"
        assert [len(b) for b in blocks[:-1]] == [size] * ((samples - 1) // size), message
        np.testing.assert_array_equal(np.concatenate(blocks), expected, err_msg=message)


@pytest.mark.parametrize("seconds", [0.02, 10, 20.03])
def test_pieces_join_to_the_signal(tmp_path, seconds):
    """Without their margins they are the signal, no worse at the joins than elsewhere."""
    audio = music(seconds, noise=0)
    rate = Rate(160_000, 2)
    parts = []
    for _, number, piece in encoded([[block] for block in np.array_split(audio, 7)], rate):
        (tmp_path / f"{number}.mp3").write_bytes(piece)
        parts.append(read(tmp_path / f"{number}.mp3")[0][round(MARGIN * RATE) :][: PIECE * RATE])
    assert len(parts) == -(-len(audio) // (PIECE * RATE))
    joined = np.concatenate(parts)[: len(audio)]
    assert joined.shape == audio.shape
    error = np.abs(joined - audio).max(axis=1)
    assert error.max() < 0.05, f"at {error.argmax() / RATE:.3f} s"
    near_joins = np.arange(len(error)) // 200 % (PIECE * RATE // 200) == 0
    assert error[near_joins].max() <= 1.5 * max(error[~near_joins].max(initial=0), 0.01)


def test_a_long_signal_is_never_held_whole():
    taken = 0

    def blocks():
        nonlocal taken
        for _ in range(100_000):
            taken += RATE
            yield [np.zeros((RATE, 1), np.float32)]

    pieces = encoded(blocks(), Rate(32_000, 1))
    next(pieces)
    assert taken < 20 * PIECE * RATE
    pieces.close()


@pytest.mark.parametrize("tracks", [1, 4, 5, 6])
def test_four_minutes_stay_below_20_megabytes(tracks):
    """By the bytes of 20 s of noise, as base64, and 200 kB of pictures a track."""
    noise = np.random.default_rng(0).uniform(-1, 1, (20 * RATE, 2)).astype(np.float32)
    rate = rate_for(240, tracks)
    assert rate.channels == 2
    size = sum(len(piece) for _, _, piece in encoded([[noise]], rate))
    sound = tracks * 12 * size * 4 / 3
    assert sound + (tracks + 1) * 200_000 < LIMIT, rate


def test_long_songs_fall_to_the_lowest_rate_and_short_ones_have_the_best():
    rates = [rate_for(seconds, 4) for seconds in (6, 240, 420, 840, 7200)]
    assert rates[0] == (160_000, 2) and rates[2] == (64_000, 2) and rates[3] == rates[4] == (32_000, 1)
    assert [r.bits for r in rates] == sorted((r.bits for r in rates), reverse=True)
