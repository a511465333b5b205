import threading

import nnabla as nn
import numpy as np
import pytest

from tests.engines.test_onnx import JOINT, check_golden_masks, check_joint_network
from tests.extensions import REASON, break_cudnn
from tests.logs import warned
from tests.networks import random_weights, small_config
from xumx.base.errors import XumxError
from xumx.engines import create
from xumx.engines.nnabla import NnablaEngine
from xumx.engines.onnx import OnnxEngine

CONFIGS = [
    small_config(),
    small_config(unidirectional=True),
    small_config(nb_channels=1),
    small_config(nb_layers=1),
    small_config(n_fft=200, n_hop=50, max_bin=101),
    small_config(sources=("vocals", "lead_vocals")),
    small_config(sources=("a", "b", "c", "d", "e"), hidden_size=10),
    small_config(arch="umx"),
    small_config(arch="umx", sources=("piano",), unidirectional=True),
    *JOINT,
]


def test_gives_the_golden_masks():
    check_golden_masks(NnablaEngine)


@pytest.mark.parametrize("config", JOINT, ids=str)
def test_gives_what_the_equations_of_a_joint_network_say(config, tmp_path):
    check_joint_network(NnablaEngine, config, tmp_path)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_engines_agree(config):
    weights = random_weights(config)
    x = np.random.default_rng(1).gamma(1, 5, (13, 2, config.nb_channels, config.bins)).astype(np.float32)
    a, b = OnnxEngine(weights)(x), NnablaEngine(weights)(x)
    assert a.shape == b.shape
    assert np.abs(a - b).max() < 1e-5 * a.max()


def test_graphs_of_several_lengths_and_a_shared_process():
    """Two engines, lengths that come back, and the caller's own parameters do not disturb each other."""
    nn.clear_parameters()
    first, second = (NnablaEngine(random_weights(small_config(), seed)) for seed in (0, 1))
    assert not nn.get_parameters(grad_only=False)
    rng = np.random.default_rng(0)
    inputs = [rng.uniform(0, 9, (n, 1, 2, 129)).astype(np.float32) for n in (5, 6, 7, 5)]
    expected = [first(x) for x in inputs]
    for x in inputs:
        second(x)
    for x, y in zip(inputs, expected, strict=True):
        np.testing.assert_array_equal(first(x), y)


def test_threads_may_share_an_engine():
    engine = NnablaEngine(random_weights(small_config()))
    inputs = [
        np.random.default_rng(i).uniform(0, 9, (5 + i % 3, 1, 2, 129)).astype(np.float32) for i in range(9)
    ]
    alone = [engine(x) for x in inputs]
    together = [None] * len(inputs)

    def work(i):
        together[i] = engine(inputs[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a, b)


def test_chosen_by_name():
    weights = random_weights(small_config())
    assert isinstance(create(weights, "nnabla", "cpu"), NnablaEngine)
    assert isinstance(create(weights, "nnabla"), NnablaEngine)


def test_a_context_that_is_not_there():
    with pytest.raises(XumxError, match=r"`context` cudnn.*\[gpu\]") as raised:
        NnablaEngine(random_weights(small_config()), context="cudnn")
    assert "\n" not in str(raised.value)


def test_a_gpu_that_fails_is_said(tmp_path, monkeypatch):
    break_cudnn(tmp_path, monkeypatch)
    with warned(rf"GPU 0 fails \({REASON}: .*\); the CPU is used"):
        assert isinstance(create(random_weights(small_config()), "auto"), OnnxEngine)
