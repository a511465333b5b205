"""JSON of strangers: what it should be, or one line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from xumx.base import jsonfile
from xumx.base.jsonfile import DEEPEST, JsonError

DEEP = 100_000 * "[" + 100_000 * "]"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", "3", "null", '{"a": "1"}', '{"a": 1.5}', '{"a": true}', '{"a": 1e400}',
     '{"a": ' + DEEP + "}", '{"a": 1' + 5000 * "0" + "}", "\xff", '{"\\ud800": "1"}'],
)  # fmt: skip
def test_what_is_not_of_the_type_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "some.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(JsonError, match=r"some\.json: ") as caught:
        jsonfile.read(path, dict[str, int])
    assert len(str(caught.value).splitlines()) == 1 and len(str(caught.value)) < 300


def test_depth_ends_where_it_says() -> None:
    assert jsonfile.parse(DEEPEST * "[" + DEEPEST * "]", list[Any])
    for deeper in (DEEPEST + 1, 900):
        with pytest.raises(JsonError, match="nested more than"):
            jsonfile.parse(deeper * "[" + deeper * "]", list[Any])
        with pytest.raises(JsonError, match="nested more than"):
            jsonfile.parse(deeper * '{"a":' + "1" + deeper * "}", dict[str, Any])


def test_what_is_of_the_type_is_read(tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": [1, 2], "caf\\u00e9": []}')
    assert jsonfile.read(path, dict[str, list[int]]) == {"a": [1, 2], "café": []}


def test_no_file_a_large_one_and_none_that_can_be_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    for missing in (path, path / "below"):
        with pytest.raises(FileNotFoundError):
            jsonfile.read(missing, dict[str, int])
        path.write_text('{"a": 1}')
    with pytest.raises(JsonError, match="too large"):
        jsonfile.read(path, dict[str, int], largest=7)
    os.mkfifo(tmp_path / "pipe")
    for other in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(JsonError, match="no regular file"):
            jsonfile.read(other, dict[str, int])
    with pytest.raises(JsonError, match="cannot be read"):
        jsonfile.read(tmp_path, dict[str, int])
