"""Options as fields: what is made of them, and that the page about them is theirs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from tools.options import PAGE, page
from xumx.base.errors import UsageError
from xumx.base.options import AT_LEAST_ONE, FRACTION, Command, like, option
from xumx.eval.options import EvalOptions


@dataclass(frozen=True, kw_only=True)
class Shared(Command):
    overlap: float | None = option(None, "shared with the next", group="cut", range=FRACTION)


@dataclass(frozen=True, kw_only=True)
class Cut(Shared):
    PROG: ClassVar[str] = "cut"
    ABOUT: ClassVar[str] = "Cut songs."

    names: tuple[str, ...] = option(("a", "b"), "what to cut", also=("-n",))
    pieces: int = option(2, "how many", group="cut", range=AT_LEAST_ONE, of=("own",))
    loud: bool = option(False, "say it")


@dataclass(frozen=True, kw_only=True)
class Other(Cut):
    pieces: int = like(Cut, "pieces", default=7)


@dataclass(frozen=True, kw_only=True)
class Pasted(Command):
    PROG: ClassVar[str] = "paste"
    ABOUT: ClassVar[str] = "Paste songs."

    old: str = option(None, "from", positional=True, required=True, metavar="OLD")
    new: str = option(None, "to", positional=True, required=True, metavar="NEW")


def test_values_are_of_the_field_s_type():
    assert Cut.given(["-n", "x", "y", "--pieces", "3", "--overlap", "0.5", "--loud"]) == {
        "names": ("x", "y"),
        "pieces": 3,
        "overlap": 0.5,
        "loud": True,
    }
    assert Cut.given(["--pieces", "2"]) == {"pieces": 2}, "a default that is given is given"
    assert Cut.parse([]) == Cut() == Cut(names=("a", "b"), pieces=2, overlap=None, loud=False)


def test_help_has_headings_and_defaults():
    text = " ".join(Cut.parser().format_help().split())
    assert "what to cut (default: a b)" in text
    cut = "cut: --overlap OVERLAP shared with the next --pieces PIECES how many (default: 2)"
    assert f"--loud say it {cut}" in text


def test_one_option_is_like_another():
    assert Other().pieces == 7 and "how many (default: 7)" in Other.parser().format_help()
    with pytest.raises(UsageError, match="`pieces` must be 1 or more, not 0"):
        Other(pieces=0)


@pytest.mark.parametrize("value", ["0", "1", "nan"])
def test_ranges(value):
    with pytest.raises(UsageError, match=f"`overlap` must be between 0 and 1, not {float(value)}"):
        Cut.parse(["--overlap", value])


def test_options_of_other_kinds_are_refused():
    Cut.check_kind(["pieces", "loud"], "own")
    with pytest.raises(UsageError, match="`pieces` is for `dataset` own, not for musdb"):
        Cut.check_kind(["pieces", "loud"], "musdb")


def test_an_argument_by_name_and_by_place_is_refused(capsys):
    assert Pasted.given(["a", "b"]) == Pasted.given(["--old", "a", "--new", "b"]) == {"old": "a", "new": "b"}
    with pytest.raises(SystemExit, match="2"):
        Pasted.given(["--old", "a", "b", "c"])
    assert "error: --old is given twice, by its name and as b" in capsys.readouterr().err


def test_a_command_line_gives_the_options_again():
    options = EvalOptions(root="a b", is_wav=True, targets=("drums", "bass"), niter=0, fast=True)
    assert EvalOptions.parse(options.argv()) == options


def test_the_page_is_current():
    assert PAGE.read_text(encoding="utf-8") == page(), "run python tools/options.py"
