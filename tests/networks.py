"""Small networks for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xumx.network.config import ModelConfig
from xumx.network.weights import Weights, parameter_shapes

DATA = Path(__file__).parent / "golden"


def small_config(**changes: Any) -> ModelConfig:
    """A network of n_fft 256 and hidden size 8, changed as asked."""
    return ModelConfig(**{"n_fft": 256, "n_hop": 64, "hidden_size": 8, "max_bin": 60, **changes})


def random_weights(config: ModelConfig, seed: int = 0) -> Weights:
    """Weights of the size that training gives them, so that masks are neither all 0 nor all 1."""
    rng = np.random.default_rng(seed)

    def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name.endswith(("/var", "/gamma", "_scale")):
            return rng.uniform(0.5, 1.5, shape)
        if name.endswith("/W"):
            return rng.normal(0, shape[0] ** -0.5, shape)
        if name.startswith("lstm"):
            return rng.uniform(-1, 1, shape) * config.lstm_size**-0.5
        return rng.normal(0.3 if name == "output_mean" else 0, 0.1, shape)

    first, parameters = config.sources[0], {}
    for source in config.sources:
        parameters[source] = own = {}
        for name, shape in parameter_shapes(config).items():
            shared = config.arch == "joint" and source != first and not name.startswith("fc3/")
            own[name] = parameters[first][name] if shared else draw(name, shape).astype(np.float32)
    return Weights(config, parameters)


def identity_weights(config: ModelConfig) -> Weights:
    """A network whose masks are all exactly 1."""
    weights = random_weights(config)
    for parameters in weights.parameters.values():
        parameters["output_scale"][:] = 0
        parameters["output_mean"][:] = 1
    return weights


def music(
    seconds: float, seed: int = 0, rate: int = 44100, channels: int = 2, noise: float = 0.05
) -> np.ndarray:
    """Notes, with noise and clicks unless ``noise`` is 0: (samples, channels) float32 with a peak of 0.5."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * rate)
    t = np.arange(samples)[:, None] / rate
    audio = noise * rng.standard_normal((samples, channels))
    for _ in range(6):
        pitch, onset, pan = rng.uniform(60, 2000), rng.uniform(0, seconds), rng.uniform(0, 1, channels)
        audio += pan * np.sin(2 * np.pi * pitch * t) * np.exp(-3 * np.abs(t - onset))
    audio[:: max(rate // 4, 1)] += 10 * noise
    return (0.5 * audio / np.abs(audio).max()).astype(np.float32)
