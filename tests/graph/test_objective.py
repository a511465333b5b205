"""From audio to the loss: against the golden graph, and the ways of computing spectra against each other."""

from __future__ import annotations

import h5py
import nnabla as nn
import numpy as np
import pytest

from tests.networks import DATA, random_weights, small_config
from xumx.engines.onnx import OnnxEngine
from xumx.graph import losses, model
from xumx.graph import objective as objective_module
from xumx.graph.inputs import Inputs
from xumx.graph.losses import resolution
from xumx.graph.losses.adversarial import create_discriminators
from xumx.graph.losses.features import frozen_encoders
from xumx.graph.objective import Objective, shortest
from xumx.graph.ops import cpu as cpu_ops
from xumx.graph.ops import stock as stock_ops
from xumx.network import weights
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
    targets = golden["target_audio"].reshape(2, 4, 2, -1).swapaxes(2, 3)
    objective = Objective(net.config, 2, targets.shape[2], ops, mcoef=10.0)
    objective.feed(targets.sum(axis=1), targets)
    assert objective.forward() == pytest.approx(float(golden["total_mcoef10"]), rel=2e-5)
    assert float(objective.terms["frequency"].d) == pytest.approx(float(golden["mse"]), rel=2e-5)
    assert float(objective.terms["time"].d) == pytest.approx(float(golden["sdr"]), rel=2e-5)


@pytest.mark.parametrize(
    "center, waveforms, more",
    [
        (True, True, False),
        (True, False, False),
        (False, False, False),
        (True, True, True),
        (False, False, True),
    ],
)
def test_spectra_by_numpy_equal_those_by_nnabla(center, waveforms, more):
    config = small_config(sources=("a", "b"), n_fft=64, n_hop=16, max_bin=20)
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(3, 2, 333, 2)).astype(np.float32)
    targets[1] = 0  # silence has a phase too
    mixture = targets.sum(axis=1) + rng.normal(size=(3, 1, 1)).astype(np.float32)
    found = []
    for by_nnabla in (False, True):
        flags = {"waveforms": waveforms, "agreements": more, "residual": more}
        inputs = Inputs(config, 3, 333, center=center, by_nnabla=by_nnabla, **flags)
        before = mixture.copy(), targets.copy()
        inputs.feed(mixture, targets)
        np.testing.assert_array_equal(mixture, before[0])
        np.testing.assert_array_equal(targets, before[1])
        variables = [inputs.mixture, *inputs.targets]
        if more:
            variables.append(inputs.residual)
            pairs = zip(inputs.targets, inputs.agreements, strict=True)
            variables += [target * agreement * inputs.mixture for target, agreement in pairs]
        if waveforms:
            # What phase says where there is (almost) nothing is of no meaning.
            variables += [inputs.mixture * inputs.cos, inputs.mixture * inputs.sin]
            variables += [*inputs.target_waveforms, inputs.residual_waveform]
        nn.forward_all(variables)
        found.append([v.d.copy() for v in variables])
    for numpy, nnabla in zip(*found, strict=True):
        np.testing.assert_allclose(numpy, nnabla, atol=1e-3)
    assert found[0][0].shape[0] == (21 if center else 17)
    if more:
        x, *y = (_complex(config, audio, center) for audio in (mixture, *targets.swapaxes(0, 1)))
        np.testing.assert_allclose(found[0][3], np.abs(x - sum(y)), atol=2e-5)
        for projection, target in zip(found[0][4:6], y, strict=True):
            np.testing.assert_allclose(projection, (target * x.conj()).real, atol=2e-4)
    if waveforms:
        total = sum(found[0][-3:])
        np.testing.assert_allclose(total, mixture.swapaxes(1, 2)[..., : total.shape[-1]], atol=1e-6)


def _complex(config, audio, center):
    """(batch, samples, channels) to (frames, batch, channels, bins)."""
    return np.stack([stft(a, config.n_fft, config.n_hop, center=center) for a in audio], 1)


ALL = [name for name, loss in losses.LOSSES.items() if not loss.compares]


@pytest.mark.parametrize("names", [None, ALL], ids=["default", "all"])
@pytest.mark.parametrize(
    "config",
    [small_config(), small_config(arch="umx", sources=("vocals",)), small_config(arch="joint")],
    ids=str,
)
def test_training_graphs_agree(config, names, monkeypatch):
    """Gradients of all parameters by our functions and by NNabla's; without dropout, which NNabla's lacks."""
    monkeypatch.setattr(resolution, "WINDOWS", (32, 64))
    net = random_weights(config)
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(2, len(config.sources), 1500, 2)).astype(np.float32)
    terms = losses.terms(dict.fromkeys(names, 1.0), 10.0) if names else None
    encoders = frozen_encoders(random_weights(config, seed=1), config, "it")
    found = []
    for ops in (cpu_ops, stock_ops):
        nn.clear_parameters()
        model.set_weights(net)
        create_discriminators(config, np.random.RandomState(0))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(model, "LSTM_DROPOUT", 0.0)
            objective = Objective(
                config, 2, 1500, ops, rng=np.random.default_rng(0), terms=terms, encoders=encoders
            )
        for parameter in nn.get_parameters().values():
            parameter.grad.zero()
        objective.feed(targets.sum(axis=1), targets)
        values = {"loss": objective.forward(), **objective.values()}
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
    targets = np.random.default_rng(0).normal(size=(2, 4, 2000, 2)).astype(np.float32)
    objective = Objective(net.config, 2, 2000, cpu_ops)
    objective.feed(targets.sum(axis=1), targets)

    def magnitude(audio):
        spectra = [stft(a, net.config.n_fft, net.config.n_hop) for a in audio]
        return np.abs(np.stack(spectra, axis=1))

    wanted = OnnxEngine(net)(magnitude(targets.sum(axis=1)).astype(np.float32))
    errors = [w - magnitude(targets[:, s]) for s, w in enumerate(wanted)]
    assert objective.forward() == pytest.approx(float(np.square(errors).mean()), rel=1e-5)
    assert objective.terms == {}


