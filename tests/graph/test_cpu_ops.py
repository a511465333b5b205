"""The own CPU functions against NNabla's own, against numeric differences, and in all of a graph's modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nnabla as nn
import nnabla.functions as F
import numpy as np
import pytest

from tests.graph.variables import assert_close, run, variable
from xumx.graph.ops import cpu as cpu_ops
from xumx.graph.ops import stock as stock_ops

Case = Callable[[np.random.RandomState], tuple[Callable[[Any], nn.Variable], list[nn.Variable]]]


def affine_case(rng):
    x, w = variable(rng, *rng.randint(1, 6, 2), 7), variable(rng, 7, rng.randint(1, 9))
    return lambda ops: ops.affine(x, w), [x, w]


def normalized_affine_case(rng):
    channels, bins, crop = rng.randint(1, 4), 9, rng.randint(1, 10)
    x = variable(rng, *rng.randint(1, 6, 2), channels, bins)
    mean, scale, w = variable(rng, crop), variable(rng, crop), variable(rng, channels * crop, 5)
    return lambda ops: ops.normalized_affine(x, mean, scale, w), [x, mean, scale, w]


def norm_variables(rng, columns):
    trained = [variable(rng, 1, 1, columns) for _ in range(2)]
    return trained, [variable(rng, 1, 1, columns, positive=True, need_grad=False) for _ in range(2)]


def batch_norm_case(rng, activation, batch_stat):
    columns = rng.choice([1, 5, 700])
    x = variable(rng, *rng.randint(2, 6, 2), columns)
    trained, running = norm_variables(rng, columns)
    kwargs = {"activation": activation, "batch_stat": batch_stat}
    return lambda ops: ops.batch_norm(x, *trained, *running, **kwargs), [x, *trained]


def mask_case(rng, batch_stat):
    frames, batch, channels, bins = (
        rng.randint(2, 6),
        rng.randint(2, 6),
        rng.randint(1, 4),
        rng.choice([1, 5, 300]),
    )
    x = variable(rng, frames, batch, channels * bins)
    trained, running = norm_variables(rng, channels * bins)
    scale, offset = variable(rng, bins), variable(rng, bins)
    mixture = variable(rng, frames, batch, channels, bins, positive=True)
    args = x, *trained, *running, scale, offset, mixture
    return lambda ops: ops.mask(*args, batch_stat=batch_stat), [x, *trained, scale, offset]


def lstm_case(rng, layers, directions):
    frames, batch, size = rng.randint(1, 8), rng.randint(1, 5), rng.randint(1, 7)
    hidden = rng.choice([1, 3, 8, 19])
    x = variable(rng, frames, batch, size)
    first = variable(rng, directions, 4, hidden, size + hidden)
    shape = (layers - 1, directions, 4, hidden, directions * hidden + hidden)
    others = variable(rng, *shape) if layers > 1 else None
    bias = variable(rng, layers, directions, 4, hidden)
    generator = np.random.default_rng(0)
    inputs = [v for v in (x, first, others, bias) if v is not None]
    return lambda ops: ops.lstm(x, first, others, bias, rng=generator), inputs


def synthesis_case(rng, n_fft, n_hop):
    shape = (rng.randint(2, 8), *rng.randint(1, 4, 2), n_fft // 2 + 1)
    magnitude, real, imag = (variable(rng, *shape) for _ in range(3))
    return lambda ops: ops.synthesis(magnitude, real, imag, n_fft=n_fft, n_hop=n_hop), [magnitude]


def gram_case(rng, trim):
    shape = (*rng.randint(1, 4, 2), rng.choice([11, 1500]))
    signals = [variable(rng, *shape) for _ in range(3)]
    return lambda ops: ops.gram(signals, trim=trim), signals


def error_gram_case(rng):
    shape = (rng.choice([1, 50]), *rng.randint(1, 9, 3))
    estimates, targets = ([variable(rng, *shape) for _ in range(3)] for _ in range(2))
    return lambda ops: ops.error_gram(estimates, targets), estimates


def spectral_distance_case(rng, n_fft, n_hop):
    shape = (*rng.randint(1, 4, 2), rng.choice([n_fft // 3, 5 * n_fft]))
    estimate, target = (variable(rng, *shape) for _ in range(2))
    # So high a floor that no value is so faint that rounding decides its gradient.
    size = {"n_fft": n_fft, "n_hop": n_hop, "floor": 1.0}
    return lambda ops: ops.spectral_distance(estimate, target, **size), [estimate]


CASES: dict[str, Case] = {
    "affine": affine_case,
    "normalized_affine": normalized_affine_case,
    "batch_norm-tanh": lambda rng: batch_norm_case(rng, "tanh", True),
    "batch_norm-relu": lambda rng: batch_norm_case(rng, "relu", True),
    "batch_norm-running": lambda rng: batch_norm_case(rng, "tanh", False),
    "mask": lambda rng: mask_case(rng, True),
    "mask-running": lambda rng: mask_case(rng, False),
    "lstm-1-1": lambda rng: lstm_case(rng, 1, 1),
    "lstm-1-2": lambda rng: lstm_case(rng, 1, 2),
    "lstm-2-1": lambda rng: lstm_case(rng, 2, 1),
    "lstm-3-2": lambda rng: lstm_case(rng, 3, 2),
    "synthesis": lambda rng: synthesis_case(rng, 16, 4),
    "synthesis-half": lambda rng: synthesis_case(rng, 12, 6),
    "gram": lambda rng: gram_case(rng, 0),
    "gram-trim": lambda rng: gram_case(rng, 2),
    "error_gram": error_gram_case,
    "spectral_distance": lambda rng: spectral_distance_case(rng, 32, 8),
    "spectral_distance-half": lambda rng: spectral_distance_case(rng, 12, 6),
}

cases = pytest.mark.parametrize("name", CASES)


def case(name: str, seed: int = 0):
    rng = np.random.RandomState(seed)
    build, inputs = CASES[name](rng)
    y = build(cpu_ops)
    return rng, build, inputs, y, rng.randn(*y.shape).astype(np.float32)


@cases
@pytest.mark.parametrize("seed", range(5))
def test_equals_nnabla(name, seed):
    _, build, inputs, y, dy = case(name, seed)
    what = f"{name}, seed {seed}, shapes {[v.shape for v in inputs]}"
    assert_close(run(y, inputs, dy), run(build(stock_ops), inputs, dy), 3e-5, what)


@cases
def test_numeric_gradient(name):
    """Along a random direction, the change of the output agrees with the gradient."""
    rng, _, inputs, y, dy = case(name, seed=11)
    gradients = run(y, inputs, dy)[1:]
    for i, (v, gradient) in enumerate(zip(inputs, gradients, strict=True)):
        values, direction = v.d.copy(), rng.randn(*v.shape).astype(np.float32)
        sums, step = [], 2e-3
        for sign in (1, -1):
            v.d = values + sign * step * direction
            y.forward()
            sums.append(np.vdot(y.d.astype(np.float64), dy))
        v.d = values
        numeric, analytic = (sums[0] - sums[1]) / (2 * step), np.vdot(gradient.astype(np.float64), direction)
        scale = np.linalg.norm(gradient) * np.linalg.norm(direction) / np.sqrt(direction.size)
        assert abs(numeric - analytic) < 2e-2 * scale, f"{name}, input {i}: {numeric}, not {analytic}"


@cases
def test_inputs_are_left_alone_and_runs_repeat(name):
    _, _, inputs, y, dy = case(name)
    before = [v.d.copy() for v in inputs]
    first = run(y, inputs, dy)
    for v, values in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(v.d, values)
    for a, b in zip(first, run(y, inputs, dy), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)


@cases
def test_new_data_in_an_old_graph(name):
    rng, build, inputs, y, dy = case(name)
    run(y, inputs, dy)
    for v in inputs:
        v.d = rng.randn(*v.shape)
    assert_close(run(y, inputs, dy), run(build(cpu_ops), inputs, dy), 1e-6, name)


@cases
def test_gradients_accumulate(name):
    _, build, inputs, y, dy = case(name)
    once = run(y, inputs, dy)[1:]
    both = F.add2(y, build(cpu_ops))  # every input is used twice
    assert_close(run(both, inputs, dy)[1:], [2 * g for g in once], 1e-5, f"{name}, inputs used twice")
    y.backward(nn.NdArray.from_numpy_array(dy))
    assert_close([v.g for v in inputs], [3 * g for g in once], 1e-5, f"{name}, backward without zero_grad")


@cases
def test_only_the_wanted_gradients(name):
    """Each input alone, the others without gradient; NNabla wants both or neither of beta and gamma."""
    _, build, inputs, y, dy = case(name)
    wanted = run(y, inputs, dy)[1:]
    for i, v in enumerate(inputs):
        for other in inputs:
            other.need_grad = other is v
            other.g = 5.0
        y = build(cpu_ops)
        y.forward()
        v.grad.zero()
        y.backward(nn.NdArray.from_numpy_array(dy))
        assert_close([v.g], [wanted[i]], 1e-5, f"{name}, input {i} alone")
        others = [o for o in inputs if o is not v]
        assert all((o.g == 5).all() for o in others), f"{name}: a gradient that nobody asked for"


@cases
def test_memory_saving_modes(name):
    """Between other functions, with the buffers cleared that NNabla thinks nobody needs any more."""
    _, build, inputs, _, _ = case(name)

    def graph():
        return F.mean(F.sin(build(cpu_ops)) ** 2)

    results = []
    for clear in (False, True):
        loss = graph()
        for v in inputs:
            v.grad.zero()
        loss.forward(clear_no_need_grad=clear)
        loss.backward(clear_buffer=clear)
        results.append([loss.d.copy(), *(v.g.copy() for v in inputs)])
    assert_close(results[1], results[0], 1e-6, name)
    loss = graph()
    loss.forward(clear_buffer=True)
    assert loss.d == pytest.approx(results[0][0], rel=1e-6)


def test_a_whole_network():
    """From magnitude by encoder, LSTM, mask and waveform to a loss: functions that feed each other."""
    rng = np.random.RandomState(0)
    frames, batch, channels, n_fft, hidden = 6, 2, 2, 16, 8
    bins = n_fft // 2 + 1
    x = variable(rng, frames, batch, channels, bins, positive=True, need_grad=False)
    w1, w3 = variable(rng, channels * 5, hidden), variable(rng, hidden, channels * bins)
    mean, scale, out_scale, out_mean = (variable(rng, n) for n in (5, 5, bins, bins))
    first, others = variable(rng, 2, 4, 4, hidden + 4), variable(rng, 1, 2, 4, 4, 12)
    bias, target = variable(rng, 2, 2, 4, 4), variable(rng, frames, batch, channels, bins, need_grad=False)
    bn1, running1 = norm_variables(rng, hidden)
    bn3, running3 = norm_variables(rng, channels * bins)
    inputs = [w1, w3, mean, scale, out_scale, out_mean, first, others, bias, *bn1, *bn3]

    def loss(ops):
        e = ops.normalized_affine(x, mean, scale, w1)
        e = ops.batch_norm(e, *bn1, *running1, activation="tanh", batch_stat=True)
        y = ops.lstm(e, first, others, bias, rng=np.random.default_rng(0)) + e
        y = ops.mask(ops.affine(y, w3), *bn3, *running3, out_scale, out_mean, x, batch_stat=True)
        wave = ops.synthesis(y, x, target, n_fft=n_fft, n_hop=4)
        errors = ops.error_gram([y, 2 * y, y + x], [target] * 3)
        return F.sum(errors) + 0.1 * F.sum(ops.gram([wave, wave * wave, wave], trim=3))

    results = []
    for ops in (stock_ops, cpu_ops):
        total = loss(ops)
        for v in inputs:
            v.grad.zero()
        total.forward(clear_no_need_grad=True)
        total.backward(clear_buffer=True)
        results.append([total.d.copy(), *(v.g.copy() for v in inputs)])
    # Batch norm takes out what input_mean adds: its gradient is zero but for the rounding of sums of
    # gradients of about 1, hence the floor.
    assert_close(results[1], results[0], 1e-4, "network", floor=1)


def test_nothing_left_between_the_trimmed_ends_is_an_error():
    with pytest.raises(ValueError, match="4 samples are too few to leave out 2"):
        cpu_ops.gram([nn.Variable((1, 1, 4))], trim=2)


@pytest.mark.parametrize("ops", [cpu_ops, stock_ops], ids=["cpu", "stock"])
def test_running_statistics(ops):
    """Both move by a tenth towards the batch's mean and its unbiased variance."""
    rng = np.random.RandomState(3)
    x, (trained, (mean, var)) = variable(rng, 3, 4, 700), norm_variables(rng, 700)
    mean_before, var_before = mean.d.copy(), var.d.copy()
    ops.batch_norm(x, *trained, mean, var, activation="relu", batch_stat=True).forward()
    rows = x.d.reshape(12, 700)
    np.testing.assert_allclose(mean.d.ravel(), 0.9 * mean_before.ravel() + 0.1 * rows.mean(0), atol=1e-6)
    np.testing.assert_allclose(var.d.ravel(), 0.9 * var_before.ravel() + 0.1 * rows.var(0, ddof=1), rtol=1e-5)
    ops.batch_norm(x, *trained, mean, var, activation="relu", batch_stat=False).forward()
    assert var.d.ravel() == pytest.approx(0.9 * var_before.ravel() + 0.1 * rows.var(0, ddof=1), rel=1e-5)


