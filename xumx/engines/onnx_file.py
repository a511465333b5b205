"""The network as one ONNX file, for programs that have ONNX Runtime and nothing of xumx.

float16 keeps the matrices in half precision and computes in single precision: half the size, and the same
speed. int8 is :mod:`xumx.engines.quantising`.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from xumx.base.errors import UsageError, XumxError
from xumx.base.files import replacing
from xumx.engines.folding import build
from xumx.engines.onnx import OnnxEngine
from xumx.engines.quantising import quantise
from xumx.network.config import ModelConfig
from xumx.network.weights import Weights
from xumx.signal.stft import istft, stft
from xumx.signal.wiener import wiener

PRECISIONS = ("float32", "float16", "int8")

_LIMIT = 2**31 - 2**20
"""Bytes of one protobuf message, less room for the graph."""


def save(path: Path, weights: Weights, precision: str = "float32") -> None:
    """Write the network to one ONNX file that appears when it is whole and has passed ``onnx.checker``.

    Its input is ``magnitude``, float32 (frames, batch, channels, bins), of the mixture's unscaled STFT, with
    any number of frames and any batch. Its outputs ``estimate0``, ``estimate1`` … are the magnitudes of the
    sources, shaped the same. Its metadata are ``config``, :class:`xumx.network.config.ModelConfig` in JSON,
    and ``sources``, the names of the outputs in JSON.

    Parameters
    ----------
    path : Path
    weights : Weights
    precision : 'float32', 'float16' or 'int8'

    Raises
    ------
    UsageError
        For a precision that is none of these.
    XumxError
        If the network is too large for one file, or the file cannot be written.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision {precision!r}: use one of {', '.join(PRECISIONS)}")
    model, tensors = build(weights)
    if precision == "float16":
        _halve(model, tensors)
    elif precision == "int8":
        quantise(model, tensors)
    size = sum(array.nbytes for array in tensors.values())
    if size > _LIMIT:
        raise XumxError(f"{path}: {size / 1e9:.1f} GB of weights; one file of ONNX holds less than 2.1")
    for initializer in model.graph.initializer:
        initializer.CopyFrom(numpy_helper.from_array(tensors[initializer.name], initializer.name))
    _describe(model, weights.config)
    onnx.checker.check_model(model, full_check=True)
    with replacing(path) as new:
        new.write_bytes(model.SerializeToString())


@dataclass(frozen=True)
class Comparison:
    """What a file gives and takes beside the float32 network in memory.

    Attributes
    ----------
    sdr : dict of str to float
        Of each source, in dB: energy of the float32 network's estimate over that of the difference.
        Infinite where there is none.
    seconds, float32_seconds : float
        Time of one call.
    truth : dict of str to (float, float)
        Where the truth is known, the SDR in dB of each source's stem after the filter, that of the file and
        that of the float32 network.
    """

    sdr: dict[str, float]
    seconds: float
    float32_seconds: float
    truth: dict[str, tuple[float, float]] = field(default_factory=dict)


def compare(
    path: Path,
    weights: Weights,
    audio: np.ndarray,
    truth: Mapping[str, np.ndarray] | None = None,
    *,
    repeats: int = 3,
) -> Comparison:
    """Run a file that `save` wrote against ``weights``.

    Parameters
    ----------
    path : Path
    weights : Weights
    audio : float32 array (samples, channels)
        The mixture.
    truth : mapping of str to float32 array (samples, channels), optional
        The true stems, by source.
    repeats : int
        The fastest of so many calls counts.

    Raises
    ------
    XumxError
        If ONNX Runtime does not take the file.
    """
    config = weights.config
    spectrogram = stft(audio, config.n_fft, config.n_hop)
    magnitude = np.abs(spectrogram)[:, None]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own, of many kinds
        raise XumxError(f"{path}: ONNX Runtime does not load it ({str(error).splitlines()[0]})") from None
    engine = OnnxEngine(weights)
    times: dict[str, list[float]] = {"file": [], "engine": []}
    for _ in range(repeats):
        began = time.perf_counter()
        found = session.run(None, {"magnitude": magnitude})
        times["file"].append(time.perf_counter() - began)
        began = time.perf_counter()
        expected = engine(magnitude)
        times["engine"].append(time.perf_counter() - began)
    sdr = {source: _sdr(a, b) for source, a, b in zip(config.sources, expected, found, strict=True)}
    stems: dict[str, tuple[float, float]] = {}
    if truth:
        both = [
            _stems(np.stack(list(estimate)), spectrogram, len(audio), config)
            for estimate in (found, expected)
        ]
        stems = {
            source: (_sdr(truth[source], a), _sdr(truth[source], b))
            for source, a, b in zip(config.sources, *both, strict=True)
        }
    return Comparison(sdr, min(times["file"]), min(times["engine"]), stems)


def _stems(
    estimates: np.ndarray, spectrogram: np.ndarray, samples: int, config: ModelConfig
) -> Iterator[np.ndarray]:
    """What separating makes of the network's estimates, by its defaults."""
    residual = len(config.sources) == 1
    spectra = wiener(np.ascontiguousarray(estimates[:, :, 0]), spectrogram, residual=residual)
    for spectrum in spectra[: len(config.sources)]:
        yield istft(spectrum, samples, config.n_fft, config.n_hop)


def _sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    error = float(np.sum(np.square(reference - estimate, dtype=np.float64)))
    energy = float(np.sum(np.square(reference, dtype=np.float64)))
    return 10 * float(np.log10(energy / error)) if error else float("inf")


def _halve(model: onnx.ModelProto, tensors: dict[str, np.ndarray]) -> None:
    """Keep the matrices in half precision, each with a cast, which ONNX Runtime does once, on loading."""
    casts = []
    for initializer in model.graph.initializer:
        name, array = initializer.name, tensors[initializer.name]
        if array.ndim < 2 or np.abs(array).max() > np.finfo(np.float16).max:
            continue
        initializer.name = f"{name}_half"
        tensors[initializer.name] = tensors.pop(name).astype(np.float16)
        casts.append(helper.make_node("Cast", [initializer.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _describe(model: onnx.ModelProto, config: ModelConfig) -> None:
    from importlib.metadata import version

    model.producer_name, model.producer_version = "xumx", version("xumx")
    model.doc_string = (
        "From the magnitude of a mixture's spectrogram to that of each source. Input and outputs are float32 "
        "(frames, batch, channels, bins), of an STFT with a periodic Hann window, centred and unscaled."
    )
    helper.set_model_props(
        model,
        {"config": json.dumps(dataclasses.asdict(config)), "sources": json.dumps(config.sources)},
    )
