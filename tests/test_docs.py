"""Pages that name files, functions and tests name those that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def test_the_walks_pass_what_is_there():
    """Each row of a walk: a file of xumx/, and functions or classes in it."""
    rows = re.findall(r"^\| \d+ \| `([^`]+)` \| ([^|]+) \|", read("docs/architecture.md"), re.MULTILINE)
    assert len(rows) > 40
    for place, functions in rows:
        names = defined(ROOT / "xumx" / place)
        lost = [name for name in re.findall(r"`([^`]+)`", functions) if name not in names]
        assert not lost, f"docs/architecture.md: xumx/{place} has no {lost[0]} any more; mend the walk"


def defined(path: Path) -> set[str]:
    """Functions, classes and methods (``Class.method``) of a file."""
    assert path.is_file(), (
        f"docs/architecture.md: there is no {path.relative_to(ROOT)} any more; mend the walk"
    )
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    top = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, kinds)]
    methods = {f"{c.name}.{node.name}" for c in top for node in c.body if isinstance(node, kinds)}
    return {node.name for node in top} | methods


def test_contributing_names_files_that_are_there():
    text = read("CONTRIBUTING.md")
    named = set(re.findall(r"`((?:xumx|tests|docs|tools|bench)/[\w/]+\.\w+)`", text))
    assert len(named) > 20
    lost = sorted(name for name in named if "NAME" not in name and not (ROOT / name).is_file())
    assert not lost, f"CONTRIBUTING.md names files that are not there: {lost}"


def test_each_deviation_names_its_tests():
    rows = [row for row in read("docs/deviations.md").splitlines() if re.match(r"\| \d+ ", row)]
    assert len(rows) > 30
    for row in rows:
        file = None
        for path, test in re.findall(r"`([\w/]+\.py)?(?:::(\w+))?`", row.split(" | ")[-1]):
            if path:
                file = ROOT / "tests" / path
                assert file.is_file(), f"docs/deviations.md: there is no tests/{path}: {row}"
            if test:
                assert file is not None, f"docs/deviations.md: {test} is of no file: {row}"
                assert f"def {test}(" in file.read_text(encoding="utf-8"), f"there is no {test}: {row}"
