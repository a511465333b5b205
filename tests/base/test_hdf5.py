from __future__ import annotations

import resource
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from xumx.base.errors import WeightsError, WriteError
from xumx.base.hdf5 import attribute, reading, writing


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path, values = tmp_path / "new" / "a.h5", np.arange(5000.0)
    with writing(path) as file:
        file["group/values"] = values
        file.attrs["name"] = "x"
        assert not path.exists()
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["group/values"][()], values)
        assert file.attrs["name"] == "x"
    assert list(path.parent.iterdir()) == [path]


def test_what_goes_wrong_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="stop"), writing(path) as file:
        file["values"] = np.zeros(10)
        raise ValueError("stop")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(WriteError, match="cannot be written"), writing(path) as file:
            file["values"] = np.zeros(10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_what_we_write_is_read(tmp_path: Path) -> None:
    path, values = tmp_path / "a.h5", np.arange(6.0).reshape(2, 3)
    with writing(path) as file:
        file["a/b/c/d/e/f"] = values
        file["run"] = "{}"
        file.attrs["sources"] = ["x", "y"]
        file["run"].attrs["index"] = 7
    with reading(path) as (file, datasets):
        assert datasets.keys() == {"a/b/c/d/e/f", "run"}
        np.testing.assert_array_equal(datasets["a/b/c/d/e/f"][()], values)
        assert datasets["run"][()] == b"{}"
        assert list(attribute(file, "sources")) == ["x", "y"]
        assert attribute(datasets["run"], "index") == 7
        assert attribute(file, "index") is None


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((3,), "i1")
    layout[:] = h5py.VirtualSource("/etc/other.h5", "data", (3,))
    file.create_virtual_dataset("values", layout)


def _loop(file: h5py.File) -> None:
    file["group/values"] = np.zeros(3)
    file["group/again"] = file["group"]


@pytest.mark.parametrize(
    "make, named",
    [
        (lambda f: f.create_dataset("values", (3,), "i1", external=[("/etc/passwd", 0, 3)]), "another file"),
        (_virtual, "another file"),
        (lambda f: f.update({"values": h5py.ExternalLink("/etc/other.h5", "data")}), "link"),
        (lambda f: f.update({"values": h5py.SoftLink("/data")}), "link"),
        (_loop, "another name"),
        (lambda f: f.create_dataset("values", (10**12,), "f4"), "more values than"),
        (lambda f: [f.create_dataset(f"values{i}", (600,), "f4") for i in range(9)], "more values than"),
        (lambda f: f.create_dataset("values", data=np.zeros(1 << 20), compression="gzip"), "compressed"),
        (lambda f: f.create_dataset("values", (3,), "f4", maxshape=(None,)), "chunks"),
        (lambda f: f.create_dataset("values", data=h5py.Empty("f4")), "empty"),
        (lambda f: f.create_dataset("values", data=np.zeros(3, "c8")), "no numbers"),
        (lambda f: f.create_dataset("values", data=["a", "b"]), "no numbers"),
        (lambda f: f.create_dataset("values\n", data=np.zeros(3)), r"values\\n' is not how"),
        (lambda f: f.create_dataset("/".join(40 * "a"), data=np.zeros(3)), "deep"),
    ],
)
def test_what_reaches_out_or_explodes_is_refused(
    tmp_path: Path, make: Callable[[h5py.File], object], named: str
) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        make(file)
    with pytest.raises(WeightsError, match=named) as raised, reading(path):
        raise AssertionError("it was let through")
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


def test_groups_in_groups_without_end_do_not_end_the_process(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="latest") as file:
        group = file
        for _ in range(30_000):
            group = group.create_group("a")
    code = (
        "import sys; from xumx.base.hdf5 import reading\ntry:\n  with reading(sys.argv[1]): pass\n"
        "except Exception as e: print(e)"
    )
    ran = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert ran.returncode == 0 and "deep" in ran.stdout


@pytest.mark.parametrize(
    "value", [np.zeros(3, "c8"), h5py.Empty("f4"), np.zeros(20_000, "i4")], ids=["complex", "empty", "large"]
)
def test_odd_attributes_are_refused(tmp_path: Path, value: object) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file["values"] = np.zeros(3)
        file.attrs["n_hop"] = value
    with reading(path) as (file, _), pytest.raises(WeightsError, match="attribute n_hop"):
        attribute(file, "n_hop")


def test_a_damaged_file_is_one_line_wherever_it_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with writing(path) as file:
        for name in ("a/W", "a/b", "c/W"):
            file[name] = np.arange(20.0)
            file[name].attrs["index"] = 1
        file["run"] = "{}"
    whole, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 8):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged)
        try:
            with reading(path) as (_, datasets):
                for dataset in datasets.values():
                    dataset[()]
                    attribute(dataset, "index")
        except WeightsError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 30


@pytest.mark.parametrize("name", ["missing.h5", "folder"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(WeightsError, match=name), reading(tmp_path / name):
        pass


def test_a_damaged_heap_of_strings_ends(tmp_path: Path) -> None:
    """HDF5 looked for the next of its objects for ever."""
    path = tmp_path / "a.h5"
    with writing(path) as file:
        file["run"] = "{}" * 20
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL")
    (length,) = struct.unpack_from("<Q", data, heap + 24)
    rest = heap + 32 + (length + 7) // 8 * 8  # the free one behind it
    for size in (0, 8, 1 << 40):
        struct.pack_into("<Q", data, rest + 8, size)
        path.write_bytes(data)
        with pytest.raises(WeightsError, match="heap of strings"), reading(path) as (_, datasets):
            datasets["run"][()]
    with pytest.raises(WeightsError), reading(path) as (_, datasets):
        pass
