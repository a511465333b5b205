"""A folded graph in 8 bits: LSTMs and all matrices but the first, each quantised on its own.

Weights of a column become unsigned bytes, q = round(w / s) + z, where ones with signs overflow on x86 without
VNNI. With values from a to b, 0 among them, s = (b - a) / 255 and z = round(-a / s); of LSTMs, whose z must
all be one, s = max |w| / 127 and z = 128. What meets the weights is quantised as it comes, by its own range.
The first matrix stays as it is, since it reads the spectrogram itself: eight bits do not span the range of a
spectrum, and the estimates would lose 15 dB.

``onnxruntime.quantization`` makes the same of it, and took 16 s for the published network, column by column,
where this takes one.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

_DOMAIN = "com.microsoft"
_LEAST = np.finfo(np.float32).tiny


def quantise(model: onnx.ModelProto, tensors: dict[str, np.ndarray]) -> None:
    """Turn a graph of :func:`xumx.engines.folding.build`, and its tensors with it, into one of 8 bits."""
    nodes: list[onnx.NodeProto] = []
    seen = False
    for node in model.graph.node:
        if node.op_type == "LSTM":
            nodes.append(_lstm(node, tensors))
        elif node.op_type == "MatMul" and seen:
            nodes += _product(node, tensors)
        else:
            nodes.append(node)
            seen = seen or node.op_type == "MatMul"
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    kinds = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.uint8): TensorProto.UINT8}
    model.graph.initializer.extend(
        TensorProto(name=name, data_type=kinds[tensor.dtype], dims=tensor.shape)
        for name, tensor in tensors.items()
    )
    model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))


def _product(node: onnx.NodeProto, tensors: dict[str, np.ndarray]) -> list[onnx.NodeProto]:
    """A MatMul by standard operators, which ONNX Runtime takes together again."""
    (x, weight), (y,) = node.input, node.output
    q, scale, zero = _bytes(weight, tensors.pop(weight), tensors)
    names = [f"{y}_{part}" for part in ("bytes", "scale", "zero", "sums", "float", "both")]
    return [
        helper.make_node("DynamicQuantizeLinear", [x], names[:3]),
        helper.make_node("MatMulInteger", [names[0], q, names[2], zero], [names[3]]),
        helper.make_node("Cast", [names[3]], [names[4]], to=TensorProto.FLOAT),
        helper.make_node("Mul", [names[1], scale], [names[5]]),
        helper.make_node("Mul", [names[4], names[5]], [y]),
    ]


def _lstm(node: onnx.NodeProto, tensors: dict[str, np.ndarray]) -> onnx.NodeProto:
    """ONNX Runtime's own operator; its matrices are (directions, inputs, gates), a scale a gate's cell."""
    x, from_input, from_state, bias, *state = node.input
    state = state or ["", "", ""]  # lengths, and of a stream its LSTMs' states
    matrices = [(name, tensors.pop(name).transpose(0, 2, 1)) for name in (from_input, from_state)]
    parts = [_bytes(name, matrix, tensors, middle=True) for name, matrix in matrices]
    inputs = [x, *(q for q, _, _ in parts), bias, *state, ""]
    inputs += [name for _, scale, zero in parts for name in (scale, zero)]
    attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    return helper.make_node("DynamicQuantizeLSTM", inputs, list(node.output), domain=_DOMAIN, **attributes)


def _bytes(
    name: str, matrix: np.ndarray, tensors: dict[str, np.ndarray], *, middle: bool = False
) -> tuple[str, str, str]:
    """Enter a matrix (..., inputs, columns) as bytes, with scale and zero of each column, under new names."""
    if middle:
        scale = np.abs(matrix).max(axis=-2) / 127
        zero = np.full_like(scale, 128)
    else:
        low, high = np.minimum(matrix.min(axis=-2), 0), np.maximum(matrix.max(axis=-2), 0)
        scale = (high - low) / 255
        zero = np.rint(-low / np.maximum(scale, _LEAST))
    scale = np.maximum(scale, _LEAST)
    q = np.rint(matrix / scale[..., None, :]) + zero[..., None, :]
    names = f"{name}_bytes", f"{name}_scale", f"{name}_zero"
    bytes_, zeros = (np.ascontiguousarray(np.clip(part, 0, 255), np.uint8) for part in (q, zero))
    tensors.update(zip(names, (bytes_, scale, zeros), strict=True))
    return names
