from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.folder_sets import noise, write
from xumx.base.errors import AudioError
from xumx.data import headers as module
from xumx.data.headers import NAME, read_headers
from xumx.data.recording import Recording, recordings


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, rate in (("a.wav", 44100), ("sub/b.flac", 22050), ("sub/Ärger – ñ.mp3", 48000)):
        write(tmp_path / "data" / name, noise(0.2, rate, rate), rate)
    return tmp_path / "data"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are opened."""
    seen: list[str] = []

    def watch(path: Path) -> tuple[Recording, ...]:
        seen.append(path.name)
        return recordings(path)

    monkeypatch.setattr(module, "recordings", watch)
    return seen


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file() and path.name != NAME)


def read(root: Path, *folders: Path) -> dict[Path, Recording | AudioError]:
    return read_headers(files(root), root, folders or (root,), workers=2, progress=False)


def test_headers_are_those_of_the_files_and_read_once(root: Path, opened: list[str]) -> None:
    wanted = {path: recordings(path)[0] for path in files(root)}
    assert read(root) == wanted and len(opened) == 3
    assert read(root) == wanted and len(opened) == 3


def test_a_data_set_may_move(root: Path, opened: list[str]) -> None:
    read(root)
    moved = Path(shutil.move(root, root.with_name("moved")))
    opened.clear()
    found = read(moved)
    assert not opened and all(header.path == path for path, header in found.items())  # type: ignore[union-attr]


def test_changed_files_are_read_again_and_missing_ones_forgotten(root: Path, opened: list[str]) -> None:
    read(root)
    opened.clear()
    write(root / "a.wav", noise(0.3), 44100)
    (root / "sub" / "b.flac").unlink()
    write(root / "new.wav", noise(0.1), 44100)
    found = read(root)
    assert sorted(opened) == ["a.wav", "new.wav"]
    assert found[root / "a.wav"].samples == 13230  # type: ignore[union-attr]
    kept = json.loads((root / NAME).read_text())["files"]
    assert sorted(kept) == ["a.wav", "new.wav", "sub/Ärger – ñ.mp3"]
    os.utime(root / "a.wav", ns=(0, 1))
    opened.clear()
    read(root)
    assert opened == ["a.wav"]


def test_files_of_another_part_are_kept(root: Path, opened: list[str]) -> None:
    every = files(root)
    for paths in (every[:1], every[1:], every):
        read_headers(paths, root, [root], progress=False)
    assert len(opened) == 3


def test_what_cannot_be_read_is_told_each_time(root: Path) -> None:
    (root / "bad.wav").write_text("no audio")
    missing = root / "missing.mp3"
    for _ in range(2):
        found = read_headers([*files(root), missing], root, [root], progress=False)
        errors = {path.name: str(error) for path, error in found.items() if isinstance(error, AudioError)}
        assert sorted(errors) == ["bad.wav", "missing.mp3"], errors
        assert all(name in error and "\n" not in error for name, error in errors.items())
        assert sum(isinstance(header, Recording) for header in found.values()) == 3


def test_where_nothing_can_be_written_another_folder_serves(
    root: Path, tmp_path: Path, opened: list[str]
) -> None:
    """A file in place of a folder refuses everyone, root too."""
    blocked, output = tmp_path / "blocked", tmp_path / "output"
    blocked.touch()
    first = read(root, blocked, output)
    assert (output / NAME).exists() and not (root / NAME).exists()
    assert read(root, blocked, output) == first and len(opened) == 3
    assert read(root, blocked) == first


def states(*numbers: float) -> str:
    return json.dumps({"format": 1, "files": {"a.wav": numbers}})


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"format": 1, "files": 3}', "\xff", 9999 * "[", states(1), states(1, 2, 3, 2.0, 3),
     states(1, 2, 3, 2, 0), states(1, 2, 3, 2, -1), states(1, 2, 10**15, 2, 44100), states(1, 2, 3, 0, 44100),
     '{"format": 1, "files": {"a.wav": [1, 2, true, 2, 44100]}}'],
)  # fmt: skip
def test_a_broken_file_is_made_anew(root: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "xumx")
    first = read(root)
    whole = (root / NAME).read_text()
    (root / NAME).write_bytes(content.encode("latin-1"))
    assert read(root) == first
    assert len(caplog.messages) == 1 and NAME in caplog.messages[0], caplog.messages
    assert caplog.records[0].levelname == "INFO", "a warning would be taken for a track that is left out"
    assert json.loads((root / NAME).read_text()) == json.loads(whole)


def test_another_format_is_made_anew_silently(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = read(root)
    (root / NAME).write_text('{"format": 0, "files": []}')
    assert read(root) == first and not caplog.messages


def test_names_that_are_no_text(root: Path, opened: list[str]) -> None:
    odd = []
    for path in files(root):
        odd.append(path.with_name(os.fsdecode(b"caf\xe9") + path.suffix))
        path.rename(odd[-1])
    for _ in range(2):
        found = read(root)
        for path in odd:
            header = found[path]
            assert isinstance(header, Recording), header
            assert np.isfinite(header.read(0, 100)).all() and header.samples > 4000
    assert len(opened) == 3
