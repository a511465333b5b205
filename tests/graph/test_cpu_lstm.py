"""What sets the LSTM apart: saturation, dropout, inference, threads, memory; its values: test_cpu_ops."""

from __future__ import annotations

import gc
import importlib
import resource
from pathlib import Path

import nnabla as nn
import numpy as np
import pytest

from tests.graph.variables import assert_close, run, variable
from xumx.graph.ops import cpu as cpu_ops
from xumx.graph.ops import stock as stock_ops


def lstm_inputs(
    rng: np.random.RandomState, *, frames: int, batch: int, size: int, hidden: int, layers: int
) -> list[nn.Variable]:
    """Input and parameters of a bidirectional LSTM."""
    shapes = [(frames, batch, size), (2, 4, hidden, size + hidden)]
    if layers > 1:
        shapes.append((layers - 1, 2, 4, hidden, 3 * hidden))
    return [variable(rng, *shape) for shape in (*shapes, (layers, 2, 4, hidden))]


def test_saturated_gates():
    """Far out on the sigmoid and on tanh nothing overflows."""
    rng = np.random.RandomState(0)
    inputs = lstm_inputs(rng, frames=6, batch=3, size=5, hidden=19, layers=2)
    for v in inputs:
        v.d = 1e4 * v.d
    generator = np.random.default_rng(0)
    y, wanted = cpu_ops.lstm(*inputs, rng=generator), stock_ops.lstm(*inputs, rng=generator)
    wanted.forward()
    found = run(y, inputs, np.ones(y.shape, np.float32))
    assert_close(found[:1], [wanted.d], 1e-5, "saturated")
    assert all(np.isfinite(a).all() for a in found)


def test_rows_and_columns_that_fill_no_tile():
    """Four rows and one that is left, and a second tile of columns that is filled up with zeros."""
    inputs = lstm_inputs(np.random.RandomState(1), frames=3, batch=5, size=3, hidden=67, layers=1)
    dy = np.random.RandomState(2).randn(3, 5, 2 * 67).astype(np.float32)
    for v in inputs[1:]:
        v.d = v.d * 0.2
    first, bias = inputs[1], inputs[-1]
    found, wanted = (
        run(ops.lstm(inputs[0], first, None, bias, rng=np.random.default_rng(0)), inputs, dy)
        for ops in (cpu_ops, stock_ops)
    )
    assert_close(found, wanted, 1e-5, "tiles")


def dropout_lstm(
    seed: int, dropout: float = 0.4
) -> tuple[nn.Variable, np.random.Generator, list[nn.Variable]]:
    inputs = lstm_inputs(np.random.RandomState(5), frames=20, batch=8, size=6, hidden=32, layers=2)
    for v in inputs[1:]:
        v.d = v.d * 0.2  # so that it is no chaotic system, in which differences say nothing
    generator = np.random.default_rng(seed)
    return cpu_ops.lstm(*inputs, dropout=dropout, rng=generator), generator, inputs


def test_dropout_is_a_function_of_the_random_state():
    y, generator, inputs = dropout_lstm(1)
    state, dy = generator.bit_generator.state, np.ones(y.shape, np.float32)
    first, second = run(y, inputs, dy), run(y, inputs, dy)
    assert not np.array_equal(first[0], second[0]), "the second step drew the same dropout"
    generator.bit_generator.state = state
    for a, b in zip(first, run(y, inputs, dy), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], run(dropout_lstm(2)[0], [], dy)[0])


