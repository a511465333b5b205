"""Measure the house: the rooms of xumx, the imports between them, and what has grown too long.

    python tools/house.py               print the figures
    python tools/house.py --page FILE   write the picture into a page, between its two marks
    python tools/house.py --check       exit 1 if an import points up or in a circle

A room is a package or a module directly in xumx/. An arrow is one room that imports from another, wherever in
a file the import stands, under TYPE_CHECKING too. FLOORS says which rooms may import which: those below them.
Only the standard library is needed.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = "xumx"

FLOORS = (
    ("__main__", "completion"),
    ("demo", "study", "serve"),
    ("test", "eval", "train"),
    ("separation", "convert", "export", "models"),
    ("engines", "synth"),
    ("graph", "data", "report"),
    ("parallel", "network"),
    ("signal", "audio"),
    ("base",),
)
"""From the top of the house to its ground. Imports point down: never up, and never sideways in a circle."""

LONGEST = 60
"""Lines that a function may have, without its docstring."""

SHARED = 6
"""Lines in a row, without comments and imports, that count as written twice."""

MARKS = "<!-- house: made by tools/house.py -->", "<!-- house: end -->"


@dataclass
class House:
    """What was found in a folder of Python files."""

    files: dict[str, int] = field(default_factory=dict)  # path below the package: lines
    imports: dict[str, set[str]] = field(default_factory=dict)  # path: paths that it imports
    functions: list[tuple[int, str]] = field(default_factory=list)  # lines without docstring, where
    windows: dict[tuple[str, ...], set[str]] = field(default_factory=lambda: defaultdict(set))

    @property
    def arrows(self) -> dict[tuple[str, str], int]:
        """Imports of one file by another, counted by the rooms of both."""
        found: dict[tuple[str, str], int] = defaultdict(int)
        for path, others in self.imports.items():
            for other in others:
                if room(path) != room(other):
                    found[room(path), room(other)] += 1
        return dict(found)

    @property
    def rooms(self) -> list[str]:
        return sorted({room(path) for path in self.files} - {"__init__"})


def room(path: str) -> str:
    """The first name below the package: ``graph/model.py`` is in ``graph``, ``test.py`` is ``test``."""
    return path.partition("/")[0].removesuffix(".py")


def survey(root: Path) -> House:
    """Read all Python files below ``root``, which is the package's folder."""
    house = House()
    sources = {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in root.rglob("*.py")
    }
    for path, source in sorted(sources.items()):
        tree = ast.parse(source)
        house.files[path] = source.count("\n")
        house.imports[path] = {other for name in imported(tree) if (other := file_of(name, sources))} - {path}
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                house.functions.append((length(node), f"{path}:{node.lineno} {node.name}"))
        remember(house, path, source)
    return house


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names that a file imports from the package, each as far as it could be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def file_of(name: str, sources: dict[str, str]) -> str | None:
    """The file that holds what a dotted name says: a module, or the last package on the way to it."""
    first, *parts = name.split(".")
    if first != PACKAGE:
        return None
    for end in range(len(parts), -1, -1):
        stem = "/".join(parts[:end])
        for path in (f"{stem}.py", f"{stem}/__init__.py" if stem else "__init__.py"):
            if path in sources:
                return path
    return None


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        lines -= (first.end_lineno or 0) - first.lineno + 1
    return lines


