"""Pages that name files, functions, tests, messages and each other name what is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.pages import PAGES, ROOT, anchors, links, messages


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


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    """Files are there, and headings are called as links say, on the site and in the raw page."""
    for link in links(page):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), f"{page.name}: {link} leads to no file"
        if page.is_relative_to(ROOT / "docs"):
            assert target.is_relative_to(ROOT / "docs"), f"{page.name}: {link} leaves the site"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link} is no heading there"


def test_the_navigation_has_every_page():
    named = re.findall(r"^ *- [^#\n]+: ([\w/-]+\.md)$", read("mkdocs.yml"), re.MULTILINE)
    there = [path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/**/*.md")]
    assert sorted(named) == sorted(there), "mkdocs.yml: nav and the pages in docs/ differ"


def test_messages_with_an_answer_are_those_of_the_code():
    titles = re.findall(r"^### `(.+)`$", read("docs/faq.md"), re.MULTILINE)
    assert len(titles) > 30
    said = "\n".join(messages())
    for title in titles:
        pattern = ".*".join(re.escape(part) for part in title.split("…"))
        assert re.search(pattern, said), f"docs/faq.md: no message is {title!r}"
