"""Published checkpoints by name, from a server, where there is no PyTorch."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import pth
from tests.networks import music, random_weights, small_config
from xumx import Separator
from xumx.audio import Writer
from xumx.base.errors import WeightsError
from xumx.network.catalogue import MODELS, Model, RemoteFile
from xumx.network.pretrained import is_here, resolve
from xumx.test import main


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that a mirror serves; the cache is tmp_path/home, and there is no PyTorch."""
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    folder = tmp_path / "site"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    monkeypatch.setenv("XUMX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XUMX_MIRROR", f"http://127.0.0.1:{server.server_port}")
    yield folder
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def umxhq(site: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """What "umxhq" stands for, in small."""
    network = random_weights(small_config(arch="umx"))
    files = []
    (site / "umxhq").mkdir()
    for source in network.config.sources:
        pth.save(site / "umxhq" / f"{source}-01234567.pth", pth.state_of(network, source), zipped=False)
        files.append(RemoteFile(f"doi:10.5281/zenodo.1/{source}-01234567.pth"))
    return publish(monkeypatch, "umxhq", *files, arch="umx")


def publish(monkeypatch: pytest.MonkeyPatch, name: str, *files: RemoteFile, **sizes: Any) -> Model:
    sizes = {"n_fft": 256, "n_hop": 64, "hidden_size": 8, "about": "", "licence": "", "page": "", **sizes}
    monkeypatch.setitem(MODELS, name, Model(name=name, files=files, **sizes))
    return MODELS[name]


def test_a_song_by_the_name_of_a_network(umxhq: Model, tmp_path: Path) -> None:
    with Writer(tmp_path / "song.wav", 44100, 2) as song:
        song.write(music(0.5))
    assert not is_here(umxhq)
    argv = ["--inputs", str(tmp_path / "song.wav"), "--model", "umxhq", "--outdir", str(tmp_path / "out")]
    assert main([*argv, "--quiet"]) == 0
    assert is_here(umxhq)
    assert sorted(path.stem for path in (tmp_path / "out").iterdir()) == sorted(umxhq.sources)


def test_a_changed_record_leaves_what_was_there(umxhq: Model, site: Path, tmp_path: Path) -> None:
    folder = resolve("umxhq", progress=False)
    for path in (folder / "bass.h5", folder / "bass.h5.checked"):
        path.unlink()
    other = random_weights(small_config(arch="umx"), seed=1)
    pth.save(site / "umxhq" / "bass-01234567.pth", pth.state_of(other, "bass"), zipped=False)
    with pytest.raises(WeightsError, match=r"another SHA256 .*bass-01234567\.pth from https://doi\.org/"):
        resolve("umxhq", progress=False)
    assert not list(folder.glob("bass.h5*")), "nothing under its final name"


def test_speech_in_mono_at_its_rate_and_hop(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hop and the rate of umxse stand in no file of it."""
    sizes = {"n_fft": 256, "n_hop": 128, "sample_rate": 16000, "nb_channels": 1}
    network = random_weights(small_config(arch="umx", sources=("speech", "noise"), max_bin=129, **sizes))
    (site / "umxse").mkdir()
    for source in ("speech", "noise"):
        pth.save(site / "umxse" / f"{source}_f5e0d9f9.pth", pth.state_of(network, source))
    files = [RemoteFile(f"doi:10.5281/zenodo.1/{source}_f5e0d9f9.pth") for source in ("speech", "noise")]
    publish(monkeypatch, "umxse", *files, arch="umx", sources=("speech", "noise"), **sizes)
    separator = Separator("umxse")
    assert (separator.config.n_hop, separator.config.sample_rate) == (128, 16000)
    stems = separator(np.zeros((3000, 1), np.float32) + 0.1)
    assert sorted(stems) == ["noise", "speech"] and stems["speech"].shape == (3000, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hidden_size": 16}, "umx of vocals, FFT 256, hop 64, hidden size 8, 2 channels at 44100 Hz"),
        ({"arch": "x-umx"}, "umx of vocals"),
        ({"n_fft": 512}, "FFT 256"),
    ],
    ids=["size", "kind", "FFT"],
)
def test_another_network_than_the_catalogue_says(
    change: dict[str, Any], said: str, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = random_weights(small_config(arch="umx", sources=("vocals",)))
    (site / "mine").mkdir()
    pth.save(site / "mine" / "vocals.pth", pth.state_of(network, "vocals"))
    sizes = {"arch": "umx", "sources": ("vocals",), **change}
    publish(monkeypatch, "mine", RemoteFile("doi:10.5281/zenodo.1/vocals.pth"), **sizes)
    with pytest.raises(
        WeightsError, match=rf"vocals\.pth holds another network than mine: .*{said}"
    ) as raised:
        resolve("mine", progress=False)
    assert "\n" not in str(raised.value)
    assert list((tmp_path / "home" / "mine").iterdir()) == []
