import runpy
from pathlib import Path

import numba
import pytest

import xumx

ROOT = Path(xumx.__file__).parent
FUNCTIONS = sorted((ROOT / "graph" / "ops" / "cpu").glob("*.py"))
COMPILED = [path for path in FUNCTIONS if "\n@kernel\n" in path.read_text(encoding="utf-8")]
assert COMPILED


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
