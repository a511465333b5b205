import dataclasses
import shutil

import h5py
import numpy as np
import pytest

from tests.networks import DATA, random_weights, small_config
from xumx.base.errors import WeightsError, WriteError
from xumx.network import weights
from xumx.network.config import SOURCES

CONFIGS = [
    small_config(),
    small_config(unidirectional=True),
    small_config(nb_channels=1, nb_layers=1),
    small_config(sources=("vocals", "lead_vocals"), n_hop=32, sample_rate=48000),
    small_config(arch="umx", sources=("piano",)),
    small_config(arch="umx"),
    small_config(arch="joint"),
    small_config(arch="joint", sources=("vocals", "lead_vocals", "mean", "scale"), unidirectional=True),
    small_config(arch="joint", sources=("piano",), nb_channels=1, nb_layers=1),
]


def destination(tmp_path, config):
    return tmp_path / ("net" if config.arch == "umx" and len(config.sources) > 1 else "net.h5")


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_what_is_saved_is_loaded(tmp_path, config):
    saved = random_weights(config)
    path = destination(tmp_path, config)
    weights.save(path, saved)
    loaded = weights.load(path)
    assert loaded.config == config
    for source in config.sources:
        assert loaded.parameters[source].keys() == saved.parameters[source].keys()
        for name, array in saved.parameters[source].items():
            np.testing.assert_array_equal(loaded.parameters[source][name], array, err_msg=f"{source} {name}")
            assert loaded.parameters[source][name].dtype == np.float32


def test_the_official_layout_tells_its_sizes():
    config = weights.load(DATA / "x-umx.h5").config
    assert config == dataclasses.replace(
        config, arch="x-umx", sources=SOURCES, n_fft=1024, n_hop=256, hidden_size=8
    )
    folder = weights.load(DATA / "umx")
    assert folder.config == dataclasses.replace(config, arch="umx")
    one = weights.load(DATA / "umx" / "vocals.h5")
    assert one.config == dataclasses.replace(config, arch="umx", sources=("vocals",))
    for name, array in one.parameters["vocals"].items():
        np.testing.assert_array_equal(folder.parameters["vocals"][name], array)


def test_the_layout_of_a_joint_network(tmp_path):
    """One trunk under the names of UMX, a last layer a source under those of X-UMX, each once."""
    config = small_config(arch="joint", sources=("a", "b"))
    saved = random_weights(config)
    weights.save(tmp_path / "net.h5", saved)
    found = {}
    with h5py.File(tmp_path / "net.h5") as file:
        file.visititems(lambda n, node: found.update({n: node.shape}) if hasattr(node, "shape") else None)
    norm = ("beta", "gamma", "mean", "var")
    assert found == {
        **dict.fromkeys(("input_mean", "input_scale"), (60,)),
        **dict.fromkeys(("output_mean", "output_scale"), (129,)),
        "fc1/affine/W": (120, 8),
        **{f"fc1/bn/{part}": (1, 1, 8) for part in norm},
        "lstm/lstm/weight_l0": (2, 4, 4, 12),
        "lstm/lstm/weight": (2, 2, 4, 4, 12),
        "lstm/lstm/bias": (3, 2, 4, 4),
        "fc2/affine/W": (16, 8),
        **{f"fc2/bn/{part}": (1, 1, 8) for part in norm},
        **{f"fc3_{source}/affine/W": (8, 258) for source in "ab"},
        **{f"fc3_{source}/bn/{part}": (1, 1, 258) for source in "ab" for part in norm},
    }
    a, b = weights.load(tmp_path / "net.h5").parameters.values()
    for name in a:
        assert (a[name] is b[name]) == (not name.startswith("fc3/")), name
    np.testing.assert_array_equal(b["fc3/affine/W"], saved.parameters["b"]["fc3/affine/W"])


@pytest.mark.parametrize("sources", [("bass", "drums", "vocals", "other"), ("piano",)])
def test_the_shapes_of_a_joint_network_tell_its_sizes(tmp_path, sources):
    config = small_config(arch="joint", sources=sources, unidirectional=True, nb_channels=1, hidden_size=6)
    path = tmp_path / "net.h5"
    weights.save(path, random_weights(config))
    with h5py.File(path, "r+") as file:
        for name in list(file.attrs):
            del file.attrs[name]
    assert weights.load(path).config == config


