"""Files that are no checkpoints, or that would like to be more."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.network.pytorch.nets import open_unmix
from xumx.base.errors import WeightsError
from xumx.convert import main
from xumx.network import pytorch as conversion
from xumx.network.pytorch import checkpoint


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path, call: Any = os.mkdir) -> None:
        self.path, self.call = path, call

    def __reduce__(self) -> Any:
        return self.call, (str(self.path),)


def files_with(evil: Any, folder: Path) -> dict[str, Path]:
    """A checkpoint that holds ``evil``, in every format that PyTorch reads."""
    state = {**open_unmix().state_dict(), "extra": evil}
    torch.save(state, folder / "zip.pth")
    torch.save(state, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    (folder / "pickle.pth").write_bytes(pickle.dumps(state))
    with zipfile.ZipFile(folder / "byhand.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(evil, protocol=2))
        archive.writestr("archive/version", "3")
    return {path.stem: path for path in sorted(folder.glob("*.pth"))}


@pytest.mark.parametrize("call", [os.mkdir, eval, torch.load, np.load], ids=lambda c: c.__name__)
def test_code_is_refused_and_not_run(tmp_path: Path, call: Any, capsys: pytest.CaptureFixture[str]) -> None:
    mark = tmp_path / "mark"
    evil = Evil(mark, call) if call is not eval else Evil(Path(f"__import__('os').mkdir('{mark}')"), eval)
    for name, path in files_with(evil, tmp_path).items():
        assert main([str(path), str(tmp_path / "out.h5")]) == 1, name
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: {path}: "), line
        assert name == "pickle" or "refused" in line, line
        assert not mark.exists(), f"{name} was run"
    assert len(files_with(evil, tmp_path)) == 4
    with open(tmp_path / "byhand.pth", "rb") as file, zipfile.ZipFile(file) as archive:
        if call is os.mkdir:
            pickle.load(io.BytesIO(archive.read("archive/data.pkl")))
            assert mark.exists(), "the test's own weapon is blunt"


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    torch.save(open_unmix(), tmp_path / "net.pth")
    with pytest.raises(WeightsError, match=r"refused, .*openunmix\.model\.OpenUnmix"):
        conversion.load(tmp_path / "net.pth")


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    whole = io.BytesIO()
    torch.save(open_unmix().state_dict(), whole)
    legacy = io.BytesIO()
    torch.save(open_unmix().state_dict(), legacy, _use_new_zipfile_serialization=False)
    files = {
        "empty.pth": b"",
        "text.pth": b"no weights at all",
        "html.pth": b"<!DOCTYPE html><title>404</title>",
        "cut.pth": whole.getvalue()[:3000],
        "cut-legacy.pth": legacy.getvalue()[:3000],
        "spoilt.pth": whole.getvalue()[:1000] + b"\xff" * 500 + whole.getvalue()[1500:],
        "zip.pth": b"PK\x05\x06" + 18 * b"\0",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=name) as raised:
            conversion.load(tmp_path / name)
        assert "\n" not in str(raised.value), name
    for content, kind in ((torch.zeros(3), "Tensor"), ([1, 2], "list"), (None, "NoneType")):
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(WeightsError, match=rf"other\.pth: holds a {kind}"):
            conversion.load(tmp_path / "other.pth")


def test_an_archive_that_unpacks_to_more_is_refused(tmp_path: Path) -> None:
    torch.save(open_unmix().state_dict() | {"input_mean": torch.zeros(10_000_000)}, tmp_path / "net.pth")
    with (
        zipfile.ZipFile(tmp_path / "net.pth") as whole,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for entry in whole.infolist():
            bomb.writestr(entry.filename, whole.read(entry))
    assert (tmp_path / "bomb.pth").stat().st_size < 200_000
    with pytest.raises(WeightsError, match=r"bomb\.pth: is compressed"):
        conversion.load(tmp_path / "bomb.pth")


def test_numbers_of_numpy_are_read(tmp_path: Path) -> None:
    for value in (np.int64(3), np.float32(0.5), np.float64(2), np.bool_(True), np.int32(-1)):
        for zipped in (True, False):
            torch.save({"value": value}, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
            assert checkpoint.read(tmp_path / "a.pth") == {"value": value}
