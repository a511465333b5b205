import threading

import h5py
import numpy as np
import pytest

from tests.networks import DATA, identity_weights, random_weights, small_config
from tests.reference import joint_estimates
from xumx.base.errors import UsageError, XumxError
from xumx.engines import create
from xumx.engines.onnx import OnnxEngine
from xumx.network import weights
from xumx.signal.stft import stft

JOINT = [
    small_config(arch="joint"),
    small_config(arch="joint", sources=("piano",), unidirectional=True),
    small_config(arch="joint", sources=("a", "b"), nb_channels=1, n_fft=200, n_hop=50, max_bin=101),
    small_config(arch="joint", sources=("a", "b", "c"), nb_layers=1),
    small_config(arch="joint", sources=("a", "b", "c", "d", "e"), hidden_size=10, unidirectional=True),
]


def golden(name):
    """A golden array; all but the audio are scaled integers."""
    with h5py.File(DATA / "separation.h5") as file:
        return file[name][()] * np.float32(file[name].attrs.get("scale", 1))


def magnitude(audio, config):
    return np.abs(stft(audio, config.n_fft, config.n_hop))[:, None]


def check_golden_masks(make):
    """The engine that ``make`` builds gives Sony's masks and UMX spectrograms, to 1e-4 of the peak."""
    loaded = weights.load(DATA / "x-umx.h5")
    x = magnitude(golden("audio"), loaded.config)
    estimate = make(loaded)(x)[:, ::4]
    masks = golden("xumx/masks").reshape(-1, 1, 4, 2, 513).transpose(2, 0, 1, 3, 4)
    expected = masks * x[::4]
    assert np.abs(estimate - expected).max() < 1e-4 * expected.max()
    loaded = weights.load(DATA / "umx")
    estimate = make(loaded)(x)[:, ::4, 0]
    for source, found in zip(loaded.config.sources, estimate, strict=True):
        expected = golden(f"umx/spec/{source}")
        assert np.abs(found - expected).max() < 1e-4 * expected.max(), source


def test_gives_the_golden_masks():
    check_golden_masks(OnnxEngine)


def check_joint_network(make, config, folder):
    """The engine gives what the equations say of the network's file, to 1e-5 of the peak."""
    weights.save(folder / "net.h5", random_weights(config))
    x = np.random.default_rng(2).gamma(1, 5, (11, 2, config.nb_channels, config.bins)).astype(np.float32)
    expected = joint_estimates(folder / "net.h5", config.sources, x)
    found = make(weights.load(folder / "net.h5"))(x)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-5 * expected.max()
    assert (expected > 1.5 * x).any() and (expected == 0).any(), "masks are to be beyond 1, and 0"


@pytest.mark.parametrize("config", JOINT, ids=str)
def test_gives_what_the_equations_of_a_joint_network_say(config, tmp_path):
    check_joint_network(OnnxEngine, config, tmp_path)


@pytest.mark.parametrize("arch", ["x-umx", "umx", "joint"])
def test_shape_dtype_and_batch(arch):
    config = small_config(arch=arch)
    engine = OnnxEngine(random_weights(config))
    x = np.random.default_rng(0).uniform(0, 9, (7, 3, 2, config.bins)).astype(np.float32)
    before = x.copy()
    estimate = engine(x)
    assert estimate.shape == (4, *x.shape) and estimate.dtype == np.float32
    assert (estimate >= 0).all()
    for b in range(3):
        np.testing.assert_allclose(engine(x[:, b : b + 1]), estimate[:, :, b : b + 1], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(x, before)


def test_sources_of_umx_are_independent():
    config = small_config(arch="umx")
    both = random_weights(config)
    x = np.random.default_rng(0).uniform(0, 9, (7, 1, 2, config.bins)).astype(np.float32)
    first = OnnxEngine(both)(x)
    for name in both.parameters["drums"]:
        both.parameters["drums"][name] = both.parameters["bass"][name]
    second = OnnxEngine(both)(x)
    np.testing.assert_array_equal(first[[0, 2, 3]], second[[0, 2, 3]])
    np.testing.assert_allclose(second[1], second[0], rtol=1e-6)


def test_masks_of_one_give_the_input():
    config = small_config()
    x = np.random.default_rng(0).uniform(0, 9, (5, 1, 2, config.bins)).astype(np.float32)
    for estimate in OnnxEngine(identity_weights(config))(x):
        np.testing.assert_array_equal(estimate, x)


def test_threads_may_share_an_engine():
    config = small_config()
    engine = OnnxEngine(random_weights(config), threads=1)
    inputs = [
        np.random.default_rng(i).uniform(0, 9, (9, 1, 2, config.bins)).astype(np.float32) for i in range(8)
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


def test_a_full_temporary_folder_is_said(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    with pytest.raises(XumxError, match="temporary"):
        OnnxEngine(random_weights(small_config()))


@pytest.mark.parametrize(
    "engine, context, error, text",
    [
        ("torch", "auto", UsageError, "`engine` 'torch'"),
        ("auto", "gpu", UsageError, "`context` 'gpu'"),
        ("onnx", "cudnn", UsageError, "cudnn is for `engine` nnabla"),
        ("auto", "cudnn", XumxError, "cudnn|NNabla is not installed"),
    ],
)
def test_engines_that_cannot_be(engine, context, error, text):
    with pytest.raises(error, match=text) as raised:
        create(random_weights(small_config()), engine, context)
    assert "\n" not in str(raised.value)


def test_the_default_engine_on_a_cpu():
    assert isinstance(create(random_weights(small_config())), OnnxEngine)
    assert isinstance(create(random_weights(small_config()), context="cpu"), OnnxEngine)
