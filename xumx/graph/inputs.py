"""What a loss takes of a batch of audio: spectra and waveforms, as variables that need no gradient.

Nothing here depends on a parameter, so nothing is part of the graph. On the CPU, spectra come from NumPy:
NNabla's STFT there multiplies by a matrix of many GB. On a GPU they come from NNabla and never leave it.
"""

from __future__ import annotations

from itertools import product

import nnabla as nn
import nnabla.functions as F
import numpy as np

from xumx.graph.ops.cpu.base import kernel, new_data, parallel
from xumx.network.config import ModelConfig
from xumx.signal.stft import stft


class Inputs:
    """Hold the variables of one batch of audio, which :meth:`feed` fills.

    Parameters
    ----------
    config : ModelConfig
    batch, samples : int
        Shape of the audio.
    center : bool
        Whether the first frame stands at the first sample, in reflected audio.
    waveforms : bool
        Whether phase and waveforms are needed too; only with ``center``.
    agreements, residual : bool
        Whether these are needed.
    by_nnabla : bool
        Compute spectra by NNabla in its context, else by NumPy.

    Attributes
    ----------
    center : bool
    mixture : Variable (frames, batch, channels, bins)
        Magnitude.
    targets : list of Variable (frames, batch, channels, bins)
        Magnitude of each source.
    cos, sin : Variable (frames, batch, channels, bins)
        Of the mixture's phase, which is 0 where there is nothing. With ``waveforms`` or ``agreements``.
    agreements : list of Variable (frames, batch, channels, bins)
        Cosine of the angle between the phases of each source and of the mixture. With ``agreements``.
    residual : Variable (frames, batch, channels, bins)
        Magnitude of what the sum of the targets lacks of the mixture. With ``residual``.
    target_waveforms : list of Variable (batch, channels, (frames - 1) · hop)
        With ``waveforms``, as the next: as much of the targets as the inverse of the STFT gives back.
    residual_waveform : Variable (batch, channels, (frames - 1) · hop)
        What the sum of the targets lacks of the mixture.

    Examples
    --------
    >>> config = ModelConfig(sources=("a", "b"), n_fft=64, n_hop=16, hidden_size=4, max_bin=20)
    >>> inputs = Inputs(config, 1, 160, residual=True)
    >>> targets = np.random.default_rng(0).normal(size=(1, 2, 160, 2)).astype(np.float32)
    >>> inputs.feed(targets.sum(axis=1), targets)
    >>> inputs.mixture.shape, len(inputs.targets)
    ((11, 1, 2, 33), 2)
    >>> bool(inputs.residual.d.max() < 1e-4)  # the sources make up the mixture
    True
    """

    def __init__(
        self,
        config: ModelConfig,
        batch: int,
        samples: int,
        *,
        center: bool = True,
        waveforms: bool = False,
        agreements: bool = False,
        residual: bool = False,
        by_nnabla: bool = False,
    ) -> None:
        self._config, self.center, self._waveforms, self._by_nnabla = config, center, waveforms, by_nnabla
        self._agreements, self._residual = agreements, residual
        n, phase = len(config.sources), waveforms or agreements
        frames = 1 + (samples if center else samples - config.n_fft) // config.n_hop
        spectrum = (frames, batch, config.nb_channels, config.bins)
        self._spectra: list[nn.Variable] = []
        if by_nnabla:
            shape = (batch, config.nb_channels, samples)
            self._audio = [_input(shape) for _ in range(1 + n + residual)]
            parts = [self._stft(audio) for audio in self._audio]
            self._spectra = [(real**2 + imag**2) ** 0.5 for real, imag in parts]
            angles = [F.atan2(imag, real) for real, imag in parts[: 1 + n]]
            if agreements:
                self._spectra += [F.cos(angle - angles[0]) for angle in angles[1:]]
            if phase:
                self._spectra += [F.cos(angles[0]), F.sin(angles[0])]
            if waveforms:  # of the audio that is there, which needs not come a second time
                length = (frames - 1) * config.n_hop
                whole, *parts_of_it = (audio[:, :, :length] for audio in self._audio[: 1 + n])
                self._spectra += [*parts_of_it, whole - sum(parts_of_it)]
            for variable in self._spectra:
                variable.persistent = True
            # Leaves that share the values: the graph that is built on them does not reach back to the audio.
            leaves = [variable.get_unlinked_variable(need_grad=False) for variable in self._spectra]
        else:
            leaves = [_input(spectrum) for _ in range(1 + n + residual + agreements * n + 2 * phase)]
        for leaf in leaves:
            leaf.persistent = True
        self.mixture, self.targets, leaves = leaves[0], leaves[1 : 1 + n], leaves[1 + n :]
        if residual:
            self.residual, *leaves = leaves
        if agreements:
            self.agreements, leaves = leaves[:n], leaves[n:]
        if phase:
            self.cos, self.sin, *leaves = leaves
        if waveforms and by_nnabla:
            *self.target_waveforms, self.residual_waveform = leaves
        elif waveforms:
            shape = (batch, config.nb_channels, (frames - 1) * config.n_hop)
            self.target_waveforms = [_input(shape) for _ in config.sources]
            self.residual_waveform = _input(shape)

    def feed(self, mixture: np.ndarray, targets: np.ndarray) -> None:
        """Fill the variables.

        Parameters
        ----------
        mixture : float32 array (batch, samples, channels)
        targets : float32 array (batch, sources, samples, channels)
        """
        signals = [mixture, *targets.swapaxes(0, 1)]
        if self._residual:
            signals.append(mixture - targets.sum(axis=1))
        if self._by_nnabla:
            for variable, signal in zip(self._audio, signals, strict=True):
                new_data(variable)[...] = signal.swapaxes(1, 2)
            nn.forward_all(self._spectra, clear_buffer=True)
            return
        self._feed_by_numpy(signals)
        if self._waveforms:
            length = self.residual_waveform.shape[2]
            residual = new_data(self.residual_waveform)
            residual[...] = mixture[:, :length].swapaxes(1, 2)
            for variable, target in zip(self.target_waveforms, targets.swapaxes(0, 1), strict=True):
                waveform = new_data(variable)
                waveform[...] = target[:, :length].swapaxes(1, 2)
                residual -= waveform

    def _feed_by_numpy(self, signals: list[np.ndarray]) -> None:
        config, batch = self._config, range(len(signals[0]))
        variables = [self.mixture, *self.targets, *([self.residual] if self._residual else [])]
        magnitudes = [new_data(v) for v in variables]
        with_phase = self._waveforms or self._agreements
        nothing = magnitudes[0][:0]
        phase = [new_data(v) for v in (self.cos, self.sin)] if with_phase else [nothing, nothing]
        agreements = [new_data(v) for v in self.agreements] if self._agreements else []

        def analyze(k: int, b: int) -> None:
            spectrum = stft(signals[k][b], config.n_fft, config.n_hop, center=self.center)
            cos, sin = phase
            _polar(spectrum, b, magnitudes[k], *((cos, sin) if k == 0 else (nothing, nothing)))
            if 0 < k <= len(agreements):
                _agree(spectrum, magnitudes[k][:, b], cos[:, b], sin[:, b], agreements[k - 1][:, b])

        # The mixture first, as the others meet its phase.
        for some in ([0], range(1, len(signals))):
            parallel(analyze, *zip(*product(some, batch), strict=True))

    def _stft(self, audio: nn.Variable) -> tuple[nn.Variable, nn.Variable]:
        batch, channels, samples = audio.shape
        n_fft, n_hop = self._config.n_fft, self._config.n_hop
        flat = F.reshape(audio, (batch * channels, samples))
        parts = F.stft(flat, n_fft, n_hop, n_fft, "hanning", center=self.center, pad_mode="reflect")
        real, imag = (F.reshape(part, (batch, channels, *part.shape[1:])) for part in parts)
        return F.transpose(real, (3, 0, 1, 2)), F.transpose(imag, (3, 0, 1, 2))


