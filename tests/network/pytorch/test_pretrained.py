"""Published checkpoints: fetched, checked, converted once."""

from __future__ import annotations

import hashlib
import socket
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.network.pytorch.nets import difference, estimate, magnitude, open_unmix
from xumx import Separator
from xumx.base.errors import WeightsError
from xumx.network.catalogue import MODELS, Model, RemoteFile
from xumx.network.pretrained import resolve
from xumx.network.weights import load

TARGETS = ("bass", "drums", "vocals", "other")


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder and the URL under which it is served; the cache is tmp_path/home."""
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XUMX_HOME", str(tmp_path / "home"))
    folder = tmp_path / "site"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def tiny(site: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.nn.Module]:
    """Networks published under the name "tiny", with the first digits of their hashes in their names."""
    (folder, url), nets, files = site, {}, []
    for seed, target in enumerate(TARGETS):
        nets[target] = open_unmix(seed)
        torch.save(nets[target].state_dict(), folder / "new", _use_new_zipfile_serialization=False)
        first = hashlib.sha256((folder / "new").read_bytes()).hexdigest()[:8]
        (folder / "new").rename(folder / f"{target}-{first}.pth")
        files.append(RemoteFile(f"{url}/{target}-{first}.pth", f"sha256:{first}"))
    monkeypatch.setitem(MODELS, "tiny", tiny_model(*files))
    return nets


def tiny_model(*files: RemoteFile) -> Model:
    sizes = {"n_fft": 256, "n_hop": 64, "hidden_size": 8}
    return Model(name="tiny", about="", arch="umx", licence="", page="", files=files, **sizes)


def names(folder: Path) -> list[str]:
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    return [name for name in found if not name.endswith(".sha256")]


KEPT = ["tiny", *sorted(f"tiny/{target}.h5{note}" for target in TARGETS for note in ("", ".checked"))]
"""The networks, and notes that they were made here and checked; beside them are the checkpoints' digests."""


def test_fetched_and_converted_once(
    tiny: dict[str, torch.nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = resolve("tiny", progress=False)
    assert folder == tmp_path / "home" / "tiny"
    assert names(tmp_path / "home") == KEPT, "the checkpoints are not kept"
    network = load(folder)
    x = magnitude(129, 2)
    assert network.config.sources == TARGETS
    assert difference(network, x, torch.stack([estimate(tiny[t], x) for t in TARGETS])) < 1e-4

    monkeypatch.setattr(socket, "socket", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    separator = Separator("tiny")  # neither the network nor PyTorch from now on
    assert set(separator(np.zeros((3000, 2), np.float32))) == set(TARGETS)


def test_a_checkpoint_put_there_by_hand(
    tiny: dict[str, torch.nn.Module],
    site: tuple[Path, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "home" / "tiny"
    folder.mkdir(parents=True)
    checkpoints = sorted(site[0].iterdir())
    for path in checkpoints:
        (folder / path.name).write_bytes(path.read_bytes())
    bad = folder / checkpoints[-1].name
    bad.write_bytes(b"cut")
    monkeypatch.setattr(socket, "socket", None)
    with pytest.raises(WeightsError, match="another SHA256") as raised:
        resolve("tiny", progress=False)
    assert str(bad) in str(raised.value) and "\n" not in str(raised.value)
    bad.write_bytes(checkpoints[-1].read_bytes())
    assert resolve("tiny", progress=False) == folder
    assert names(tmp_path / "home") == sorted([*KEPT, *(f"tiny/{path.name}" for path in checkpoints)])


def test_what_was_not_converted_here_or_has_changed_is_said(
    tiny: dict[str, torch.nn.Module], tmp_path: Path
) -> None:
    folder = resolve("tiny", progress=False)
    path = folder / "drums.h5"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(WeightsError, match=r"drums\.h5: .*SHA256 differs: delete it"):
        resolve("tiny", progress=False)
    path.write_bytes((folder / "bass.h5").read_bytes())
    with pytest.raises(WeightsError, match=r"drums\.h5: .*SHA256 differs: delete it"):
        resolve("tiny", progress=False)
    (folder / "drums.h5.checked").unlink()
    with pytest.raises(WeightsError, match=r"drums\.h5: was not made here of .*drums-.*\.pth: delete it"):
        resolve("tiny", progress=False)
    path.unlink()
    assert resolve("tiny", progress=False) == folder and path.read_bytes() == content


@pytest.mark.parametrize("fault", ["missing", "changed", "code"])
def test_what_fails_leaves_nothing(
    fault: str,
    tiny: dict[str, torch.nn.Module],
    site: tuple[Path, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (path,) = site[0].glob("bass-*.pth")
    if fault == "missing":
        path.unlink()
    else:
        torch.save(torch.nn.Linear(2, 2), path)
    if fault == "code":
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        file = RemoteFile(f"{site[1]}/{path.name}", f"sha256:{digest}")
        monkeypatch.setitem(MODELS, "tiny", tiny_model(file))
    words = {"missing": "404", "changed": "another SHA256", "code": "refused"}[fault]
    with pytest.raises(WeightsError, match=words) as raised:
        resolve("tiny", progress=False)
    assert path.name in str(raised.value) and "\n" not in str(raised.value)
    assert names(tmp_path / "home") == ["tiny"]