@pytest.mark.parametrize(
    "change, named",
    [
        (lambda f: f.pop("input_mean"), "lacks input_mean$"),
        (lambda f: f.pop("fc2/affine/W"), "lacks fc2/affine/W$"),
        (lambda f: f.pop("fc3_drums/affine/W"), "lacks fc3_drums/affine/W$"),
        (lambda f: f.pop("fc3_drums"), "sources"),
        (
            lambda f: replace(f, "fc3_bass/bn/var", np.ones((1, 1, 8))),
            r"fc3_bass/bn/var has shape \(1, 1, 8\)",
        ),
        (lambda f: replace(f, "output_scale", np.full(129, np.inf)), "output_scale .*not finite"),
        (
            lambda f: f.create_dataset("fc4_bass/affine/W", data=np.zeros(2)),
            "fc4_bass.*which no joint network",
        ),
    ],
)
def test_a_broken_joint_network_is_named(tmp_path, change, named):
    path = tmp_path / "net.h5"
    weights.save(path, random_weights(small_config(arch="joint")))
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(WeightsError, match=named) as raised:
        weights.load(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


def test_half_precision_files_are_half_the_size_and_load_as_float32(tmp_path):
    saved = random_weights(small_config(hidden_size=64))
    weights.save(tmp_path / "full.h5", saved)
    weights.save(tmp_path / "half.h5", saved, dtype=np.float16)
    assert (tmp_path / "half.h5").stat().st_size < 0.7 * (tmp_path / "full.h5").stat().st_size
    loaded = weights.load(tmp_path / "half.h5").parameters["bass"]["fc1/affine/W"]
    assert loaded.dtype == np.float32
    np.testing.assert_allclose(loaded, saved.parameters["bass"]["fc1/affine/W"], rtol=1e-3, atol=1e-6)


def broken(tmp_path, change):
    path = tmp_path / "broken.h5"
    shutil.copy(DATA / "x-umx.h5", path)
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def replace(file, name, value):
    del file[name]
    file[name] = value


@pytest.mark.parametrize(
    "change, named",
    [
        (lambda f: f.pop("fc1_drums/affine/W"), "lacks fc1_drums/affine/W"),
        (lambda f: f.pop("input_mean_bass"), "lacks input_mean_bass"),
        (lambda f: f.pop("input_mean_drums"), "lacks input_mean_drums"),
        (lambda f: f.attrs.update(n_hop="abc"), "attribute"),
        (lambda f: f.attrs.update(sources=5), "attribute"),
        (lambda f: f.attrs.update(sources=["a", "b"]), "sources"),
        (lambda f: f["output_mean_bass"].attrs.update(index="z"), "attribute index"),
        (lambda f: f["output_mean_bass"].attrs.update(index=np.inf), "attribute index"),
        (lambda f: f["output_mean_bass"].attrs.update(index=[1, 2]), "attribute index"),
        (lambda f: f.attrs.update(n_hop=1), "n_hop"),
        (lambda f: f.attrs.update(n_hop=256.0), "attribute n_hop"),
        (lambda f: f.attrs.update(sample_rate=2**31 - 1), "sample_rate"),
        (lambda f: f.attrs.update(sample_rate=2**62), "sample_rate"),
        (lambda f: f.attrs.update(sources="bass"), "attribute sources"),
        (lambda f: f.attrs.update(sources=h5py.Empty("f4")), "attribute sources"),
        (lambda f: f.move("output_mean_bass", "output_mean_.."), "lacks"),
        (lambda f: f.pop("lstm_other/lstm/bias"), "lacks lstm_other/lstm/bias"),
        (
            lambda f: replace(f, "fc2_vocals/affine/W", np.zeros((3, 8))),
            r"fc2_vocals/affine/W has shape \(3, 8\)",
        ),
        (lambda f: replace(f, "fc1_bass/affine/W", np.zeros(5)), "fc1_bass/affine/W has 1 axes"),
        (lambda f: replace(f, "output_mean_vocals", np.full(513, np.nan)), "output_mean_vocals .*not finite"),
        (lambda f: replace(f, "fc3_bass/bn/var", np.full((1, 1, 1026), -1.0)), "negative variance"),
        (lambda f: f.create_dataset("extra", data=np.zeros(2)), "unknown parameter extra"),
        (lambda f: f.create_dataset("note", data="text"), "note holds no numbers"),
    ],
)
def test_broken_weights_are_named(tmp_path, change, named):
    path = broken(tmp_path, change)
    with pytest.raises(WeightsError, match=named) as raised:
        weights.load(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["../../escaped", "/etc/escaped", "..", "a\\b", "a\nb", 101 * "a"])
@pytest.mark.parametrize("arch", ["umx", "joint", "x-umx"])
def test_names_that_lead_out_of_a_folder_are_refused(tmp_path, arch, name):
    """Sources become the names of files, whoever named them."""
    path = tmp_path / "net.h5"
    weights.save(path, random_weights(small_config(arch=arch, sources=("a",))))
    with h5py.File(path, "r+") as file:
        file.attrs["sources"] = [name]
        if "/" not in name:
            for own in [own for own in file if own.endswith("_a")]:
                file.move(own, own[:-1] + name)
    with pytest.raises(WeightsError) as raised:
        weights.load(path)
    assert str(raised.value).startswith(f"{path}: ") and str(raised.value).isprintable()


def test_a_folder_of_files_that_are_called_as_no_source_can_be(tmp_path):
    weights.save(tmp_path / "a.h5", random_weights(small_config(arch="umx", sources=("a",))))
    (tmp_path / "a.h5").rename(tmp_path / "a:b.h5")
    with pytest.raises(WeightsError, match="'a:b' cannot be the name of a source"):
        weights.load(tmp_path)


def test_hidden_files_in_a_folder_are_no_weights(tmp_path):
    """Notes of macOS, and what a process that was killed while it wrote has left."""
    weights.save(tmp_path / "a.h5", random_weights(small_config(arch="umx", sources=("a",))))
    (tmp_path / "._a.h5").write_bytes(b"Mac OS X")
    (tmp_path / ".a-01234567.h5").write_bytes(b"half of")
    (tmp_path / "b.h5").mkdir()
    assert weights.load(tmp_path).config.sources == ("a",)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.pop("fc2_other/affine/W"),
        lambda f: replace(f, "fc1_bass/affine/W", np.zeros((3, 4096))),
        lambda f: f.create_dataset("extra", data=np.zeros(2)),
        lambda f: f.create_dataset("note", data=["text"]),
        lambda f: f.attrs.update(n_hop=1),
        lambda f: f.create_dataset("values", (3,), "i1", external=[("/etc/passwd", 0, 3)]),
    ],
)
def test_nothing_is_read_before_names_shapes_and_sizes_are_right(tmp_path, monkeypatch, change):
    path = broken(tmp_path, change)

    def read(*args):
        raise AssertionError("a value was read")

    for method in ("__getitem__", "astype", "__array__", "read_direct"):
        monkeypatch.setattr(h5py.Dataset, method, read)
    with pytest.raises(WeightsError):
        weights.load(path)


