from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from xumx.base.errors import AudioError, UsageError
from xumx.data.augment import augmentations
from xumx.data.recording import Recording, _mapped
from xumx.data.source import SampleStream, batches
from xumx.data.track import Track

nnabla_iterator = pytest.importorskip("nnabla.utils.data_iterator", reason="NNabla ends at Python 3.10")
from xumx.train.iterator import StreamIterator, StreamSource  # noqa: E402


@pytest.fixture
def stream(tmp_path: Path) -> SampleStream:
    rng = np.random.default_rng(0)
    tracks = []
    for number in range(3):
        path = tmp_path / f"{number}.npy"
        np.save(path, rng.standard_normal((900, 2)).astype(np.float32))
        tracks.append(Track(str(number), dict.fromkeys(("a", "b"), Recording(path, 0, 900, 2, 44100))))
    chosen = augmentations(["gain", "channelswap"])
    return SampleStream(tracks, ["a", "b"], 50, samples_per_track=5, augmentations=chosen)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("epoch, step", [(0, 0), (2, 1)])
def test_batches_are_those_of_the_stream(stream: SampleStream, workers: int, epoch: int, step: int) -> None:
    expected = batches(stream, 4, epoch=epoch, step=step)
    with StreamIterator(stream, 4, workers=workers, epoch=epoch, step=step) as iterator:
        assert isinstance(iterator, nnabla_iterator.DataIterator)
        assert (iterator.variables, iterator.batch_size, iterator.size) == (("mixture", "targets"), 4, 12)
        for _ in range(5):
            assert (iterator.epoch, iterator.position) == (epoch, step * 4)
            mixture, targets = iterator.next()
            theirs = next(expected)
            assert targets.shape == (4, 2, 50, 2)
            assert np.array_equal(mixture, theirs.mixture) and np.array_equal(targets, theirs.targets)
            epoch, step = (epoch, step + 1) if step < 2 else (epoch + 1, 0)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("xumx-ahead")]


def test_epochs_call_back(stream: SampleStream) -> None:
    calls: list[int] = []
    with StreamIterator(stream, 5, epoch=3) as iterator:
        iterator.register_epoch_end_callback(calls.append)
        for _ in range(7):
            iterator.next()
    assert calls == [3, 4]


def test_the_source_serves_nnablas_own_iterator(stream: SampleStream) -> None:
    source = StreamSource(stream, 5, epoch=1, step=2)
    expected = batches(stream, 5, epoch=1, step=2)
    with nnabla_iterator.DataIterator(source, 5, use_thread=False) as iterator:
        for _ in range(4):
            mixture, targets = iterator.next()
            theirs = next(expected)
            assert np.array_equal(mixture, theirs.mixture) and np.array_equal(targets, theirs.targets)


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_reach_the_reader(stream: SampleStream, tmp_path: Path, workers: int) -> None:
    with pytest.raises(UsageError, match="batch of 16"):
        StreamIterator(stream, 16, workers=workers)
    iterator = StreamIterator(stream, 4, workers=workers)
    for path in tmp_path.glob("*.npy"):
        path.unlink()
    _mapped.cache_clear()
    with pytest.raises(AudioError, match=r"could not be read.*\d\.npy"):
        while True:
            iterator.next()
    iterator.close()
