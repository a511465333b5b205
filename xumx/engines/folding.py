"""The network as an ONNX graph, folded from the weights.

Inference needs no batch norm: with a = gamma / sqrt(var + eps), BN(W·x) = (a W)·x + (beta - a mean), and
the shifts and scales around a matrix go into it the same way. So a source is tanh(A1 x + b1), an LSTM,
relu(A2 c + b2) and relu(A3 h + b3), with

    A1 = a1 W1 scale,  b1 = W1'·(mean scale) + beta1 - a1 mean1       (input mean and scale)
    A3 = scale a3 W3,  b3 = scale (beta3 - a3 mean3) + mean           (output mean and scale)

All sources read the same spectrogram, so that their A1 are one product. In X-UMX the sources meet in
c1 = mean e_s and c2 = [mean e_s, mean l_s] = [c1, mean l_s]: all A2 read the same c2 and are one product
again. In UMX each source keeps its own. A joint network has one of each, but for A3.

A graph for streams hands the state of its LSTMs in and out, so that frames can come one by one. All else
is of one frame.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from xumx.base.errors import XumxError
from xumx.engines.base import states
from xumx.network.weights import BN_EPS, Weights

_OPSET = 17
_IR_VERSION = 8


def build(weights: Weights, *, stream: bool = False) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """Build the folded graph and its tensors.

    Parameters
    ----------
    weights : Weights
    stream : bool
        Whether the graph has another input, ``before``, and another output, ``after``: the states of its
        LSTMs, (states, batch, LSTM size), 0 before the first frame. The network must be unidirectional.

    Returns
    -------
    model : onnx.ModelProto
        Input ``magnitude`` and outputs ``estimate0`` ... of each source, shaped as in
        :class:`xumx.engines.base.Engine`, with any number of frames and any batch. Its initializers are
        declared, their data is left outside.
    tensors : dict of arrays
        The data of the initializers, by name.
    """
    return _Graph(weights, stream).model()


def write(path: Path, model: onnx.ModelProto, tensors: dict[str, np.ndarray]) -> None:
    """Write the graph to ``path`` and its tensors to ``path`` + ``.data``.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    data = path.with_name(path.name + ".data")
    with open(data, "wb") as file:
        for declared in model.graph.initializer:
            # Maps start at pages.
            file.seek(-file.tell() % mmap.ALLOCATIONGRANULARITY, os.SEEK_CUR)
            place = {"location": data.name, "offset": file.tell(), "length": tensors[declared.name].nbytes}
            declared.data_location = TensorProto.EXTERNAL
            for key, value in place.items():
                declared.external_data.add(key=key, value=str(value))
            file.write(tensors[declared.name].data)
    path.write_bytes(model.SerializeToString())


def compute_in_half(model: onnx.ModelProto, tensors: dict[str, np.ndarray]) -> None:
    """Turn a graph that `build` made into one that computes in half precision, and its tensors with it.

    The first product stays in single precision, since the mean that is added to a spectrum cancels most of
    it; so does the last, of masks and mixture. All between is float16.

    Raises
    ------
    XumxError
        If a weight is beyond what float16 holds.
    """
    nodes: list[onnx.NodeProto] = []
    single: set[str] = set()
    half = False
    for node in model.graph.node:
        if node.op_type == "Mul":  # a mask with the mixture
            mask = node.input[0]
            node.input[0] = f"{mask}_single"
            nodes.append(helper.make_node("Cast", [mask], [node.input[0]], to=TensorProto.FLOAT))
        nodes.append(node)
        if not half:
            single.update(node.input)
        if node.op_type == "Tanh":
            (encoded,), half = node.output, True
            node.output[0] = f"{encoded}_single"
            nodes.append(helper.make_node("Cast", [node.output[0]], [encoded], to=TensorProto.FLOAT16))
    for declared in model.graph.initializer:
        if declared.name not in single:
            array = tensors[declared.name]
            if np.abs(array).max() > np.finfo(np.float16).max:
                raise XumxError("`precision` float16: the network has weights beyond 65504; use float32")
            declared.data_type = TensorProto.FLOAT16
            tensors[declared.name] = array.astype(np.float16)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


