"""Programs written for Sony's code, as they call."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engines.test_onnx import golden
from tests.networks import DATA, music, random_weights, small_config
from xumx import Separator
from xumx.base.errors import UsageError, WeightsError
from xumx.engines import Stored
from xumx.network import weights
from xumx.separation import compat
from xumx.separation import separator as separator_module
from xumx.test import separate, separate_args_dict

SOURCES = ["bass", "drums", "vocals", "other"]
RATE = 44100


@pytest.fixture(autouse=True)
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """An empty cache; the networks that were loaded since."""
    compat._separator.cache_clear()
    paths: list[Path] = []

    def counted(path: Any, model_dir: Any) -> Stored:
        paths.append(Path(path))
        return Stored(path, model_dir)

    monkeypatch.setattr(separator_module, "Stored", counted)
    yield paths
    compat._separator.cache_clear()


def options(model: Path | str = DATA / "x-umx.h5", **changes: Any) -> dict[str, Any]:
    """All that Spleeter Web gives, changed as asked."""
    given = {"model": str(model), "umx_infer": False, "targets": SOURCES, "softmask": False, "alpha": 1.0}
    return {**given, "residual_model": False, "niter": 1, **changes}


def in_chunks(song: np.ndarray, seconds: float, args: dict[str, Any]) -> dict[str, np.ndarray]:
    """A song one chunk at a time, put together again, as Spleeter Web goes about it."""
    length = round(seconds * RATE)
    pieces = [separate_args_dict(song[at : at + length], args) for at in range(0, len(song), length)]
    return {name: np.concatenate([piece[name] for piece in pieces], axis=0) for name in pieces[0]}


def test_spleeter_web(loads: list[Path]) -> None:
    song = music(2.3)
    before = song.copy()
    stems = in_chunks(song, 1, options())
    assert list(stems) == SOURCES
    assert loads == [DATA / "x-umx.h5"], "loaded once for all chunks"
    whole = Separator(DATA / "x-umx.h5", chunk_dur=0, level="as-is")
    for name, stem in stems.items():
        assert stem.shape == song.shape and stem.dtype == np.float32
        expected = np.concatenate([whole(song[at : at + RATE])[name] for at in range(0, len(song), RATE)])
        np.testing.assert_allclose(stem, expected, atol=1e-6, err_msg=name)
    np.testing.assert_array_equal(song, before)


@pytest.mark.parametrize(
    "name, changes",
    [
        ("niter0", {"niter": 0}),
        ("niter2", {"niter": 2}),
        ("softmask_alpha05_niter0", {"niter": 0, "softmask": True, "alpha": 0.5}),
        ("residual", {"residual_model": True}),
    ],
)
def test_stems_are_those_of_sonys_code(name: str, changes: dict[str, Any]) -> None:
    audio = golden("audio")
    stems = separate_args_dict(audio, options(**changes))
    assert set(stems) == {*SOURCES, *(["residual"] if name == "residual" else [])}
    expected = {stem: golden(f"xumx/separate/{name}/{stem}") for stem in stems}
    peak = max(np.abs(stem).max() for stem in expected.values())
    for stem, found in stems.items():
        assert found.shape == audio.shape
        # As in test_separator.py: every 4th sample, without the end that Sony's code spoils.
        difference = found[::4][: len(expected[stem])] - expected[stem]
        assert np.abs(difference[:-128]).max() < 1e-4 * peak, stem


def test_the_client_of_spleeter_web_in_its_own_process(tmp_path: Path) -> None:
    """Its imports, and its preparation of NNabla where that is installed; elsewhere nothing asks for it."""
    np.save(tmp_path / "song.npy", music(1.2))
    nnabla = """
import nnabla as nn
from nnabla.ext_utils import get_extension_context
nn.set_default_context(get_extension_context("cpu"))
nn.set_auto_forward(True)
"""
    code = f"""
import sys
import numpy as np
from xumx.test import separate_args_dict
assert "xumx.separation.separator" not in sys.modules, "the import is light"
song = np.load("song.npy").astype(float)
stems = {{}}
for at in range(0, len(song), 22050):
    for name, piece in separate_args_dict(song[at : at + 22050], {options()!r}).items():
        stems[name] = np.concatenate((stems[name], piece)) if name in stems else piece
