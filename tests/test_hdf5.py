from __future__ import annotations

import resource
from pathlib import Path

import h5py
import numpy as np
import pytest

from xumx.hdf5 import writing


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


def test_a_full_disk_is_an_os_error(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OSError), writing(path) as file:
            file["values"] = np.zeros(10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())
