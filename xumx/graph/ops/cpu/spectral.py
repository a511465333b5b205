"""The distance of two waveforms in a spectrogram of any size, without keeping a spectrogram."""

from __future__ import annotations

import nnabla as nn
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
    kernel,
    new_data,
    parallel,
)
from xumx.graph.ops.cpu.fourier import cut, overlap_add
from xumx.signal.stft import hann


def spectral_distance(
    estimate: nn.Variable, target: nn.Variable, *, n_fft: int, n_hop: int, floor: float = 1e-7
) -> nn.Variable:
    """Compute three sums over all bins of the magnitudes x of the estimate and y of the target.

    Both are roots of powers of at least ``floor``, below which an estimate gets no gradient. The STFT has a
    periodic Hann window and is centred: frame t stands at sample t · n_hop, in audio padded with zeros.

    Parameters
    ----------
    estimate, target : Variable (batch, channels, samples)
        The target is a constant: it gets no gradient.
    n_fft, n_hop : int
        Window and hop, in samples.
    floor : float

    Returns
    -------
    Variable (3,)
        Σ (x − y)², Σ y² and Σ |log x − log y|.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(1, 1, 64))
    >>> loud, soft = (nn.Variable.from_numpy_array(gain * noise) for gain in (2, 1))
    >>> sums = spectral_distance(loud, soft, n_fft=16, n_hop=4)
    >>> sums.forward()
    >>> bool(abs(sums.d[0] / sums.d[1] - 1) < 1e-5)  # x - y is y
    True
    >>> bool(abs(sums.d[2] / (17 * 9) - np.log(2)) < 1e-3)  # in each of 17 frames and 9 bins
    True
    """
    return _SpectralDistance(n_fft, n_hop, floor)(estimate, constant(target))


class _SpectralDistance(Function):
    """Spectra are computed anew for the gradient: they take several times the memory of the waveforms.

    The sums are functions of the powers P = |X|² of the estimate and Q of the target: x = √P, and

        d(x − y)² = 2 (x − y) dP / 2x = (1 − √(Q/P)) dP,   d|log x − log y| = ½ sign(P − Q) / P dP.

    As dP = 2 (Re X dRe X + Im X dIm X), the gradient with respect to (Re X, Im X) is 2 ∂L/∂P · X. It goes
    back to a frame g by the adjoint of rfft, which sums over the N/2 + 1 bins that there are,

        ∂L/∂g_n = Σ_k (∂L/∂Re X_k cos(2πkn/N) − ∂L/∂Im X_k sin(2πkn/N)),

    where N · irfft counts all but the first and the last of them twice: they are halved before.
    """

    def __init__(self, n_fft: int, n_hop: int, floor: float) -> None:
        super().__init__()
        self._n_fft, self._n_hop, self._floor = n_fft, n_hop, np.float32(floor)
        self._window = hann(n_fft)

    def setup_impl(self, inputs: Variables, outputs: Variables) -> None:
        outputs[0].reset_shape((3,), True)

    def forward_impl(self, inputs: Variables, outputs: Variables) -> None:
        estimates, targets = self._signals(inputs)
        sums = np.zeros((len(estimates), 3))

        def measure(x: Array, y: Array, out: np.ndarray) -> None:
            _measure(self._spectrum(x), self._spectrum(y), self._floor, out)

        parallel(measure, estimates, targets, list(sums))
        new_data(outputs[0])[...] = sums.sum(axis=0)

    def backward_impl(self, inputs: Variables, outputs: Variables, wanted: Flags, accum: Flags) -> None:
        if not wanted[0]:
            return
        estimates, targets = self._signals(inputs)
        square, _, logarithm = grad(outputs[0])

        def fill(out: Array) -> None:
            def differentiate(x: Array, y: Array, dx: Array) -> None:
                spectrum = self._spectrum(x)
                _differentiate(spectrum, self._spectrum(y), self._floor, square, logarithm)
                spectrum *= np.float32(self._n_fft / 2)  # N, halved but at both ends
                spectrum[:, [0, -1]] *= 2
                frames = scipy.fft.irfft(spectrum, self._n_fft, overwrite_x=True)
                frames *= self._window
                dx[:] = 0
                overlap_add(frames, self._n_hop, dx)

            parallel(differentiate, estimates, targets, list(out.reshape(len(estimates), -1)))

        fill_grads(inputs[:1], accum[:1], fill)

    def _spectrum(self, signal: Array) -> np.ndarray:
        frames = np.empty((1 + len(signal) // self._n_hop, self._n_fft), np.float32)
        cut(signal, self._n_hop, self._window, frames)
        return scipy.fft.rfft(frames, overwrite_x=True)

    @staticmethod
    def _signals(inputs: Variables) -> tuple[list[Array], list[Array]]:
        estimate, target = (data(v) for v in inputs)
        return list(estimate.reshape(-1, estimate.shape[2])), list(target.reshape(-1, target.shape[2]))


@kernel
def _measure(spectrum: np.ndarray, target: np.ndarray, floor: np.float32, out: np.ndarray) -> None:
    half = np.float32(0.5)
    for t in range(spectrum.shape[0]):
        square, power, logarithm = np.float32(0), np.float32(0), np.float32(0)
        for f in range(spectrum.shape[1]):
            x, y = _power(spectrum[t, f], floor), _power(target[t, f], floor)
            difference = np.sqrt(x) - np.sqrt(y)
            square += difference * difference
            power += y
            logarithm += abs(np.log(x / y))
        out[0] += square
        out[1] += power
        out[2] += half * logarithm


@kernel
def _differentiate(
    spectrum: np.ndarray, target: np.ndarray, floor: np.float32, square: np.float32, logarithm: np.float32
) -> None:
    """Replace the spectrum X by the gradient with respect to its real and imaginary parts.

    x and y are the powers here; square and logarithm the gradients of the first and the third sum.
    """
    zero, one, two = np.float32(0), np.float32(1), np.float32(2)
    for t in range(spectrum.shape[0]):
        for f in range(spectrum.shape[1]):
            x, y = _power(spectrum[t, f], floor), _power(target[t, f], floor)
            sign = one if x > y else -one if x < y else zero
            factor = two * square * (one - np.sqrt(y / x)) + logarithm * sign / x
            spectrum[t, f] *= zero if x == floor else factor


@kernel
def _power(value: np.complex64, floor: np.float32) -> np.float32:
    power = value.real * value.real + value.imag * value.imag
    return floor if power < floor else power  # NaN stays NaN
