"""From all magnitudes to waveforms through one iteration of the Wiener filter."""

from __future__ import annotations

import nnabla as nn
import nnabla.functions as F
import numpy as np
import scipy.fft

from xumx.graph.ops.cpu.base import (
    Array,
    Flags,
    Function,
    Variables,
    constant,
    data,
    fill_grads,
    grad,
    new_data,
    parallel,
)
from xumx.graph.ops.cpu.fourier import cut, overlap_add
from xumx.signal.filter_gradient import filtered, gradient
from xumx.signal.stft import hann


def filtered_synthesis(
    magnitudes: list[nn.Variable],
    mixture: nn.Variable,
    real: nn.Variable,
    imag: nn.Variable,
    *,
    n_fft: int,
    n_hop: int,
) -> list[nn.Variable]:
    """Make the waveforms that separation gives: the magnitudes are filtered together, then transformed back.

    Parameters
    ----------
    magnitudes : list of Variable (frames, batch, channels, bins)
        Of all sources; one channel or two.
    mixture, real, imag : Variable (frames, batch, channels, bins)
        Constants: its magnitude, and cosine and sine of its phase.
    n_fft, n_hop : int
        Window (periodic Hann) and hop, in samples.

    Returns
    -------
    list of Variable (batch, channels, (frames - 1) · n_hop)

    Examples
    --------
    >>> from xumx.signal.stft import stft
    >>> audio = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
    >>> spectrum = stft(audio, 16, 4)[:, None]  # frames, batch, channels, bins
    >>> x = [nn.Variable.from_numpy_array(a) for a in (abs(spectrum), np.angle(spectrum))]
    >>> parts = x[0], F.cos(x[1]), F.sin(x[1])
    >>> found = filtered_synthesis([0.3 * x[0], 0.2 * x[0]], *parts, n_fft=16, n_hop=4)
    >>> nn.forward_all(found)
    >>> total = found[0].d + found[1].d  # nothing of the mixture is lost, which has full rank
    >>> found[0].shape, bool(abs(total[0] - audio.T).max() < 1e-3)
    ((1, 2, 64), True)
    """
    inputs = (*magnitudes, *map(constant, (mixture, real, imag)))
    stacked = _FilteredSynthesis(n_fft, n_hop)(*inputs)
    return [stacked] if len(magnitudes) == 1 else list(F.split(stacked, axis=0))


class _FilteredSynthesis(Function):
    """:func:`xumx.signal.filter_gradient.filtered`, and the inverse of the STFT as in `_Synthesis`.

    Backward computes the filter anew, since what its gradient needs takes more memory than a network.
    """

    def __init__(self, n_fft: int, n_hop: int) -> None:
        super().__init__()
        self._n_fft, self._n_hop = n_fft, n_hop

    def setup_impl(self, inputs: Variables, outputs: Variables) -> None:
        frames, batch, channels, _ = inputs[0].shape
        shape = (len(inputs) - 3, batch, channels, (frames - 1) * self._n_hop)
        outputs[0].reset_shape(shape, True)
        self._window = hann(self._n_fft)
        total = np.zeros(shape[3], np.float32)
        overlap_add(np.tile(self._window**2, (frames, 1)), self._n_hop, total)
        self._inverse = 1 / total

    def forward_impl(self, inputs: Variables, outputs: Variables) -> None:
        *magnitudes, mixture, real, imag = map(data, inputs)
        waveforms = new_data(outputs[0])

        def synthesize(b: int) -> None:
            found = filtered(*_member(magnitudes, mixture, real, imag, b))
            for j, spectrogram in enumerate(found):
                for c in range(spectrogram.shape[1]):
                    frames = scipy.fft.irfft(spectrogram[:, c], self._n_fft) * self._window
                    waveforms[j, b, c] = 0
                    overlap_add(frames, self._n_hop, waveforms[j, b, c])
                    waveforms[j, b, c] *= self._inverse

        parallel(synthesize, range(mixture.shape[1]))

    def backward_impl(self, inputs: Variables, outputs: Variables, wanted: Flags, accum: Flags) -> None:
        *magnitudes, mixture, real, imag = map(data, inputs)
        outer = grad(outputs[0])
        weights = np.full(mixture.shape[3], 2 / self._n_fft, np.float32)  # see _Synthesis
        weights[[0, -1]] /= 2
        found = np.empty((len(magnitudes), *mixture.shape), np.float32)

        def analyze(b: int) -> None:
            magnitude, spectrogram = _member(magnitudes, mixture, real, imag, b)
            spectra = np.empty(magnitude.shape, np.complex64)
            frames = np.empty((len(mixture), self._n_fft), np.float32)
            for j, c in np.ndindex(len(magnitudes), mixture.shape[2]):
                cut(outer[j, b, c] * self._inverse, self._n_hop, self._window, frames)
                spectra[j, :, c] = scipy.fft.rfft(frames) * weights
            found[:, :, b] = gradient(magnitude, spectrogram, spectra)

        parallel(analyze, range(mixture.shape[1]))
        for j in range(len(magnitudes)):
            if wanted[j]:
                fill_grads(inputs[j : j + 1], accum[j : j + 1], lambda out, j=j: np.copyto(out, found[j]))


def _member(
    magnitudes: list[Array], mixture: Array, real: Array, imag: Array, b: int
) -> tuple[Array, np.ndarray]:
    """Magnitudes (sources, frames, channels, bins) and the mixture of one member of a batch."""
    return np.stack([m[:, b] for m in magnitudes]), mixture[:, b] * (real[:, b] + 1j * imag[:, b])