def test_files_that_are_no_weights(tmp_path):
    text = tmp_path / "text.h5"
    text.write_text("not HDF5")
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    truncated = tmp_path / "cut.h5"
    truncated.write_bytes((DATA / "x-umx.h5").read_bytes()[:100_000])
    (tmp_path / "folder").mkdir()
    for name in ("text.h5", "empty.h5", "cut.h5", "folder", "missing.h5"):
        with pytest.raises(WeightsError, match=name) as raised:
            weights.load(tmp_path / name)
        assert "\n" not in str(raised.value)


def test_a_folder_of_umx_files_that_differ(tmp_path):
    weights.save(tmp_path / "a.h5", random_weights(small_config(arch="umx", sources=("a",))))
    weights.save(tmp_path / "b.h5", random_weights(small_config(arch="umx", sources=("b",), hidden_size=4)))
    with pytest.raises(WeightsError, match=r"b\.h5.*differ"):
        weights.load(tmp_path)


@pytest.mark.parametrize("arch", ["x-umx", "joint"])
def test_a_folder_with_a_file_of_all_sources_asks_for_the_file(tmp_path, arch):
    weights.save(tmp_path / "net.h5", random_weights(small_config(arch=arch)))
    with pytest.raises(WeightsError, match=r"net\.h5.*one file"):
        weights.load(tmp_path)


def test_a_failed_save_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WriteError, match="cannot be written"):
        weights.save(tmp_path / "file" / "net.h5", random_weights(small_config()))
    net = random_weights(small_config())
    net.parameters["other"].pop("fc3/affine/W")
    with pytest.raises(KeyError):
        weights.save(tmp_path / "net.h5", net)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