print(*stems, *{{stem.shape for stem in stems.values()}}, "nnabla" in sys.modules, "numba" in sys.modules)
"""
    has_nnabla = sys.version_info < (3, 11)
    done = subprocess.run(
        [sys.executable, "-c", (nnabla if has_nnabla else "") + code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(compat.__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()[-1]
    assert said == f"bass drums vocals other (52920, 2) {has_nnabla} False", done.stdout


def test_the_context_that_the_program_has_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    context = types.SimpleNamespace(backend=["cudnn:float", "cuda:float", "cpu:float"], device_id="1")
    made = []

    class Fake:
        config = small_config()

        def __init__(self, path: Path, **given: Any) -> None:
            made.append((given["context"], given["device_id"]))

        def __call__(self, audio: np.ndarray) -> dict[str, np.ndarray]:
            return {}

    monkeypatch.setattr(separator_module, "Separator", Fake)
    monkeypatch.setitem(sys.modules, "nnabla", types.SimpleNamespace(get_current_context=lambda: context))
    separate_args_dict(music(0.1), options())
    context.backend = ["cpu:float"]
    separate_args_dict(music(0.1), options())
    monkeypatch.delitem(sys.modules, "nnabla")
    separate_args_dict(music(0.1), options())
    assert made == [("cudnn", "1"), ("cpu", None), ("auto", None)]


def test_the_fork_takes_a_namespace() -> None:
    song = music(0.5)
    expected = separate_args_dict(song, options(softmask=True, alpha=0.5, niter=0))
    others = {"inputs": ["song.mp3"], "out_dir": None, "context": "cpu", "chunk_dur": None}
    args = argparse.Namespace(**options(softmask=True, alpha=0.5, niter=0), **others)
    found = separate(song, args)
    assert list(found) == SOURCES
    for name, stem in expected.items():
        np.testing.assert_array_equal(found[name], stem)
    plain = separate(song, argparse.Namespace(model=str(DATA / "x-umx.h5")))
    assert list(plain) == SOURCES
    assert np.abs(plain["drums"] - found["drums"]).max() > 1e-3, "the options act"


@pytest.mark.parametrize(
    "changes, names",
    [
        ({"targets": ["other", "bass"]}, ["other", "bass"]),
        ({"targets": ["vocals"]}, ["vocals", "accompaniment"]),
        ({"targets": ["vocals"], "residual_model": True}, ["vocals", "accompaniment"]),
        ({"residual_model": True}, [*SOURCES, "residual"]),
        ({"targets": ["bass", "vocals"], "residual_model": True}, ["bass", "vocals", "residual"]),
        ({"targets": None, "residual_model": True}, [*SOURCES, "residual"]),
    ],
    ids=str,
)
def test_names_of_the_stems(changes: dict[str, Any], names: list[str]) -> None:
    song = music(0.5)
    stems = separate_args_dict(song, options(**changes))
    assert list(stems) == names
    if "accompaniment" in names:
        np.testing.assert_allclose(stems["vocals"] + stems["accompaniment"], song, atol=1e-6)
    if not changes.get("residual_model"):
        every = separate_args_dict(song, options())
        for name in set(names) & set(SOURCES):
            np.testing.assert_array_equal(stems[name], every[name])


def test_umx() -> None:
    song = music(0.5)
    stems = separate_args_dict(song, options(DATA / "umx", umx_infer=True))
    assert list(stems) == SOURCES
    alone = separate_args_dict(song, options(DATA / "umx" / "vocals.h5", umx_infer=True, targets=["vocals"]))
    assert list(alone) == ["vocals", "accompaniment"]
    with pytest.raises(UsageError, match=r"umx_infer: .*x-umx\.h5 is no UMX but x-umx"):
        separate_args_dict(song, options(umx_infer=True))


def test_changed_weights_are_loaded_again(tmp_path: Path, loads: list[Path]) -> None:
    song = music(0.3)
    model = tmp_path / "x-umx.h5"
    shutil.copy(DATA / "x-umx.h5", model)
    first = separate_args_dict(song, options(model))
    separate_args_dict(song, options(model))
    separate_args_dict(song, options(model, targets=tuple(SOURCES)))
    assert len(loads) == 1
    weights.save(model, random_weights(small_config()))
    second = separate_args_dict(song, options(model))
    assert len(loads) == 2 and np.abs(first["bass"] - second["bass"]).max() > 1e-3

    shutil.copytree(DATA / "umx", tmp_path / "umx")
    for _ in range(2):
        separate_args_dict(song, options(tmp_path / "umx"))
    assert loads.count(tmp_path / "umx") == 1
    os.utime(tmp_path / "umx" / "drums.h5", ns=(0, 0))
    separate_args_dict(song, options(tmp_path / "umx"))
    assert loads.count(tmp_path / "umx") == 2


@pytest.mark.parametrize(
    "changes, error, named",
    [
        ({"model": None}, UsageError, "model"),
        ({"model": "no/such.h5"}, WeightsError, "no/such.h5"),
        ({"targets": ["vocal"]}, UsageError, "vocal"),
        ({"targets": []}, UsageError, "`targets`"),
        ({"targets": "vocals"}, UsageError, "v"),
        ({"niter": -1}, UsageError, "`niter`"),
    ],
    ids=str,
)
def test_bad_options(changes: dict[str, Any], error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named) as raised:
        separate_args_dict(music(0.1), {**options(), **changes})
    assert "\n" not in str(raised.value)
