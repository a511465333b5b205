import dataclasses

import nnabla as nn
import nnabla.functions as F
import numpy as np
import pytest

from tests.networks import random_weights, small_config
from xumx.graph import model
from xumx.graph.ops import cpu as cpu_ops
from xumx.graph.ops import stock as stock_ops
from xumx.network import weights


@pytest.fixture(autouse=True)
def fresh_scope():
    nn.clear_parameters()
    yield
    nn.clear_parameters()


@pytest.mark.parametrize("arch, count", [("x-umx", 4 * 22), ("joint", 17 + 4 * 5)])
def test_nnabla_reads_what_we_save(tmp_path, arch, count):
    saved = random_weights(small_config(arch=arch))
    weights.save(tmp_path / "net.h5", saved)
    nn.load_parameters(str(tmp_path / "net.h5"))
    found = nn.get_parameters(grad_only=False)
    assert len(found) == count
    for source, parameters in saved.parameters.items():
        for name, array in parameters.items():
            variable = found[weights.stored_name(arch, source, name)]
            np.testing.assert_array_equal(variable.d, array)
            assert variable.need_grad == (not name.endswith(("bn/mean", "bn/var"))), name


def check_round_trip(config, path):
    created = model.get_weights(config)
    loaded = weights.load(path)
    assert loaded.config == config
    for source in config.sources:
        for name, array in created.parameters[source].items():
            np.testing.assert_array_equal(loaded.parameters[source][name], array, err_msg=name)


@pytest.mark.parametrize("arch", ["x-umx", "joint"])
def test_we_read_what_nnabla_saves(tmp_path, arch):
    config = small_config(arch=arch, sources=("bass", "drums"))
    model.create_parameters(config, np.random.RandomState(0))
    nn.save_parameters(str(tmp_path / "net.h5"))
    check_round_trip(config, tmp_path / "net.h5")


def test_we_read_what_nnabla_saves_of_one_umx_source(tmp_path):
    config = small_config(arch="umx", sources=("drums",))
    model.create_parameters(config, np.random.RandomState(0))
    with nn.parameter_scope("drums"):
        nn.save_parameters(str(tmp_path / "drums.h5"))
    check_round_trip(config, tmp_path / "drums.h5")


@pytest.mark.parametrize("arch", ["x-umx", "umx", "joint"])
def test_weights_survive_the_graph(arch):
    saved = random_weights(small_config(arch=arch))
    model.set_weights(saved)
    found = model.get_weights(saved.config)
    for source, parameters in saved.parameters.items():
        for name, array in parameters.items():
            np.testing.assert_array_equal(found.parameters[source][name], array)


@pytest.mark.parametrize("arch", ["x-umx", "umx", "joint"])
def test_statistics_become_the_input_parameters(arch):
    config = small_config(arch=arch)
    mean, scale = np.linspace(1, 2, config.bins), np.linspace(3, 4, config.bins)
    model.create_parameters(config, np.random.RandomState(0), mean, scale)
    for parameters in model.get_weights(config).parameters.values():
        np.testing.assert_allclose(parameters["input_mean"], -mean[: config.max_bin], rtol=1e-6)
        np.testing.assert_allclose(parameters["input_scale"], 1 / scale[: config.max_bin], rtol=1e-6)


def test_new_networks_follow_their_seed():
    config = small_config()
    first, second, third = (
        (
            nn.clear_parameters(),
            model.create_parameters(config, np.random.RandomState(s)),
            model.get_weights(config),
        )[2]
        for s in (0, 0, 1)
    )
    name = "lstm/lstm/weight"
    np.testing.assert_array_equal(first.parameters["bass"][name], second.parameters["bass"][name])
    assert (first.parameters["bass"][name] != third.parameters["bass"][name]).mean() > 0.9
    assert (first.parameters["bass"][name] != first.parameters["drums"][name]).mean() > 0.9


def test_the_sources_of_a_new_joint_network_share_its_trunk():
    config = small_config(arch="joint")
    model.create_parameters(config, np.random.RandomState(0))
    bass, *others = model.get_weights(config).parameters.values()
    for name in bass:
        for other in others:
            assert (bass[name] is other[name]) == (not name.startswith("fc3/")), name
            if name == "fc3/affine/W":
                assert (bass[name] != other[name]).mean() > 0.9


@pytest.mark.parametrize("ops", [cpu_ops, stock_ops], ids=["cpu", "stock"])
def test_a_joint_network_learns_as_umx_of_the_same_trunk(ops, monkeypatch):
    """What sources share gets the sum of their gradients; its running statistics move once a step."""
    monkeypatch.setattr(model, "LSTM_DROPOUT", 0.0)
    joint = random_weights(small_config(arch="joint", sources=("a", "b", "c")))
    umx = weights.Weights(dataclasses.replace(joint.config, arch="umx"), joint.parameters)
    rng = np.random.default_rng(0)
    shape = (9, 2, 2, joint.config.bins)
    mixture, slopes = rng.gamma(1, 5, shape), rng.normal(size=(3, *shape))
    found = []
    for net in (joint, umx):
        nn.clear_parameters()
        model.set_weights(net)
        x = nn.Variable.from_numpy_array(mixture)
        estimates = model.estimates(x, net.config, ops, rng=rng)
        loss = sum(F.sum(y * nn.Variable.from_numpy_array(s)) for y, s in zip(estimates, slopes))
        for parameter in nn.get_parameters().values():
            parameter.grad.zero()
        loss.forward()
        loss.backward()
        found.append(
            {name: p.g if p.need_grad else p.d for name, p in nn.get_parameters(grad_only=False).items()}
        )
    shared, own = found
    for name, value in shared.items():
        layer, _, rest = name.partition("/")
        if layer.startswith("fc3_"):
            wanted = own[f"{layer[4:]}/fc3/{rest}"]
        elif name.endswith(("bn/mean", "bn/var")):
            wanted = own[f"a/{name}"]
        else:
            wanted = sum(own[f"{source}/{name}"] for source in "abc")
        assert np.abs(value - wanted).max() <= 1e-5 * np.abs(wanted).max() + 1e-4, name
