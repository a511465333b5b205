"""The functions of ``xumx.graph.cpu_ops`` by NNabla's own: for ``cudnn``, and to compare with.

Shapes and meaning of each argument stand there.
"""

from __future__ import annotations

import nnabla as nn
import nnabla.functions as F
import nnabla.solvers as S
import numpy as np

__all__ = [
    "adam_step",
    "affine",
    "batch_norm",
    "error_gram",
    "gram",
    "lstm",
    "mask",
    "normalized_affine",
    "spectral_distance",
    "synthesis",
]


def adam_step(solver: S.Adam, *, weight_decay: float = 0.0) -> None:
    solver.weight_decay(weight_decay)
    solver.update()


def affine(x: nn.Variable, weight: nn.Variable) -> nn.Variable:
    return F.affine(x, weight, base_axis=2)


def normalized_affine(
    x: nn.Variable, mean: nn.Variable, scale: nn.Variable, weight: nn.Variable
) -> nn.Variable:
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
    """On ``cpu`` NNabla's LSTM ignores the dropout; on ``cudnn`` it is cuDNN's, not of ``rng``."""
    layers, directions, _, hidden = bias.shape
    zero = F.constant(shape=(layers, directions, x.shape[1], hidden))
    y, _, _ = F.lstm(
        x, zero, zero, weight_l0, weight, bias, layers, dropout, directions == 2, rng is not None
    )
    return y


def synthesis(
    magnitude: nn.Variable, real: nn.Variable, imag: nn.Variable, *, n_fft: int, n_hop: int
) -> nn.Variable:
    frames, batch, channels, bins = magnitude.shape
    parts = [
        F.reshape(F.transpose(magnitude * _constant(part), (1, 2, 3, 0)), (batch * channels, bins, frames))
        for part in (real, imag)
    ]
    waveform = F.istft(*parts, n_fft, n_hop, n_fft, "hanning", center=True, pad_mode="constant")
    return F.reshape(waveform, (batch, channels, -1))


def gram(signals: list[nn.Variable], *, trim: int = 0) -> nn.Variable:
    stacked = F.stack(*(s[..., trim : s.shape[2] - trim] for s in signals), axis=2)
    return F.batch_matmul(stacked, stacked, transpose_b=True)


def error_gram(estimates: list[nn.Variable], targets: list[nn.Variable]) -> nn.Variable:
    errors = [F.reshape(e - _constant(t), (1, -1)) for e, t in zip(estimates, targets, strict=True)]
    stacked = F.concatenate(*errors, axis=0) if len(errors) > 1 else errors[0]
    return F.affine(stacked, F.transpose(stacked, (1, 0))) / stacked.shape[1]


def spectral_distance(
    estimate: nn.Variable, target: nn.Variable, *, n_fft: int, n_hop: int, floor: float = 1e-7
) -> nn.Variable:
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