def test_constant_column_is_finite():
    rng = np.random.RandomState(0)
    x, (trained, running) = variable(rng, 3, 4, 5), norm_variables(rng, 5)
    x.d = np.full(x.shape, 1e4)
    y = cpu_ops.batch_norm(x, *trained, *running, activation="tanh", batch_stat=True)
    assert all(np.isfinite(a).all() for a in run(y, [x, *trained], np.ones(y.shape, np.float32)))


@pytest.mark.parametrize("name", [n for n in CASES if not n.startswith("gram")])
def test_nan_is_not_swallowed(name):
    _, _, inputs, y, _ = case(name)
    values = inputs[0].d.copy()
    values.ravel()[0] = np.nan
    inputs[0].d = values
    y.forward()
    assert np.isnan(y.d).any()


def test_synthesis_inverts_the_transform():
    """Magnitude and phase of a real signal's STFT give the signal back."""
    rng = np.random.RandomState(0)
    signal, n_fft, n_hop = rng.randn(2, 3, 40 * 64).astype(np.float32), 256, 64
    padded = np.pad(signal, ((0, 0), (0, 0), (n_fft // 2, n_fft // 2)), mode="reflect")
    window = np.hanning(n_fft + 1)[:-1]
    frames = np.stack([padded[..., t : t + n_fft] for t in range(0, signal.shape[2] + 1, n_hop)])
    spectrum = np.fft.rfft(frames * window)
    parts = abs(spectrum), np.cos(np.angle(spectrum)), np.sin(np.angle(spectrum))
    inputs = [nn.Variable.from_numpy_array(p.astype(np.float32)) for p in parts]
    y = cpu_ops.synthesis(*inputs, n_fft=n_fft, n_hop=n_hop)
    y.forward()
    assert abs(y.d - signal).max() < 1e-5
