"""The class for Spleeter Web 4, with what it imports of Spleeter Web in its place."""

from __future__ import annotations

import enum
import importlib.util
import sys
import threading
import types
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.networks import DATA, music
from xumx import Separator
from xumx.audio import Writer, probe, read

FILE = Path(__file__).parents[1] / "examples" / "spleeter_web" / "x_umx_separator.py"
MODEL = str(DATA / "x-umx.h5")


class OutputFormat(enum.IntEnum):
    """As in Spleeter Web's api/models.py."""

    WAV = 0
    FLAC = 1
    MP3_256 = 256


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Any:
    api, models, util = (types.ModuleType(name) for name in ("api", "api.models", "api.util"))
    models.OutputFormat = OutputFormat  # type: ignore[attr-defined]
    util.is_output_format_lossy = lambda value: value not in (0, 1)  # type: ignore[attr-defined]
    util.output_format_to_ext = lambda value: {0: "wav", 1: "flac"}.get(value, "mp3")  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        for module in (api, models, util):
            patch.setitem(sys.modules, module.__name__, module)
        spec = importlib.util.spec_from_file_location("x_umx_separator", FILE)
        assert spec is not None and spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        loaded.MODEL_DIR = tmp_path_factory.mktemp("models")  # in place of a folder where the server starts
        yield loaded


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("songs") / "song.wav"
    with Writer(path, 44100, 2) as writer:
        writer.write(music(0.5))
    return path


def test_parts_and_mixes(example: Any, song: Path, tmp_path: Path) -> None:
    separator = example.XUMXSeparator(True, OutputFormat.FLAC.value, False, 0.5, 1, model=MODEL)
    separator.separate_into_parts(str(song), str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "bass.flac",
        "drums.flac",
        "other.flac",
        "vocals.flac",
    ]
    audio, _ = read(song)
    stems = Separator(MODEL)(audio)
    assert np.abs(read(tmp_path / "bass.flac")[0] - stems["bass"]).max() < 1e-3

    parts = {"vocals": False, "drums": True, "bass": True, "other": False, "piano": False, "guitar": None}
    separator.create_static_mix(parts, str(song), tmp_path / "mix.flac")
    assert np.abs(read(tmp_path / "mix.flac")[0] - stems["drums"] - stems["bass"]).max() < 1e-3


def test_a_song_elsewhere_and_the_default_format(example: Any, song: Path, tmp_path: Path) -> None:
    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(song.parent)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        separator = example.XUMXSeparator(model=[MODEL])
        url = f"http://127.0.0.1:{server.server_port}/song.wav"
        separator.create_static_mix({"vocals": True}, url, tmp_path / "mix.mp3")
    finally:
        server.shutdown()
        server.server_close()
    info = probe(tmp_path / "mix.mp3")
    assert info.sample_rate == 44100
    assert (tmp_path / "mix.mp3").stat().st_size == pytest.approx(256_000 / 8 * 0.5, rel=0.5)
