"""The sample stream as NNabla knows data: a ``DataSource`` and a ``DataIterator`` over it."""

from __future__ import annotations

import numpy as np
from nnabla.utils.data_iterator import DataIterator
from nnabla.utils.data_source import DataSource

from xumx.data.source import SampleStream, batches


class StreamSource(DataSource):
    """One epoch after another of a :class:`xumx.data.source.SampleStream`, cut to full batches.

    Parameters
    ----------
    stream : SampleStream
        What to draw from; it knows its rank.
    batch_size : int
        Samples of a batch; ``size`` is that of all full batches of this rank in an epoch.
    epoch, step : int
        Where to start.

    Raises
    ------
    UsageError
        If an epoch has not even one batch.
    """

    def __init__(self, stream: SampleStream, batch_size: int, *, epoch: int = 0, step: int = 0) -> None:
        super().__init__(shuffle=False)
        self._variables = ("mixture", "target")
        self._size = stream.steps(batch_size) * batch_size
        self._position = step * batch_size
        self._stream = stream
        self.epoch = epoch

    def _get_data(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        mixture, targets = self._stream.sample(self.epoch, position)
        return mixture, targets.reshape(-1, targets.shape[-1])

    def skip(self, samples: int) -> None:
        """Count samples that were drawn ahead as used."""
        self._position += samples

    def reset(self) -> None:
        """Begin the next epoch, unless this one is not over: iterators reset at their start too."""
        if self._position >= self._size:
            self._position = 0
            self.epoch += 1


class StreamIterator(DataIterator):
    """Endless batches of a stream, drawn ahead by threads, from a step of an epoch on.

    ``next()`` gives the mixture (batch, channels, samples) and the target (batch, targets · channels,
    samples), new float32 arrays. Close it to end its threads. NNabla's own thread, in which errors would
    be lost and the reader wait for ever, is not used: ``next()`` raises them.

    Parameters
    ----------
    stream : SampleStream
        What to draw from; it knows its rank.
    batch_size : int
        Samples of a batch.
    workers : int
        Threads that draw the next batch ahead; 0 draws in the calling thread.
    epoch, step : int
        Where to start.

    Raises
    ------
    UsageError
        If an epoch has not even one batch.
    AudioError
        If data cannot be read.
    """

    def __init__(
        self, stream: SampleStream, batch_size: int, *, workers: int = 0, epoch: int = 0, step: int = 0
    ) -> None:
        source = StreamSource(stream, batch_size, epoch=epoch, step=step)
        super().__init__(source, batch_size, use_thread=False)
        self._current_epoch = epoch
        self._batches = batches(stream, batch_size, workers=workers, epoch=epoch, step=step)

    def _next(self) -> None:
        mixture, targets = next(self._batches)
        self._data_source.skip(self._batch_size)
        ended = self._data_source.position >= self._size
        if ended:
            self._reset()
        data = mixture, targets.reshape(len(targets), -1, targets.shape[-1])
        self._queue.put((data, int(ended)))

    def close(self) -> None:
        self._batches.close()
        super().close()
