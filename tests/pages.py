"""What the README and the pages in docs/ hold: links, headings, blocks of code, and the commands in them."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xumx.base.console import flags

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])

COMMAND = re.compile(r"(?:(?:mpirun|srun) (?:.*? )?)?(?:python -m )?xumx[ .]")
"""How a line begins that calls xumx, under a launcher or not."""

_REASON = re.compile(r"<!-- not run: (.+) -->")


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes
    ----------
    page : Path
    line : int
        Of its first line in the page, from 1 on.
    language : str
        What its fence says; empty for indented blocks.
    text : str
    reason : str
        Why it is not run, as the comment above it says; empty if it is.
    """

    page: Path
    line: int
    language: str
    text: str
    reason: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"

    def commands(self) -> list[str]:
        """The lines that call xumx, those that go on in the next one joined."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line.strip() for line in lines if COMMAND.match(line.strip())]


def blocks(page: Path) -> list[Block]:
    """All blocks of code of a page, in their order."""
    found: list[Block] = []
    lines, at, reason = page.read_text(encoding="utf-8").splitlines(), 0, ""
    while at < len(lines):
        line = lines[at]
        if said := _REASON.fullmatch(line.strip()):
            reason = said[1]
        elif line.startswith("```"):
            end = lines.index("```", at + 1)
            found.append(Block(page, at + 2, line[3:].strip(), "\n".join(lines[at + 1 : end]), reason))
            at, reason = end, ""
        elif line.startswith("    ") and (at == 0 or not lines[at - 1].strip()):
            end = at
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            text = "\n".join(one[4:] for one in lines[at:end])
            found.append(Block(page, at + 1, "", text, reason))
            at, reason = end - 1, ""
        elif line.strip():
            reason = ""
        at += 1
    return found


def prose(page: Path) -> str:
    """A page without its blocks of code and the marks of what is not run."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(?<=\n)\n(?: {4}.*\n|\n)+", "\n\n", text)


def spans(page: Path) -> list[str]:
    """What stands between single backquotes."""
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose(page))


def links(page: Path) -> list[str]:
    """Where the links and pictures of a page lead."""
    return re.findall(r"\]\(([^()\s]+)\)", re.sub(r"`[^`\n]*`", "", prose(page)))


def anchors(page: Path) -> set[str]:
    """What headings are called in links, where GitHub and Python-Markdown agree on that."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    names = [re.sub(r"[^\w\s-]", "", re.sub(r"[`*]", "", title)).strip().lower() for title in titles]
    return {re.sub(r"\s", "-", name) for name in names} & {re.sub(r"[-\s]+", "-", name) for name in names}


def messages() -> Iterator[str]:
    """All texts in the code of xumx, as a command would print them, with … for what is put in."""
    for path in sorted((ROOT / "xumx").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "…" for p in node.values]
                yield flags("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield flags(node.value)


def arguments(line: str) -> tuple[list[str], bool]:
    """The arguments of xumx in a command line, and whether it is all there, and not cut short by dots.

    Examples
    --------
    >>> arguments("mpirun -n 4 python -m xumx train ...  # on four cores")
    (['train'], False)
    """
    words = shlex.split(line, comments=True)
    words = words[words.index("xumx") + 1 :]
    words = words[: words.index(">")] if ">" in words else words
    return [word for word in words if word != "..."], "..." not in words


def runs(block: Block) -> bool:
    """Whether the suite runs it."""
    return block.language in ("sh", "python") and not block.reason


def main() -> None:
    """List the commands of all pages."""
    for page in PAGES:
        for block in blocks(page):
            state = "runs" if runs(block) else f"is read only: {block.reason or 'a block without a language'}"
            for line in block.commands():
                print(f"{block.place}: {line}\n    {state}")


if __name__ == "__main__":
    main()
