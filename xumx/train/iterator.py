"""The sample stream as NNabla knows data: a ``DataSource`` and a ``DataIterator`` over it."""

from __future__ import annotations

import numpy as np
from nnabla.utils.data_iterator import DataIterator
from nnabla.utils.data_source import DataSource

from xumx.data.source import SampleStream, batches


class StreamSource(DataSource):
    """Give the samples of one epoch after another, as many as fill whole batches.

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
        self._variables = ("mixture", "targets")
        self._size = stream.steps(batch_size) * batch_size
        self._position = step * batch_size
        self._stream, self.epoch = stream, epoch

    def _get_data(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        return self._stream.sample(self.epoch, position)

    def skip(self, samples: int) -> None:
        """Count samples as used that were drawn ahead."""
        self._position += samples

    def reset(self) -> None:
        """Begin the next epoch if this one is over: iterators reset at their start too."""
        if self._position >= self._size:
            self._position = 0
            self.epoch += 1


class StreamIterator(DataIterator):
    """Give batches of a stream without end, drawn ahead by threads, from a step of an epoch on.

    ``next()`` gives the mixture (batch, samples, channels) and the targets (batch, targets, samples,
    channels), new float32 arrays. ``epoch`` and ``position`` say where the next batch begins. Close it to end
    its threads. They take the place of NNabla's own one, which would draw one batch at a time, and in which
    errors would be lost while the reader waits for ever: here ``next()`` raises them.

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
    UsageError, AudioError
        As :func:`xumx.data.source.batches` does; the second from ``next()``.
    """

    def __init__(
        self, stream: SampleStream, batch_size: int, *, workers: int = 0, epoch: int = 0, step: int = 0
    ) -> None:
        source = StreamSource(stream, batch_size, epoch=epoch, step=step)
        super().__init__(source, batch_size, use_thread=False)
        self._current_epoch = epoch
        self._batches = batches(stream, batch_size, workers=workers, epoch=epoch, step=step)

    def _next(self) -> None:
        """Put a batch where ``next()`` takes it from, and whether the epoch ends with it."""
        batch = next(self._batches)
        self._data_source.skip(self._batch_size)
        ended = self._data_source.position >= self._size
        if ended:
            self._reset()
        self._queue.put((tuple(batch), int(ended)))

    def close(self) -> None:
        """End the threads."""
        self._batches.close()
        super().close()
