import nnabla as nn
import numpy as np
import pytest

from tests.networks import random_weights, small_config
from xumx import weights
from xumx.graph import model


@pytest.fixture(autouse=True)
def fresh_scope():
    nn.clear_parameters()
    yield
    nn.clear_parameters()


def test_nnabla_reads_what_we_save(tmp_path):
    saved = random_weights(small_config())
    weights.save(tmp_path / "net.h5", saved)
    nn.load_parameters(str(tmp_path / "net.h5"))
    found = nn.get_parameters(grad_only=False)
    assert len(found) == 4 * len(saved.parameters["bass"])
    for source, parameters in saved.parameters.items():
        for name, array in parameters.items():
            variable = found[weights.official_name(name, source)]
            np.testing.assert_array_equal(variable.d, array)
            assert variable.need_grad == (not name.endswith(("bn/mean", "bn/var"))), name


def check_round_trip(config, path):
    created = model.get_weights(config)
    loaded = weights.load(path)
    assert loaded.config == config
    for source in config.sources:
        for name, array in created.parameters[source].items():
            np.testing.assert_array_equal(loaded.parameters[source][name], array, err_msg=name)


def test_we_read_what_nnabla_saves(tmp_path):
    config = small_config(sources=("bass", "drums"))
    model.create_parameters(config, np.random.RandomState(0))
    nn.save_parameters(str(tmp_path / "net.h5"))
    check_round_trip(config, tmp_path / "net.h5")


def test_we_read_what_nnabla_saves_of_one_umx_source(tmp_path):
    config = small_config(arch="umx", sources=("drums",))
    model.create_parameters(config, np.random.RandomState(0))
    with nn.parameter_scope("drums"):
        nn.save_parameters(str(tmp_path / "drums.h5"))
    check_round_trip(config, tmp_path / "drums.h5")


def test_weights_survive_the_graph():
    saved = random_weights(small_config())
    model.set_weights(saved)
    found = model.get_weights(saved.config)
    for source, parameters in saved.parameters.items():
        for name, array in parameters.items():
            np.testing.assert_array_equal(found.parameters[source][name], array)


def test_statistics_become_the_input_parameters():
    config = small_config()
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
