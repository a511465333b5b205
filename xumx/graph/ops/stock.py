"""The functions of ``xumx.graph.ops.cpu`` by NNabla's own: for ``cudnn``, and to compare with.

Shapes and meaning of each argument stand there; the results are the same but for rounding.

>>> from xumx.graph.ops import cpu as cpu_ops, stock as stock_ops
>>> rng = np.random.default_rng(0)
>>> signals = [nn.Variable.from_numpy_array(rng.normal(size=(2, 1, 50))) for _ in range(3)]
>>> nn.forward_all(found := [ops.gram(signals, trim=5) for ops in (cpu_ops, stock_ops)])
>>> found[0].shape, bool(abs(found[0].d - found[1].d).max() < 1e-4)
((2, 1, 3, 3), True)
"""

from __future__ import annotations

from collections.abc import Mapping

import nnabla as nn
import nnabla.functions as F
import nnabla.solvers as S
import numpy as np

FLOOR = float(np.finfo(np.float32).eps) ** 0.5
"""r of the Wiener filter; see :func:`filtered_synthesis`."""

__all__ = [
    "adam_step",
    "affine",
    "approach",
    "batch_norm",
    "error_gram",
    "filtered_synthesis",
    "gradient_norm",
    "gram",
    "lstm",
    "mask",
    "normalized_affine",
    "scale_gradients",
    "spectral_distance",
    "synthesis",
]


def adam_step(solver: S.Adam, *, weight_decay: float = 0.0) -> None:
    """Update the parameters by ``solver.weight_decay`` and ``solver.update``."""
    solver.weight_decay(weight_decay)
    solver.update()


def gradient_norm(parameters: Mapping[str, nn.Variable]) -> float:
    """Compute the norm of all gradients where they are, of which a single number comes back."""
    sums = [F.sum(p.grad * p.grad) for p in parameters.values()]
    return float(np.sqrt(F.add_n(*sums).data))


def scale_gradients(parameters: Mapping[str, nn.Variable], factor: float) -> None:
    """Multiply all gradients by ``F.mul_scalar``."""
    for p in parameters.values():
        F.mul_scalar(p.grad, factor, outputs=[p.grad])


def approach(averages: Mapping[str, nn.NdArray], values: Mapping[str, nn.NdArray], share: float) -> None:
    """Move arrays towards others by arithmetic of arrays."""
    for name, average in averages.items():
        F.add2(average * (1 - share), values[name] * share, outputs=[average])


def affine(x: nn.Variable, weight: nn.Variable) -> nn.Variable:
    """Multiply the last axis of ``x`` by a matrix, by ``F.affine``."""
    return F.affine(x, weight, base_axis=2)


def normalized_affine(
    x: nn.Variable, mean: nn.Variable, scale: nn.Variable, weight: nn.Variable
) -> nn.Variable:
    """Crop, shift and scale each bin by arithmetic of variables, then multiply by ``F.affine``."""
    frames, batch, _, bins = x.shape
    low = x if mean.size == bins else x[..., : mean.size]
    low = (low + _row(mean)) * _row(scale)
    return F.affine(F.reshape(low, (frames, batch, -1)), weight, base_axis=2)


def batch_norm(
    x: nn.Variable,
    beta: nn.Variable,
    gamma: nn.Variable,
    mean: nn.Variable,
    var: nn.Variable,
    *,
    activation: str,
    batch_stat: bool,
    decay: float = 0.9,
    eps: float = 1e-5,
) -> nn.Variable:
    """Normalise by ``F.batch_normalization``, then activate."""
    y = F.batch_normalization(x, beta, gamma, mean, var, [2], decay, eps, batch_stat)
    return {"tanh": F.tanh, "relu": F.relu}[activation](y)