class _Graph:
    def __init__(self, weights: Weights, stream: bool) -> None:
        self.config = weights.config
        self.parameters = weights.parameters
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: dict[str, np.ndarray] = {}
        self.stream = stream
        self.before = [f"before{i}" for i in range(states(self.config) if stream else 0)]
        self.after: list[str] = []

    def model(self) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
        c = self.config
        axes: list[str | int | None] = ["frames", "batch", c.nb_channels, c.bins]
        crop = [self.integers(v) for v in ([0], [c.max_bin], [3])]
        low = self.node("Slice", "magnitude", *crop)
        x = self.node("Reshape", low, self.integers([0, 0, c.nb_channels * c.max_bin]))
        inputs = [helper.make_tensor_value_info("magnitude", TensorProto.FLOAT, axes)]
        if self.stream:
            self.nodes.append(helper.make_node("Split", ["before"], self.before, axis=0))
        if c.crossing:
            hidden = self.crossing(x)
        elif c.independent:
            hidden = self.parallel(x, c.sources)
        else:
            hidden = self.parallel(x, c.sources[:1]) * len(c.sources)
        outputs = []
        for index, (h, s) in enumerate(zip(hidden, c.sources, strict=True)):
            outputs.append(helper.make_tensor_value_info(f"estimate{index}", TensorProto.FLOAT, axes))
            self.nodes.append(helper.make_node("Mul", [self.mask(h, s), "magnitude"], [f"estimate{index}"]))
        if self.stream:
            kept: list[str | int | None] = [states(c), "batch", c.lstm_size]
            inputs.append(helper.make_tensor_value_info("before", TensorProto.FLOAT, kept))
            outputs.append(helper.make_tensor_value_info("after", TensorProto.FLOAT, kept))
            self.nodes.append(helper.make_node("Concat", self.after, ["after"], axis=0))
        graph = helper.make_graph(
            self.nodes,
            c.arch,
            inputs,
            outputs,
            [TensorProto(name=n, data_type=TensorProto.FLOAT, dims=t.shape) for n, t in self.tensors.items()],
        )
        opset = helper.make_opsetid("", _OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION), self.tensors

    def crossing(self, x: str) -> list[str]:
        """X-UMX: (frames, batch, features) to one hidden activation a source."""
        c = self.config
        encoded = self.encode(x, c.sources)
        mean_encoded = self.node("Mean", *encoded)
        mean_recurrent = self.node("Mean", *(self.lstm(mean_encoded, s) for s in c.sources))
        both = self.node("Concat", mean_encoded, mean_recurrent, axis=-1)
        a, b = zip(*(self.folded(s, "fc2") for s in c.sources), strict=True)
        hidden = self.node("Relu", self.dense(both, np.concatenate(a, axis=1), np.concatenate(b)))
        return self.by_source(hidden, len(c.sources))

    def parallel(self, x: str, sources: tuple[str, ...]) -> list[str]:
        """UMX: the same without averages, for some of the sources."""
        hidden = []
        for e, s in zip(self.encode(x, sources), sources, strict=True):
            both = self.node("Concat", e, self.lstm(e, s), axis=-1)
            hidden.append(self.node("Relu", self.dense(both, *self.folded(s, "fc2"))))
        return hidden

    def encode(self, x: str, sources: tuple[str, ...]) -> list[str]:
        """tanh(A1 x + b1) of some of the sources."""
        c = self.config
        matrices, biases = [], []
        for s in sources:
            p = self.parameters[s]
            a, b = self.folded(s, "fc1")
            a *= np.tile(p["input_scale"].astype(np.float64), c.nb_channels)[:, None]
            biases.append(b + np.tile(p["input_mean"].astype(np.float64), c.nb_channels) @ a)
            matrices.append(a)
        encoded = self.dense(x, np.concatenate(matrices, axis=1), np.concatenate(biases))
        return self.by_source(self.node("Tanh", encoded), len(sources))

    def mask(self, hidden: str, source: str) -> str:
        """relu(A3 h + b3): (frames, batch, channels, bins)."""
        c, p = self.config, self.parameters[source]
        a, b = self.folded(source, "fc3")
        scale = np.tile(p["output_scale"].astype(np.float64), c.nb_channels)
        a *= scale
        b = b * scale + np.tile(p["output_mean"], c.nb_channels)
        mask = self.node("Relu", self.dense(hidden, a, b))
        return self.node("Reshape", mask, self.integers([0, 0, c.nb_channels, c.bins]))

    def folded(self, source: str, layer: str) -> tuple[np.ndarray, np.ndarray]:
        """Matrix and bias, in float64, of an affine layer with its batch norm."""
        p = self.parameters[source]
        gamma, beta, mean, var = (
            p[f"{layer}/bn/{part}"].astype(np.float64).ravel() for part in ("gamma", "beta", "mean", "var")
        )
        a = gamma / np.sqrt(var + BN_EPS)
        return p[f"{layer}/affine/W"] * a, beta - a * mean

    def lstm(self, x: str, source: str) -> str:
        """Stacked LSTM, without initial state unless in a stream: (frames, batch, directions * lstm_size)."""
        c, p = self.config, self.parameters[source]
        for layer in range(c.nb_layers):
            w = p["lstm/lstm/weight_l0"] if layer == 0 else p["lstm/lstm/weight"][layer - 1]
            # NNabla orders the gates input, forget, cell, output; ONNX input, output, forget, cell.
            w = w[:, [0, 3, 1, 2]].reshape(c.directions, 4 * c.lstm_size, -1)
            bias = p["lstm/lstm/bias"][layer][:, [0, 3, 1, 2]].reshape(c.directions, -1)
            from_input, from_state = np.split(w, [w.shape[2] - c.lstm_size], axis=2)
            y = self.node(
                "LSTM",
                x,
                self.tensor(from_input),
                self.tensor(from_state),
                self.tensor(np.concatenate([bias, np.zeros_like(bias)], axis=1)),
                *self.state(),
                hidden_size=c.lstm_size,
                direction="forward" if c.unidirectional else "bidirectional",
            )
            if self.stream:
                self.nodes[-1].output.extend(self.after[-2:])
            y = self.node("Transpose", y, perm=[0, 2, 1, 3])
            x = self.node("Reshape", y, self.integers([0, 0, c.directions * c.lstm_size]))
        return x

    def state(self) -> list[str]:
        """Name the next LSTM's inputs of its state, behind that of lengths; nothing if not in a stream."""
        at = len(self.after)
        if not self.stream:
            return []
        self.after += [f"after{at}", f"after{at + 1}"]
        return ["", *self.before[at : at + 2]]

    def by_source(self, x: str, count: int) -> list[str]:
        """Side-by-side features of sources to one tensor a source."""
        names = [f"source{len(self.nodes)}_{s}" for s in range(count)]
        self.nodes.append(helper.make_node("Split", [x], names, axis=-1))
        return names

    def dense(self, x: str, a: np.ndarray, b: np.ndarray) -> str:
        return self.node("Add", self.node("MatMul", x, self.tensor(a)), self.tensor(b))

    def tensor(self, array: np.ndarray) -> str:
        name = f"tensor{len(self.tensors)}"
        self.tensors[name] = np.ascontiguousarray(array, np.float32)
        return name

    def integers(self, values: list[int]) -> str:
        name = f"integers{len(self.nodes)}"
        self.nodes.append(helper.make_node("Constant", [], [name], value_ints=values))
        return name

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name
