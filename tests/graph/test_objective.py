"""From audio to the loss: against the golden graph, and the ways of computing spectra against each other."""

from __future__ import annotations

import h5py
import nnabla as nn
import numpy as np
import pytest

from tests.networks import DATA, random_weights, small_config
from xumx import weights
from xumx.engines.onnx import OnnxEngine
from xumx.graph import cpu_ops, model, stock_ops
from xumx.graph import objective as objective_module
from xumx.graph.inputs import Inputs
from xumx.graph.objective import Objective, shortest
from xumx.signal.stft import stft


@pytest.fixture(autouse=True)
def fresh_scope():
    nn.clear_parameters()
    yield
    nn.clear_parameters()


@pytest.mark.parametrize("ops", [cpu_ops, stock_ops], ids=["cpu", "stock"])
def test_golden_validation_loss(ops):
    net = weights.load(DATA / "x-umx.h5")
    model.set_weights(net)
    with h5py.File(DATA / "losses.h5") as file:
        golden = {name: node[()] for name, node in file["loss"].items()}
    targets = golden["target_audio"].reshape(2, 4, 2, -1)
    objective = Objective(net.config, 2, targets.shape[-1], ops, mcoef=10.0)
    objective.feed(targets.sum(axis=1), targets)
    assert objective.forward() == pytest.approx(float(golden["total_mcoef10"]), rel=2e-5)
    assert float(objective.terms["frequency"].d) == pytest.approx(float(golden["mse"]), rel=2e-5)
    assert float(objective.terms["time"].d) == pytest.approx(float(golden["sdr"]), rel=2e-5)


@pytest.mark.parametrize("center, waveforms", [(True, True), (True, False), (False, False)])
def test_spectra_by_numpy_equal_those_by_nnabla(center, waveforms):
    config = small_config(sources=("a", "b"), n_fft=64, n_hop=16, max_bin=20)
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(3, 2, 2, 333)).astype(np.float32)
    targets[1] = 0  # silence has a phase too
    mixture = targets.sum(axis=1) + rng.normal(size=(3, 1, 1)).astype(np.float32)
    found = []
    for by_nnabla in (False, True):
        inputs = Inputs(config, 3, 333, center=center, waveforms=waveforms, by_nnabla=by_nnabla)
        before = mixture.copy(), targets.copy()
        inputs.feed(mixture, targets)
        np.testing.assert_array_equal(mixture, before[0])
        np.testing.assert_array_equal(targets, before[1])
        variables = [inputs.mixture, *inputs.targets]
        if waveforms:
            # What phase says where there is (almost) nothing is of no meaning.
            variables += [inputs.mixture * inputs.cos, inputs.mixture * inputs.sin]
            variables += [*inputs.target_waveforms, inputs.residual_waveform]
        nn.forward_all(variables)
        found.append([v.d.copy() for v in variables])
    for numpy, nnabla in zip(*found, strict=True):
        np.testing.assert_allclose(numpy, nnabla, atol=2e-4)
    assert found[0][0].shape[0] == (21 if center else 17)
    if waveforms:
        total = sum(found[0][-3:])
        np.testing.assert_allclose(total, mixture[..., : total.shape[-1]], atol=1e-6)


@pytest.mark.parametrize(
    "config",
    [small_config(), small_config(arch="umx", sources=("vocals",)), small_config(arch="joint")],
    ids=str,
)
def test_training_graphs_agree(config):
    """Gradients of all parameters by our functions and by NNabla's; without dropout, which NNabla's lacks."""
    net = random_weights(config)
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(2, len(config.sources), 2, 1500)).astype(np.float32)
    found = []
    for ops in (cpu_ops, stock_ops):
        nn.clear_parameters()
        model.set_weights(net)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(model, "LSTM_DROPOUT", 0.0)
            objective = Objective(config, 2, 1500, ops, rng=np.random.default_rng(0))
        for parameter in nn.get_parameters().values():
            parameter.grad.zero()
        objective.feed(targets.sum(axis=1), targets)
        values = {"loss": objective.forward()}
        objective.loss.backward(clear_buffer=True)
        values |= {name: p.g.copy() for name, p in nn.get_parameters().items()}
        values |= {
            name: p.d.copy() for name, p in nn.get_parameters(grad_only=False).items() if "bn/" in name
        }
        found.append(values)
    for name, ours in found[0].items():
        peak = np.abs(found[1][name]).max()
        # Batch norm takes out what input_mean adds: its gradient is nothing but rounding.
        assert np.abs(ours - found[1][name]).max() <= 1e-3 * peak + 1e-4, name


def test_a_joint_network_learns_the_squared_error():
    """Against magnitudes by the engine and spectra by NumPy."""
    net = random_weights(small_config(arch="joint"))
    model.set_weights(net)
    targets = np.random.default_rng(0).normal(size=(2, 4, 2, 2000)).astype(np.float32)
    objective = Objective(net.config, 2, 2000, cpu_ops)
    objective.feed(targets.sum(axis=1), targets)

    def magnitude(audio):
        spectra = [stft(a.T, net.config.n_fft, net.config.n_hop) for a in audio]
        return np.abs(np.stack(spectra, axis=1)).swapaxes(2, 3)

    wanted = OnnxEngine(net)(magnitude(targets.sum(axis=1)).astype(np.float32))
    errors = [w - magnitude(targets[:, s]) for s, w in enumerate(wanted)]
    assert objective.forward() == pytest.approx(float(np.square(errors).mean()), rel=1e-5)
    assert objective.terms == {}


def test_the_time_domain_loss_has_its_weight():
    config = small_config()
    model.set_weights(random_weights(config))
    targets = np.random.default_rng(0).normal(size=(1, 4, 2, 2000)).astype(np.float32)
    values = []
    for mcoef in (0.0, 3.0):
        objective = Objective(config, 1, 2000, cpu_ops, mcoef=mcoef)
        objective.feed(targets.sum(axis=1), targets)
        values.append(objective.forward())
    assert values[1] - values[0] == pytest.approx(3 * float(objective.terms["time"].d), rel=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        small_config(),
        small_config(n_fft=1024, n_hop=512),
        small_config(arch="umx"),
        small_config(arch="joint"),
    ],
)
def test_the_shortest_audio_has_a_loss(config):
    model.set_weights(random_weights(config))
    samples = shortest(config)
    targets = np.random.default_rng(0).normal(size=(1, 4, 2, samples)).astype(np.float32)
    for rng in (None, np.random.default_rng(0)):
        objective = Objective(config, 1, samples, cpu_ops, rng=rng)
        objective.feed(targets.sum(axis=1), targets)
        assert np.isfinite(objective.forward())


@pytest.mark.parametrize(
    "arch, training, frames",
    [
        ("x-umx", True, 24),
        ("x-umx", False, 24),
        ("umx", True, 20),
        ("umx", False, 24),
        ("joint", True, 24),
        ("joint", False, 24),
    ],
)
def test_where_frames_stand(monkeypatch, arch, training, frames):
    """UMX is trained on frames without padding; all else is centred."""
    config = small_config(arch=arch, sources=("a", "b"))
    model.set_weights(random_weights(config))
    seen = []
    estimates = objective_module.estimates

    def watched(magnitude, *args, **kwargs):
        seen.append(magnitude.shape)
        return estimates(magnitude, *args, **kwargs)

    monkeypatch.setattr(objective_module, "estimates", watched)
    Objective(config, 2, 1500, cpu_ops, rng=np.random.default_rng(0) if training else None)
    assert seen == [(frames, 2, 2, 129)]