def mask(
    x: nn.Variable,
    beta: nn.Variable,
    gamma: nn.Variable,
    mean: nn.Variable,
    var: nn.Variable,
    scale: nn.Variable,
    offset: nn.Variable,
    mixture: nn.Variable,
    *,
    batch_stat: bool,
    decay: float = 0.9,
    eps: float = 1e-5,
) -> nn.Variable:
    """Multiply the mixture by its mask, ``F.relu`` of a scaled ``F.batch_normalization``."""
    y = F.batch_normalization(x, beta, gamma, mean, var, [2], decay, eps, batch_stat)
    return F.relu(F.reshape(y, mixture.shape) * _row(scale) + _row(offset)) * _constant(mixture)


def lstm(
    x: nn.Variable,
    weight_l0: nn.Variable,
    weight: nn.Variable | None,
    bias: nn.Variable,
    *,
    dropout: float = 0.0,
    rng: np.random.Generator | None = None,
) -> nn.Variable:
    """Walk through time by ``F.lstm``, which ignores the dropout on ``cpu``; that on ``cudnn`` is cuDNN's.

    ``rng`` draws nothing: given, it says that the graph is one for training.
    """
    layers, directions, _, hidden = bias.shape
    zero = F.constant(shape=(layers, directions, x.shape[1], hidden))
    y, _, _ = F.lstm(
        x, zero, zero, weight_l0, weight, bias, layers, dropout, directions == 2, rng is not None
    )
    return y


def synthesis(
    magnitude: nn.Variable, real: nn.Variable, imag: nn.Variable, *, n_fft: int, n_hop: int
) -> nn.Variable:
    """Make a waveform by ``F.istft``."""
    frames, batch, channels, bins = magnitude.shape
    parts = [
        F.reshape(F.transpose(magnitude * _constant(part), (1, 2, 3, 0)), (batch * channels, bins, frames))
        for part in (real, imag)
    ]
    waveform = F.istft(*parts, n_fft, n_hop, n_fft, "hanning", center=True, pad_mode="constant")
    return F.reshape(waveform, (batch, channels, -1))


def filtered_synthesis(
    magnitudes: list[nn.Variable],
    mixture: nn.Variable,
    real: nn.Variable,
    imag: nn.Variable,
    *,
    n_fft: int,
    n_hop: int,
) -> list[nn.Variable]:
    """Filter by arithmetic of variables, then ``F.istft``.

    In single precision r, the floor of the covariance, is 3e-4 in place of 1e-8: where all sources stand in
    one place of the stereo image, the determinant would be nothing but rounding.
    """
    frames, batch, channels, bins = mixture.shape
    constants = [_constant(v) for v in (mixture, real, imag)]
    scale = F.maximum_scalar(F.max(constants[0], axis=(0, 2, 3), keepdims=True) / 10, 1.0)
    level, *phase = (_channels(v) for v in (constants[0] / scale, *constants[1:]))
    x = [[m * part[c] for part in phase] for c, m in enumerate(level)]
    parts = [_channels(magnitude / scale) for magnitude in magnitudes]
    powers = [sum(m**2 for m in source) / channels for source in parts]
    spatial = [_spatial(source, power, phase) for source, power in zip(parts, powers, strict=True)]
    found = []
    for power, z in zip(powers, _shares(powers, spatial, x), strict=True):
        halves = []
        for k in (0, 1):
            y = F.stack(*(power * c[k] for c in z), axis=2) * scale  # frames, batch, channels, bins
            halves.append(F.reshape(F.transpose(y, (1, 2, 3, 0)), (batch * channels, bins, frames)))
        waveform = F.istft(*halves, n_fft, n_hop, n_fft, "hanning", center=True, pad_mode="constant")
        found.append(F.reshape(waveform, (batch, channels, -1)))
    return found


def _channels(v: nn.Variable) -> list[nn.Variable]:
    return [v[:, :, c] for c in range(v.shape[2])]


