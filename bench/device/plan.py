"""What the checks of a GPU share: where they compute, what they need, and what they compute with."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Plan:
    """Where and how much: contexts of NNabla and ONNX Runtime, and the default recipe's sizes."""

    nnabla: str = "cudnn"
    onnx: str = "cuda"
    sizes: Mapping[str, int] = field(default_factory=dict)
    batch: int = 16
    seconds: float = 6.0
    song: float = 180.0
    rehearsed: bool = False


SMALL = {"n_fft": 256, "n_hop": 64, "hidden_size": 8, "max_bin": 60}
REHEARSAL = Plan("cpu", "cpu", SMALL, 2, 0.3, 3.0, rehearsed=True)
"""Small, and with the CPU in the GPU's place."""

_plan = Plan()


def plan() -> Plan:
    """The plan of this run."""
    return _plan


def follow(new: Plan) -> None:
    """Make it another."""
    global _plan
    _plan = new


class Lacking(Exception):
    """What this machine does not have."""


class Failed(Exception):
    """A check that did not hold."""


@dataclass(frozen=True)
class Check:
    """One line of the table: its kind, what is checked, how, and what that needs."""

    kind: str
    about: str
    run: Callable[[], str]
    needs: Callable[[], str]


def nothing() -> str:
    """Needs nothing."""
    return ""


def lacks_nnabla() -> str:
    """What keeps NNabla from a GPU here, in a line; "" if nothing does."""
    from xumx.engines import automatic_context, cuda

    if plan().rehearsed:
        return "" if importlib.util.find_spec("nnabla") else "NNabla is not installed"
    if not cuda.installed():
        return "NNabla's extension for GPUs is not installed"
    context, problem = automatic_context("0")
    return "" if context == "cudnn" else problem or "NNabla finds no GPU"


def lacks_onnx() -> str:
    """What keeps ONNX Runtime from CUDA here."""
    from xumx.engines import providers

    return (
        ""
        if plan().rehearsed or "cuda" in providers.available()
        else "the installed ONNX Runtime has no cuda"
    )


def lacks_ranks() -> str:
    """What keeps two processes from NCCL here."""
    from xumx.base.ranks import Rank

    if plan().rehearsed:
        return "NCCL has no stand-in"
    return lacks_nnabla() or ("" if Rank.detect().size == 2 else "two processes: mpirun -n 2")


def config() -> Any:
    """The published sizes."""
    from xumx.network.config import ModelConfig

    return ModelConfig(**plan().sizes)


def network() -> Any:
    """Random weights, always the same."""
    from tests.networks import random_weights

    return random_weights(config())


def magnitude() -> np.ndarray:
    """Noise as a spectrogram: ten seconds at the published size."""
    return np.random.default_rng(0).exponential(3, (431, 1, 2, config().bins)).astype(np.float32)


def sample(batch: int, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Targets of a step, of noise: (batch, sources, samples, channels)."""
    network = config()
    shape = (batch, len(network.sources), round(seconds * network.sample_rate), network.nb_channels)
    return rng.normal(0, 0.1, shape).astype(np.float32)