def test_dropout_lies_between_layers():
    """It leaves the last layer's outputs alone, and zeroes its share of the inputs of the one before."""
    x, first, bias = lstm_inputs(np.random.RandomState(0), frames=5, batch=2, size=3, hidden=8, layers=1)
    y = cpu_ops.lstm(x, first, None, bias, dropout=0.4, rng=np.random.default_rng(1))
    plain = cpu_ops.lstm(x, first, None, bias, rng=np.random.default_rng(1))
    nn.forward_all([y, plain])
    np.testing.assert_array_equal(y.d, plain.d)

    # The second layer as an integrator of its input: weight 1 into z of its one unit, gates open.
    hidden, frames, batch = 64, 50, 40
    first, others = nn.Variable((1, 4, hidden, 1 + hidden)), nn.Variable((1, 1, 4, hidden, 2 * hidden))
    bias, x = nn.Variable((2, 1, 4, hidden)), nn.Variable((frames, batch, 1))
    for v in (first, others, x):
        v.d = 0
    b = np.zeros(bias.shape, np.float32)
    b[:, :, 0], b[:, :, 3] = 20, 20  # input and output gates open
    b[:, :, 1] = -20  # no memory
    b[0, :, 2] = 0.02  # each unit of the first layer puts out tanh(tanh(0.02))
    bias.d = b
    w = np.zeros(others.shape, np.float32)
    w[0, 0, 2, :, :hidden] = np.eye(hidden)
    others.d = w
    y = cpu_ops.lstm(x, first, others, bias, dropout=0.4, rng=np.random.default_rng(0))
    y.forward()
    kept = y.d > 0.01
    np.testing.assert_allclose(y.d[kept], 0.02 / 0.6, rtol=1e-2)
    np.testing.assert_allclose(y.d[~kept], 0, atol=1e-5)
    assert kept.mean() == pytest.approx(0.6, abs=0.01)


def test_dropout_gradient():
    """With the same draw, the change of the output agrees with the gradient."""
    y, generator, inputs = dropout_lstm(3)
    state, rng = generator.bit_generator.state, np.random.RandomState(0)
    dy = rng.randn(*y.shape).astype(np.float32)
    gradients = run(y, inputs, dy)[1:]
    for v, gradient in zip(inputs, gradients, strict=True):
        values, direction, sums = v.d.copy(), rng.randn(*v.shape).astype(np.float32), []
        for sign in (1, -1):
            v.d = values + sign * 1e-3 * direction
            generator.bit_generator.state = state
            y.forward()
            sums.append(np.vdot(y.d.astype(np.float64), dy))
        v.d = values
        analytic = np.vdot(gradient.astype(np.float64), direction)
        tolerance = 2e-2 * float(np.linalg.norm(gradient))
        assert (sums[0] - sums[1]) / 2e-3 == pytest.approx(analytic, abs=tolerance)


def test_lstm_for_inference():
    """Without a generator: the same outputs, no dropout, and a backward is an error, not a wrong gradient."""
    y, _, inputs = dropout_lstm(1, dropout=0.0)
    inference = cpu_ops.lstm(*inputs, dropout=0.4)
    nn.forward_all([y, inference])
    np.testing.assert_array_equal(y.d, inference.d)
    with pytest.raises(SystemError) as error:
        inference.backward()
    assert "random generator" in str(error.value.__cause__)
    with pytest.raises(ValueError, match=r"dropout.*1\.0"):
        cpu_ops.lstm(*inputs, dropout=1.0)


def test_result_does_not_depend_on_threads(monkeypatch):
    # The name is the function's in the package.
    modules = [importlib.import_module(f"xumx.graph.ops.cpu.{name}") for name in ("lstm", "base")]
    results = []
    for threads in (1, 2, 7):
        for module in modules:
            monkeypatch.setattr(module, "THREADS", threads)
        modules[1]._pool.cache_clear()
        inputs = lstm_inputs(np.random.RandomState(0), frames=9, batch=5, size=7, hidden=19, layers=3)
        y = cpu_ops.lstm(*inputs, rng=np.random.default_rng(0))
        results.append(run(y, inputs, np.ones(y.shape, np.float32)))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_no_memory_is_leaked():
    """Neither by steps of one graph nor by graphs that come and go."""
    inputs = lstm_inputs(np.random.RandomState(0), frames=50, batch=8, size=64, hidden=64, layers=2)
    dy = np.ones((50, 8, 128), np.float32)

    def graph() -> nn.Variable:
        return cpu_ops.lstm(*inputs, dropout=0.5, rng=np.random.default_rng(0))

    y = graph()
    sizes = []
    for _ in range(4):
        for _ in range(8):
            run(y, inputs, dy)
            run(graph(), inputs, dy)  # 4 MB of buffers each: 64 MB in 16 graphs
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        sizes.append(pages * resource.getpagesize() / 1e6)
    assert sizes[3] - sizes[1] < 30, f"resident memory in MB after 8, 16, 24 and 32 graphs: {sizes}"
