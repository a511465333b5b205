import numpy as np
import pytest

from xumx.signal.overlap_add import blend, fade, split

SHAPES = [(10, 10), (10, 7), (10, 3), (10, 1), (100, 50), (64, 63)]


def blocks_of(audio, rng):
    """The audio in blocks of random lengths, some of them empty."""
    while len(audio):
        n = int(rng.integers(0, 40))
        yield audio[:n]
        audio = audio[n:]


@pytest.mark.parametrize("length, hop", SHAPES)
@pytest.mark.parametrize("samples", [1, 9, 10, 11, 17, 100, 101, 333])
def test_split_then_blend_is_the_identity(length, hop, samples):
    rng = np.random.default_rng(samples)
    audio = rng.standard_normal((samples, 2)).astype(np.float32)
    before = audio.copy()
    chunks = list(split(blocks_of(audio, rng), length, hop))
    assert [start for start, _ in chunks[:-1]] == [i * hop for i in range(len(chunks) - 1)]
    assert all(len(chunk) == length for _, chunk in chunks[:-1])
    if hop < length:
        assert len(chunks[-1][1]) == min(length, samples), "an overlapping last chunk is a full one"
    else:
        assert chunks[-1][0] == (len(chunks) - 1) * hop
    for start, chunk in chunks:
        np.testing.assert_array_equal(chunk, audio[start : start + length])
    assert chunks[-1][0] + len(chunks[-1][1]) == samples
    out = np.concatenate(list(blend([(s, c[None].copy()) for s, c in chunks], hop, length - hop)), axis=1)
    assert out.shape == (1, samples, 2)
    np.testing.assert_allclose(out[0], audio, atol=1e-5)
    np.testing.assert_array_equal(audio, before)


def test_nothing_gives_nothing():
    assert list(split([], 10, 5)) == []
    assert list(split([np.zeros((0, 2))], 10, 5)) == []
    assert list(blend([], 5, 5)) == []


def test_hard_chunks_are_joined_as_they_are():
    parts = [(0, np.ones((1, 10, 1), np.float32)), (10, np.zeros((1, 4, 1), np.float32))]
    np.testing.assert_array_equal(
        np.concatenate(list(blend(parts, 10, 0)), axis=1)[0, :, 0], [1] * 10 + [0] * 4
    )


def test_two_chunks_cross_over_smoothly():
    parts = [(0, np.ones((1, 30, 1), np.float32)), (20, np.zeros((1, 30, 1), np.float32))]
    out = np.concatenate(list(blend(parts, 20, 10)), axis=1)[0, :, 0]
    np.testing.assert_array_equal(out[:20], 1)
    np.testing.assert_array_equal(out[30:], 0)
    assert (np.diff(out[19:31]) < 0).all()
    np.testing.assert_allclose(out[20:30] + out[20:30][::-1], 1, atol=1e-6)


@pytest.mark.parametrize("length, overlap", [(100, 10), (100, 50), (100, 99), (5, 10), (1, 1), (7, 0)])
def test_weights_are_positive_and_symmetric(length, overlap):
    weight = fade(length, overlap)
    assert weight.shape == (length, 1) and weight.dtype == np.float32
    assert (weight > 0).all() and (weight <= 1).all()
    np.testing.assert_array_equal(weight, weight[::-1])


def test_pieces_come_as_soon_as_their_chunk():
    seen = []

    def chunks():
        for i in range(5):
            seen.append(i)
            yield 8 * i, np.ones((1, 10, 1), np.float32)

    for count, piece in enumerate(blend(chunks(), 8, 2)):
        assert piece.shape[1] == (8 if count < 5 else 2)
        assert len(seen) == min(count + 1, 5)


def test_what_a_last_chunk_reaches_back_is_left_out():
    parts = [(0, np.ones((1, 10, 1), np.float32)), (4, np.zeros((1, 10, 1), np.float32))]
    out = np.concatenate(list(blend(parts, 8, 2)), axis=1)[0, :, 0]
    np.testing.assert_array_equal(out[:8], 1)
    assert 1 > out[8] > out[9] > 0
    np.testing.assert_array_equal(out[10:], 0)
