import importlib.util
import runpy
from pathlib import Path

import numba
import numpy as np
import pytest

import xumx
from xumx.base.kernels import aligned, cached, compiling

ROOT = Path(xumx.__file__).parent
COMPILED = [ROOT / "signal" / "em.py"]
if importlib.util.find_spec("nnabla"):
    FUNCTIONS = sorted((ROOT / "graph" / "ops" / "cpu").glob("*.py"))
    COMPILED += [path for path in FUNCTIONS if "\n@kernel\n" in path.read_text(encoding="utf-8")]
    assert len(COMPILED) > 1


@pytest.mark.parametrize("file", COMPILED, ids=lambda file: file.stem)
def test_compiled_code_needs_no_folder_for_its_cache(file, tmp_path, monkeypatch):
    copy = tmp_path / file.name
    copy.write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "__pycache__").write_text("a file where the folder would be")
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    for variable in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(copy / "none"))
    loaded = runpy.run_path(str(copy))
    compiled = [item for item in loaded.values() if hasattr(item, "enable_caching")]
    assert compiled
    with pytest.raises(RuntimeError, match="cannot cache"):
        next(item for item in compiled if Path(item.py_func.__code__.co_filename) == copy).enable_caching()


def twice(value):
    return value * 2


def test_who_waits_for_compiling_is_told_of_it_once(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    inner, told = cached(numba.njit)(twice), []
    outer = cached(numba.njit)(lambda value: inner(value) + 1)
    with compiling(told.append):
        assert outer(1) == 3
        assert told == [True, False], "both functions are one wait"
        assert outer(2) == 5
        assert cached(numba.njit)(twice)(3) == 6, "from the cache"
    assert outer(1.0) == 3.0
    assert told == [True, False], "what is compiled already, and what is after the block, is not told"


def test_memory_starts_at_a_cache_line():
    for shape in ((3,), (2, 5), (0,), (4, 1, 7)):
        array = aligned(*shape)
        assert array.shape == shape and array.dtype == np.float32
        assert array.ctypes.data % 64 == 0 or not array.size