def _input(shape: tuple[int, ...]) -> nn.Variable:
    variable = nn.Variable(shape)
    variable.persistent = True
    return variable


@kernel
def _polar(spectrum: np.ndarray, b: int, magnitude: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> None:
    """Magnitude of a member of the batch, and cosine and sine of its phase if there is room for them."""
    one, zero = np.float32(1), np.float32(0)
    for t in range(magnitude.shape[0]):
        for c in range(magnitude.shape[2]):
            z, m = spectrum[t, c], magnitude[t, b, c]
            for f in range(m.size):
                m[f] = np.sqrt(z[f].real * z[f].real + z[f].imag * z[f].imag)
            if cos.size:
                x, y = cos[t, b, c], sin[t, b, c]
                for f in range(m.size):
                    x[f] = z[f].real / m[f] if m[f] > zero else one
                for f in range(m.size):
                    y[f] = z[f].imag / m[f] if m[f] > zero else zero


@kernel
def _agree(
    spectrum: np.ndarray, magnitude: np.ndarray, cos: np.ndarray, sin: np.ndarray, out: np.ndarray
) -> None:
    """Cosine of the angle to a phase, that of nothing being 0."""
    for t in range(out.shape[0]):
        for c in range(out.shape[1]):
            z, m, o = spectrum[t, c], magnitude[t, c], out[t, c]
            for f in range(m.size):
                inner = z[f].real * cos[t, c, f] + z[f].imag * sin[t, c, f]
                o[f] = inner / m[f] if m[f] > np.float32(0) else cos[t, c, f]
