"""From magnitudes to waveforms by SciPy's FFT."""

from __future__ import annotations

import nnabla as nn
import numpy as np
import scipy.fft

from xumx.graph.ops.cpu.base import (
    Array,
    Flags,
    Function,
    Variables,
    data,
    grad,
    kernel,
    new_data,
    parallel,
)
from xumx.signal.stft import hann

_TOGETHER = 32
"""Frames that are transformed together: few enough to stay in the processor's cache."""


def synthesis(
    magnitude: nn.Variable, real: nn.Variable, imag: nn.Variable, *, n_fft: int, n_hop: int
) -> nn.Variable:
    """Make a waveform of ``magnitude · (real + i · imag)``: the inverse of a centred STFT with a Hann window.

    Parameters
    ----------
    magnitude : Variable (frames, batch, channels, bins)
    real, imag : Variable (frames, batch, channels, bins)
        Constants, such as the cosine and sine of the mixture's phase: they get no gradient.
    n_fft, n_hop : int
        Window (periodic Hann) and hop, in samples.

    Returns
    -------
    Variable (batch, channels, (frames - 1) · n_hop)

    Examples
    --------
    >>> from xumx.signal.stft import stft
    >>> audio = np.random.default_rng(0).normal(size=(64, 1)).astype(np.float32)
    >>> spectrum = stft(audio, 16, 4)[:, None]  # frames, batch, channels, bins
    >>> one = nn.Variable.from_numpy_array(np.ones(spectrum.shape))
    >>> parts = (nn.Variable.from_numpy_array(part) for part in (spectrum.real, spectrum.imag))
    >>> waveform = synthesis(one, *parts, n_fft=16, n_hop=4)
    >>> waveform.forward()
    >>> waveform.shape, bool(abs(waveform.d[0, 0] - audio[:, 0]).max() < 1e-5)
    ((1, 1, 64), True)
    """
    real, imag = (v.get_unlinked_variable(need_grad=False) for v in (real, imag))
    return _Synthesis(n_fft, n_hop)(magnitude, real, imag)


class _Synthesis(Function):
    """Frame t, of window w, stands at t·hop − n_fft/2 in the waveform: y = Σ_t w·irfft(X_t) / Σ_t w².

    The division makes it the least-squares inverse (Griffin & Lim 1984): exact where X is an STFT.

    Backward, each step is undone by its adjoint in reverse order. Those of dividing and windowing are the
    same again; that of overlap-add cuts frames out (:func:`cut`). With N = n_fft, irfft gives

        x_n = 1/N (Re X_0 + (−1)ⁿ Re X_{N/2} + 2 Σ_{0<k<N/2} (Re X_k cos(2πkn/N) − Im X_k sin(2πkn/N))),

    so that with the gradient g of x, and G = rfft(g), which is Σ_n g_n (cos(2πkn/N) − i sin(2πkn/N)),

        ∂L/∂Re X_k = 2/N Σ_n g_n cos(2πkn/N) = 2/N Re G_k,   ∂L/∂Im X_k = 2/N Im G_k,

    half that in the first and last bin, whose imaginary parts irfft ignores. As X = m (r + i s) of the
    magnitude m, its gradient is dm = r ∂L/∂Re X + s ∂L/∂Im X.
    """

    def __init__(self, n_fft: int, n_hop: int) -> None:
        super().__init__()
        self._n_fft, self._n_hop = n_fft, n_hop

    def grad_depends_input_data(self, i: int, j: int) -> bool:
        return j > 0

    def setup_impl(self, inputs: Variables, outputs: Variables) -> None:
        frames, batch, channels, _ = inputs[0].shape
        outputs[0].reset_shape((batch, channels, (frames - 1) * self._n_hop), True)
        # The sum Σ_t w² that is divided by; no sample is outside of all windows, so it is nowhere zero.
        window = hann(self._n_fft)
        total = np.zeros(outputs[0].shape[2], np.float32)
        overlap_add(np.tile(window**2, (frames, 1)), self._n_hop, total)
        self._window, self._inverse = window, 1 / total

    def forward_impl(self, inputs: Variables, outputs: Variables) -> None:
        magnitude, real, imag = map(data, inputs)
        waveform = new_data(outputs[0])

        def synthesize(b: int, c: int) -> None:
            waveform[b, c] = 0
            for first, size in _parts(len(magnitude)):
                spectrum = np.empty((size, magnitude.shape[3]), np.complex64)
                _turn(magnitude, real, imag, b, c, first, spectrum)
                frames = scipy.fft.irfft(spectrum, self._n_fft, overwrite_x=True)
                frames *= self._window
                overlap_add(frames, self._n_hop, waveform[b, c], first)
            waveform[b, c] *= self._inverse

        parallel(synthesize, *_pairs(magnitude))

    def backward_impl(self, inputs: Variables, outputs: Variables, wanted: Flags, accum: Flags) -> None:
        if not wanted[0]:
            return
        real, imag = data(inputs[1]), data(inputs[2])
        dy = grad(outputs[0])
        weights = np.full(real.shape[3], 2 / self._n_fft, np.float32)  # 2/N, and 1/N at both ends
        weights[[0, -1]] /= 2

        # Added in place: the gradients of all values take as much memory as anything does.
        out = inputs[0].grad.get_data("rw" if accum[0] else "w", np.float32)

        def analyze(b: int, c: int) -> None:
            # g of each frame, G, and dm.
            signal = dy[b, c] * self._inverse
            for first, size in _parts(len(out)):
                frames = np.empty((size, self._n_fft), np.float32)
                cut(signal, self._n_hop, self._window, frames, first)
                spectrum = scipy.fft.rfft(frames, overwrite_x=True)
                _turn_back(spectrum, real, imag, b, c, first, weights, accum[0], out)

        parallel(analyze, *_pairs(out))


