"""``python -m bench.ideal``: how fast this machine multiplies matrices, and what the network asks for.

Prints JSON: ``flops`` (of the network, a second of music), ``rates`` (FLOP/s of matrix products).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable

import numpy as np

from bench.common import cores
from xumx.network.config import ModelConfig
from xumx.network.weights import parameter_shapes

_SIZE = 2048


def flops_per_second(config: ModelConfig) -> float:
    """Floating-point operations of the network's matrix products for one second of music.

    Every element of a matrix, those of the LSTM included, is multiplied and added once a frame.
    """
    shapes = parameter_shapes(config).items()
    elements = sum(math.prod(shape) for name, shape in shapes if name.endswith("/W") or "/weight" in name)
    per_frame = 2 * len(config.sources) * elements
    return per_frame * config.sample_rate / config.n_hop


def rate(multiply: Callable[[], object], seconds: float = 3.0) -> float:
    """Operations a second of a product of two square matrices, of the fastest within some seconds."""
    fastest, end = math.inf, time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        multiply()
        fastest = min(fastest, time.perf_counter() - began)
    return 2 * _SIZE**3 / fastest


def numpy_rate() -> float:
    """float32, NumPy's BLAS with its own choice of threads."""
    a, b = np.random.default_rng(0).standard_normal((2, _SIZE, _SIZE), np.float32)
    out = np.empty_like(a)
    return rate(lambda: np.matmul(a, b, out=out))


def onnxruntime_rate() -> float:
    """float32, ONNX Runtime on all cores, with one constant matrix, as in the network."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    a, b = np.random.default_rng(0).standard_normal((2, _SIZE, _SIZE), np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        "product",
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, a.shape)],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, a.shape)],
        [numpy_helper.from_array(b, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return rate(lambda: session.run(None, {"a": a}))


if __name__ == "__main__":
    rates = {"NumPy": numpy_rate(), "ONNX Runtime": onnxruntime_rate()}
    print(json.dumps({"flops": flops_per_second(ModelConfig()), "rates": rates}))
