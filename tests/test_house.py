"""The plan of the house: what imports what. See docs/architecture.md and tools/house.py."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
NNABLA = ("graph/", "parallel/", "train/", "engines/nnabla.py")
"""Where NNabla may be imported: all else runs on Pythons that have none."""


def _tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("house", ROOT / "tools" / "house.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["house"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


house = _tool()


@pytest.fixture(scope="module")
def found():
    return house.survey(ROOT / "xumx")


def small(tmp_path: Path, **files: str) -> Path:
    """A package of these files: ``base_a="import xumx.test"`` is the file base/a.py."""
    for name, text in files.items():
        path = tmp_path / f"{name.replace('_', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text + "\n")
    return tmp_path


def test_imports_point_down(found):
    problems = house.upward(found)
    assert not problems, f"against FLOORS in tools/house.py: {problems}; move what is shared to a lower room"


def test_no_circles(found):
    for what, arrows in (("rooms", house.between(found.arrows)), ("files", found.imports)):
        circles = house.circles(arrows)
        assert not circles, f"{what} import each other, under TYPE_CHECKING too: {circles}"


def test_the_picture_is_current(found):
    page = PAGE.read_text(encoding="utf-8")
    current = house.with_picture(page, found) == page
    assert current, "imports have changed: run python tools/house.py --page docs/architecture.md"


def test_the_page_has_a_line_for_each_room(found):
    page = PAGE.read_text(encoding="utf-8")
    missing = [room for room in found.rooms if f"| `{room}" not in page]
    assert not missing, f"docs/architecture.md has no line for {missing}"


def test_nnabla_is_imported_where_it_may_be():
    for path in sorted((ROOT / "xumx").rglob("*.py")):
        place = path.relative_to(ROOT / "xumx").as_posix()
        names = house.imported(ast.parse(path.read_text(encoding="utf-8")))
        theirs = [name for name in names if name.split(".")[0] in ("nnabla", "nnabla_ext")]
        assert not theirs or place.startswith(NNABLA), f"{place} imports {theirs[0]}; only {NNABLA} may"


def test_an_import_upward_is_found(tmp_path):
    survey = house.survey(small(tmp_path, base_a="def late():\n    from xumx.signal import b", signal_b=""))
    assert house.upward(survey) == ["base -> signal: base/a.py"]
    assert house.upward(house.survey(small(tmp_path, attic_a=""))) == [
        "attic: not in FLOORS",
        "base -> signal: base/a.py",
    ]


def test_circles_are_found(tmp_path):
    survey = house.survey(
        small(
            tmp_path,
            base_a="import xumx.base.b",
            base_b="from xumx.base import a",
            audio_c="import xumx.base.a",
        )
    )
    assert house.circles(survey.imports) == [["base/a.py", "base/b.py"]]
    assert house.circles(house.between(survey.arrows)) == []
    assert house.between(survey.arrows) == {"audio": {"base"}}


def test_the_picture_leaves_out_what_a_longer_way_shows(tmp_path):
    survey = house.survey(
        small(tmp_path, audio_a="import xumx.base.c", data_b="import xumx.audio.a, xumx.base.c", base_c="")
    )
    lines = house.picture(survey).splitlines()
    assert [line.strip() for line in lines if "-->" in line] == ["audio --> base", "data --> audio"]


def test_a_page_without_marks_is_refused():
    with pytest.raises(ValueError, match="lacks the marks"):
        house.with_picture("no marks", house.House())
