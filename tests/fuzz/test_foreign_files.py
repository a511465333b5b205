"""Any bytes give a result or one line. bench/fuzz.py tries more of them, under limits of memory and time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.files import Source
from tests.fuzz.kinds import KINDS, Fell, Kind, outcome
from tests.fuzz.mutations import Step
from xumx.base.errors import XumxError

AVAILABLE = [name for name, kind in KINDS.items() if kind.available]

number = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Source]:
    return {name: Source(KINDS[name], tmp_path_factory.mktemp(name)) for name in AVAILABLE}


def tracebacks(path: Path) -> None:
    raise KeyError(path.name)


def two_lines(path: Path) -> None:
    raise XumxError("one\nand another")


def exits(path: Path) -> None:
    raise SystemExit(1)


@pytest.mark.parametrize("read", [tracebacks, two_lines, exits])
def test_what_falls_is_seen(tmp_path: Path, read: Callable[[Path], object]) -> None:
    with pytest.raises(Fell):
        outcome(Kind("kind", lambda *_: {}, read), tmp_path / "file")


@pytest.mark.parametrize("name", AVAILABLE)
def test_valid_files_are_read(sources: dict[str, Source], name: str) -> None:
    source = sources[name]
    found = [outcome(source.kind, source.file(which, [])) for which in range(len(source.seeds))]
    assert "result" in found or name == "openunmix", found


@pytest.mark.parametrize("name", AVAILABLE)
@settings(
    max_examples=20,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(which=number, recipe=st.lists(st.tuples(number, number, number), min_size=1, max_size=6))
def test_wrong_files_are_one_line(
    sources: dict[str, Source], name: str, which: int, recipe: list[Step]
) -> None:
    source = sources[name]
    path: Path = source.file(which, recipe)
    assert outcome(source.kind, path) in ("result", "error")