def remember(house: House, path: str, source: str) -> None:
    """Note every run of SHARED lines, by which files repeat each other."""
    lines = [line.strip() for line in source.splitlines()]
    lines = [line for line in lines if len(line) > 3 and not line.startswith(("#", "import ", "from "))]
    for begin in range(len(lines) - SHARED + 1):
        house.windows[tuple(lines[begin : begin + SHARED])].add(path)


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected groups of more than one (Tarjan, 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(arrows.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(arrows):
        if node not in index:
            visit(node)
    return found


def upward(house: House) -> list[str]:
    """Imports against FLOORS, and rooms that FLOORS does not know."""
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    found = [f"{name}: not in FLOORS" for name in house.rooms if name not in floor]
    for above, below in sorted(house.arrows):
        if above in floor and below in floor and floor[above] > floor[below]:
            files = [path for path in house.imports if room(path) == above]
            culprits = [path for path in files if any(room(other) == below for other in house.imports[path])]
            found.append(f"{above} -> {below}: {', '.join(culprits)}")
    return found


def depth(arrows: dict[str, set[str]]) -> int:
    """Rooms on the longest way down."""
    known: dict[str, int] = {}

    def below(name: str, way: tuple[str, ...] = ()) -> int:
        if name in way:  # a circle, which is told elsewhere
            return 0
        if name not in known:
            known[name] = 1 + max((below(other, (*way, name)) for other in arrows.get(name, ())), default=0)
        return known[name]

    return max((below(name) for name in arrows), default=1)


def between(arrows: dict[tuple[str, str], int]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for above, below in arrows:
        if "__init__" not in (above, below):
            found[above].add(below)
    return dict(found)


def figures(house: House) -> str:
    """The measures, as text."""
    arrows = between(house.arrows)
    files = {path: set(others) for path, others in house.imports.items()}
    twice = sum(len(paths) > 1 for paths in house.windows.values())
    synth = sum(lines for path, lines in house.files.items() if "synth/" in path)
    total = sum(house.files.values())
    longest = sorted(house.functions, reverse=True)
    over = [f"    {lines:3} {where}" for lines, where in longest if lines > LONGEST]
    folders: dict[str, int] = defaultdict(int)
    for path in house.files:
        folders[path.rpartition("/")[0] or "."] += 1
    rows = [
        ("rooms", len(house.rooms)),
        ("arrows between rooms", sum(map(len, arrows.values()))),
        ("floors", depth(arrows)),
        ("circles of rooms", len(circles(arrows))),
        ("circles of files", len(circles(files))),
        ("upward imports", len(upward(house))),
        (f"functions over {LONGEST} lines", len(over)),
        (f"runs of {SHARED} lines that stand in two files", twice),
        ("lines", total),
        ("lines without synth/", total - synth),
        ("files at the top", folders["."]),
        ("files in the fullest folder", max(folders.values())),
    ]
    text = [f"{name:<45}{value:>7,}" for name, value in rows]
    text += ["", "longest functions:", *(f"    {lines:3} {where}" for lines, where in longest[:5])]
    text += ["", "longest files:"]
    text += [f"    {lines:3} {path}" for path, lines in sorted(house.files.items(), key=lambda i: -i[1])[:5]]
    text += ["", "rooms (lines, files):"]
    for name in house.rooms:
        sizes = [lines for path, lines in house.files.items() if room(path) == name]
        text.append(
            f"    {name:<12}{sum(sizes):>6,}{len(sizes):>4}  -> {', '.join(sorted(arrows.get(name, ())))}"
        )
    problems = [f"    {line}" for line in upward(house)]
    problems += [f"    circle of rooms: {', '.join(group)}" for group in circles(arrows)]
    problems += [f"    circle of files: {', '.join(group)}" for group in circles(files)]
    return "\n".join(text + (["", "against the plan:", *problems] if problems else []))


def picture(house: House) -> str:
    """The rooms by floor and the arrows that no longer way replaces, as a Mermaid graph."""
    arrows = between(house.arrows)

    def reaches(begin: str, end: str, way: frozenset[str] = frozenset()) -> bool:
        return any(
            other == end or (other not in way and reaches(other, end, way | {other}))
            for other in arrows.get(begin, ())
        )

    lines = ["```mermaid", "flowchart TD"]
    for number, names in enumerate(FLOORS):
        here = [name for name in names if name in house.rooms]
        if here:
            lines.append(f"    subgraph floor{number}[ ]")
            lines += [f"        {name.strip('_')}[{name}]" for name in here]
            lines.append("    end")
    for above, others in sorted(arrows.items()):
        for below in sorted(others):
            if not any(reaches(other, below) for other in others - {below}):
                lines.append(f"    {above.strip('_')} --> {below}")
    return "\n".join([*lines, "```"])


def with_picture(text: str, house: House) -> str:
    """The text of a page, the picture between its marks made anew.

    Raises
    ------
    ValueError
        If it lacks the marks.
    """
    before, _, rest = text.partition(MARKS[0])
    _, mark, after = rest.partition(MARKS[1])
    if not mark:
        raise ValueError(f"lacks the marks {MARKS[0]} and {MARKS[1]}")
    return f"{before}{MARKS[0]}\n\n{picture(house)}\n\n{mark}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--page", type=Path, help="write the picture between the marks of this Markdown file")
    parser.add_argument("--check", action="store_true", help="exit 1 if an import points up or in a circle")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1] / PACKAGE, help="the package")
    args = parser.parse_args()
    house = survey(args.root)
    if args.page:
        try:
            text = with_picture(args.page.read_text(encoding="utf-8"), house)
        except ValueError as error:
            sys.exit(f"{args.page}: {error}")
        args.page.write_text(text, encoding="utf-8")
    else:
        print(figures(house))
    return int(args.check and bool(upward(house) or circles(between(house.arrows))))


if __name__ == "__main__":
    sys.exit(main())