def _parts(nb_frames: int) -> list[tuple[int, int]]:
    """Runs of frames that are transformed together: the first one, and how many."""
    return [(first, min(_TOGETHER, nb_frames - first)) for first in range(0, nb_frames, _TOGETHER)]


def _pairs(spectrogram: Array) -> tuple[list[int], list[int]]:
    """All pairs of a member of the batch and a channel."""
    _, batch, channels, _ = spectrogram.shape
    return [b for b in range(batch) for _ in range(channels)], list(range(channels)) * batch


@kernel
def _turn(
    magnitude: Array, real: Array, imag: Array, b: int, c: int, first: int, spectrum: np.ndarray
) -> None:
    """Fill the spectrum, from frame ``first`` on, of a member and channel: X = m (r + i s)."""
    for t in range(spectrum.shape[0]):
        x, m = spectrum[t], magnitude[first + t, b, c]
        r, s = real[first + t, b, c], imag[first + t, b, c]
        for f in range(x.size):
            x[f] = complex(m[f] * r[f], m[f] * s[f])


@kernel
def _turn_back(
    spectrum: np.ndarray,
    real: Array,
    imag: Array,
    b: int,
    c: int,
    first: int,
    weights: Array,
    accum: bool,
    out: Array,
) -> None:
    """Set or add dm = w (r Re G + s Im G). Im G is zero in the first and last bin: nothing is left out."""
    for t in range(spectrum.shape[0]):
        g, dm = spectrum[t], out[first + t, b, c]
        r, s = real[first + t, b, c], imag[first + t, b, c]
        if not accum:
            dm[:] = 0
        for f in range(g.size):
            dm[f] += weights[f] * (g[f].real * r[f] + g[f].imag * s[f])


@kernel
def overlap_add(frames: Array, hop: int, out: Array, number: int = 0) -> None:
    """Add frame t to ``out`` from sample t · hop - n_fft/2 on; what lies outside is dropped.

    Parameters
    ----------
    frames : float32 array (frames, n_fft)
    hop : int
    out : float32 array (samples,)
        Is added to.
    number : int
        Of the first frame, where there are others before.

    Examples
    --------
    >>> out = np.zeros(5, np.float32)
    >>> overlap_add(np.ones((3, 4), np.float32), 2, out)
    >>> out.tolist()
    [2.0, 2.0, 2.0, 2.0, 1.0]
    """
    for t in range(frames.shape[0]):
        start = (number + t) * hop - frames.shape[1] // 2
        first, last = max(0, -start), min(frames.shape[1], out.size - start)
        inside, piece = out[start + first : start + last], frames[t, first:last]
        for j in range(inside.size):
            inside[j] += piece[j]


@kernel
def cut(signal: Array, hop: int, window: Array, frames: Array, number: int = 0) -> None:
    """Cut windowed frames out of a signal, the adjoint of windowing and :func:`overlap_add`.

    Frame t begins at sample t · hop - n_fft/2; beyond the signal there are zeros.

    Parameters
    ----------
    signal : float32 array (samples,)
    hop : int
    window : float32 array (n_fft,)
    frames : float32 array (frames, n_fft)
        Is filled.
    number : int
        Of the first frame, as in :func:`overlap_add`.

    Examples
    --------
    >>> frames = np.empty((2, 4), np.float32)
    >>> cut(np.arange(1, 6, dtype=np.float32), 2, np.ones(4, np.float32), frames)
    >>> frames.tolist()
    [[0.0, 0.0, 1.0, 2.0], [1.0, 2.0, 3.0, 4.0]]
    """
    for t in range(frames.shape[0]):
        start = (number + t) * hop - window.size // 2
        first, last = max(0, -start), min(window.size, signal.size - start)
        row = frames[t]
        row[:first] = 0
        row[last:] = 0
        inside, piece, w = row[first:last], signal[start + first : start + last], window[first:last]
        for j in range(inside.size):
            inside[j] = piece[j] * w[j]