def _spatial(
    source: list[nn.Variable], power: nn.Variable, phase: list[list[nn.Variable]]
) -> list[nn.Variable]:
    """R_11, R_22, and real and imaginary part of R_12; of one channel R_11 alone."""
    inverse = 1 / (F.sum(power, axis=0, keepdims=True) + FLOOR**2)
    moments = [m**2 for m in source]
    if len(source) > 1:
        (c1, c2), (s1, s2) = phase
        both = source[0] * source[1]
        moments += [both * (c1 * c2 + s1 * s2), both * (s1 * c2 - c1 * s2)]
    return [F.sum(m, axis=0, keepdims=True) * inverse for m in moments]


def _shares(
    powers: list[nn.Variable], spatial: list[list[nn.Variable]], x: list[list[nn.Variable]]
) -> list[list[tuple[nn.Variable, nn.Variable]]]:
    """R_j (Σ_k v_k R_k + r I)⁻¹ x of each source, by channel, as real and imaginary part."""
    a, *more = (sum(p * r[i] for p, r in zip(powers, spatial)) for i in range(len(spatial[0])))
    if not more:
        z = [part / (a + FLOOR) for part in x[0]]
        return [[(r[0] * z[0], r[0] * z[1])] for r in spatial]
    b, re, im = more
    model = F.relu(a * b - re**2 - im**2)
    inverse = 1 / (model + FLOOR * (a + b) + FLOOR**2)
    (x1, y1), (x2, y2) = x
    a, b = a + FLOOR, b + FLOOR
    z1 = ((b * x1 - re * x2 + im * y2) * inverse, (b * y1 - re * y2 - im * x2) * inverse)
    z2 = ((a * x2 - re * x1 - im * y1) * inverse, (a * y2 - re * y1 + im * x1) * inverse)
    return [
        [
            (r1 * z1[0] + r * z2[0] - i * z2[1], r1 * z1[1] + r * z2[1] + i * z2[0]),
            (r2 * z2[0] + r * z1[0] + i * z1[1], r2 * z2[1] + r * z1[1] - i * z1[0]),
        ]
        for r1, r2, r, i in spatial
    ]


def gram(signals: list[nn.Variable], *, trim: int = 0) -> nn.Variable:
    """Compute inner products of signals by ``F.batch_matmul``."""
    stacked = F.stack(*(s[..., trim : s.shape[2] - trim] for s in signals), axis=2)
    return F.batch_matmul(stacked, stacked, transpose_b=True)


def error_gram(estimates: list[nn.Variable], targets: list[nn.Variable]) -> nn.Variable:
    """Compute mean products of errors by ``F.affine``."""
    errors = [F.reshape(e - _constant(t), (1, -1)) for e, t in zip(estimates, targets, strict=True)]
    stacked = F.concatenate(*errors, axis=0) if len(errors) > 1 else errors[0]
    return F.affine(stacked, F.transpose(stacked, (1, 0))) / stacked.shape[1]


def spectral_distance(
    estimate: nn.Variable, target: nn.Variable, *, n_fft: int, n_hop: int, floor: float = 1e-7
) -> nn.Variable:
    """Compute the sums of the spectra that ``F.stft`` gives."""
    powers = []
    for signal in (estimate, _constant(target)):
        flat = F.reshape(signal, (-1, signal.shape[2]))
        parts = F.stft(flat, n_fft, n_hop, n_fft, "hanning", center=True, pad_mode="constant")
        powers.append(F.maximum_scalar(sum(part**2 for part in parts), floor))
    square = F.sum((powers[0] ** 0.5 - powers[1] ** 0.5) ** 2)
    logarithm = F.sum(F.abs(F.log(powers[0]) - F.log(powers[1]))) / 2
    return F.stack(square, F.sum(powers[1]), logarithm)


def _row(values: nn.Variable) -> nn.Variable:
    return F.reshape(values, (1, 1, 1, -1))


def _constant(values: nn.Variable) -> nn.Variable:
    return values.get_unlinked_variable(need_grad=False) if values.need_grad else values