def test_the_time_domain_loss_has_its_weight():
    config = small_config()
    model.set_weights(random_weights(config))
    targets = np.random.default_rng(0).normal(size=(1, 4, 2000, 2)).astype(np.float32)
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
    targets = np.random.default_rng(0).normal(size=(1, 4, samples, 2)).astype(np.float32)
    for rng in (None, np.random.default_rng(0)):
        objective = Objective(config, 1, samples, cpu_ops, rng=rng)
        objective.feed(targets.sum(axis=1), targets)
        assert np.isfinite(objective.forward())


@pytest.mark.parametrize(
    "arch, loss, training, frames",
    [
        ("x-umx", None, True, 24),
        ("x-umx", None, False, 24),
        ("x-umx", "L1freq", True, 24),
        ("umx", None, True, 20),
        ("umx", None, False, 24),
        ("umx", "PSA", True, 20),
        ("umx", "L1time", True, 24),
        ("joint", None, True, 24),
        ("joint", None, False, 24),
    ],
)
def test_where_frames_stand(monkeypatch, arch, loss, training, frames):
    """UMX is trained on frames without padding, unless a waveform is needed; all else is centred."""
    config = small_config(arch=arch, sources=("a", "b"))
    model.set_weights(random_weights(config))
    seen = []
    estimates = objective_module.estimates

    def watched(magnitude, *args, **kwargs):
        seen.append(magnitude.shape)
        return estimates(magnitude, *args, **kwargs)

    monkeypatch.setattr(objective_module, "estimates", watched)
    terms = losses.terms({loss: 1.0}, 10.0) if loss else None
    Objective(config, 2, 1500, cpu_ops, rng=np.random.default_rng(0) if training else None, terms=terms)
    assert seen == [(frames, 2, 2, 129)]


@pytest.mark.parametrize("name", losses.LOSSES)
def test_only_what_the_loss_needs(name):
    """The domain in the registry decides what is computed."""
    config, loss = small_config(), losses.LOSSES[name]
    model.set_weights(random_weights(config))
    create_discriminators(config, np.random.RandomState(0))
    encoders = frozen_encoders(random_weights(config), config, "it")
    objective = Objective(config, 1, 800, cpu_ops, terms=losses.terms({name: 1.0}, 10.0), encoders=encoders)
    inputs = objective.inputs
    assert hasattr(inputs, "target_waveforms") == (loss.domain == "waveform")
    assert hasattr(inputs, "cos") == (loss.domain == "waveform" or "agreements" in loss.extras)
    assert hasattr(inputs, "residual") == ("residual" in loss.extras)
    functions = []
    objective.loss.visit(lambda f: functions.append(f.info.type_name))
    assert functions.count("Synthesis") == (4 if loss.domain == "waveform" else 0)
    assert objective.terms == {} and objective.values() == {}


def test_the_loss_is_the_weighted_sum_of_its_terms():
    config = small_config()
    model.set_weights(random_weights(config))
    weights = {"L1freq": 0.5, "L2mask": 1.0, "CombinationMultiDomain": 2.0, "SISDRtime": 0.25}
    objective = Objective(config, 1, 2000, cpu_ops, terms=losses.terms(weights, 3.0))
    targets = np.random.default_rng(0).normal(size=(1, 4, 2000, 2)).astype(np.float32)
    objective.feed(targets.sum(axis=1), targets)
    total, values = objective.forward(), objective.values()
    factors = {"L1freq": 0.5, "L2mask": 1, "time": 6, "frequency": 2, "SISDRtime": 0.25}
    assert list(values) == list(factors)
    assert total == pytest.approx(sum(factors[name] * values[name] for name in values), rel=1e-5)
    alone = Objective(config, 1, 2000, cpu_ops, terms=losses.terms({"L1freq": 1.0}, 3.0))
    alone.feed(targets.sum(axis=1), targets)
    assert alone.forward() == pytest.approx(values["L1freq"], rel=1e-5)


def test_masks_are_the_estimates_shares_of_the_mixture():
    config = small_config()
    model.set_weights(random_weights(config))
    x = nn.Variable.from_numpy_array(np.random.default_rng(0).uniform(1, 2, (9, 2, 2, 129)))
    magnitudes = model.estimates(x, config, cpu_ops)
    masks = model.estimates(x, config, cpu_ops, bare=True)
    nn.forward_all([*magnitudes, *masks])
    for magnitude, mask in zip(magnitudes, masks, strict=True):
        assert mask.d.any()
        np.testing.assert_allclose(magnitude.d, mask.d * x.d, rtol=1e-5)
