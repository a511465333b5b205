"""notebooks/xumx.ipynb, run as Jupyter runs it, with a song that it makes and with a file of one's own.

The two ways go through every line of it, so that each name that it takes from xumx is there.
"""

from __future__ import annotations

import base64
import re
import shlex
import shutil
from io import BytesIO
from pathlib import Path

import matplotlib.image
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from tests.networks import music
from tests.test_frame import PROJECT, ROOT
from xumx import audio
from xumx.network.config import SOURCES
from xumx.separation.options import SongOptions

NOTEBOOK = ROOT / "notebooks" / "xumx.ipynb"
SECONDS = 5
"""Of the song that it makes here."""


@pytest.fixture(autouse=True)
def only_this_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel is this Python with this xumx; kernels and profiles of the user's take no part."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    for variable in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))


Cells = dict[str, nbformat.NotebookNode]
"""By their ids."""


def executed(client: NotebookClient, first: str, before: str, after: str) -> Cells:
    """The cells after a run with a line before and a change in the first; raises the first error of one."""
    cells: Cells = {cell.id: cell for cell in client.nb.cells}
    assert cells["song"].source.count(before) == 1, f"where is {before}?"
    cells["song"].source = first + cells["song"].source.replace(before, after)
    for index, cell in enumerate(client.nb.cells):
        client.execute_cell(cell, index)
    return cells


def outputs(cell: nbformat.NotebookNode, kind: str) -> list[str]:
    """What a cell showed of a MIME type, its printed text being text/plain."""
    printed = [output.text for output in cell.outputs if output.get("name") == "stdout"]
    shown = [output.data[kind] for output in cell.outputs if kind in output.get("data", {})]
    return printed if kind == "text/plain" else shown


def assert_listened_and_drawn(cells: Cells, seconds: int, folder: Path) -> None:
    players = [player for player in outputs(cells["listen"], "text/html") if "<audio" in player]
    names = outputs(cells["listen"], "text/markdown")
    assert names == [f"**{name}**" for name in ("mix", *SOURCES)] and len(players) == len(names)
    for name, player in zip(names, players):
        (folder / "player.mp3").write_bytes(
            base64.b64decode(re.search(r"data:audio/mpeg;base64,([^\"]+)", player)[1])
        )
        sound, rate = audio.read(folder / "player.mp3")
        assert (sound.shape, rate) == ((seconds * 44100, 2), 44100) and np.abs(sound).max() > 0.01, name

    (figure,) = outputs(cells["plot"], "image/png")
    pixels = matplotlib.image.imread(BytesIO(base64.b64decode(figure)), format="png")[..., :3]
    height, width, _ = pixels.shape
    assert height > 800 and width > 1200
    # The waveforms are on the left, on white; of the spectrograms on the right little is as bright.
    assert (pixels[:, : width // 2].min(axis=2) > 0.9).mean() > 0.5
    assert 0.2 < (pixels[:, width // 2 :].max(axis=2) < 0.3).mean() < 0.9


def test_a_song_that_it_makes_and_then_a_file_of_ones_own(tmp_path: Path) -> None:
    """In one kernel, as it is told to do at its end; the second run finds no name of the first."""
    folder, song = tmp_path / "run", tmp_path / "my song.wav"
    folder.mkdir()
    with audio.Writer(song, 22050, 1) as writer:
        writer.write(music(3, rate=22050, channels=1))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
    with client.setup_kernel():
        made = executed(client, "", "START, SECONDS = 0, 20 ", f"START, SECONDS = 0, {SECONDS} ")
        assert_made(made, folder)
        shutil.rmtree(folder / "stems")
        own = executed(client, "%reset -f\n", "\nSONG = None ", f"\nSONG = {str(song)!r} ")
        assert_own(own, folder)


def assert_made(cells: Cells, folder: Path) -> None:
    assert_listened_and_drawn(cells, SECONDS, folder.parent)
    (table,) = outputs(cells["score"], "text/plain")
    rows = [line.split() for line in table.splitlines()[1:]]
    assert [row[0] for row in rows] == list(SOURCES), table
    for source, before, after, gain in rows:
        assert float(after) - float(before) == pytest.approx(float(gain), abs=0.11)
        assert float(gain) > 3, f"{source}: {table}"
    song, rate = audio.read(folder / "song.flac")
    for source in SOURCES:
        stem, its_rate = audio.read(folder / "stems" / f"{source}.wav")
        assert (stem.shape, its_rate) == (song.shape, rate), source
    assert (folder / "stems" / "index.html").is_file()
    (link,) = outputs(cells["file"], "text/html")
    assert "href='stems/index.html'" in link


def assert_own(cells: Cells, folder: Path) -> None:
    assert_listened_and_drawn(cells, 3, folder.parent)
    assert outputs(cells["score"], "text/plain")[0].startswith("no scores")
    stems = folder / "stems"
    assert "my song" in (stems / "index.html").read_text(encoding="utf-8")
    assert {file.name for file in stems.iterdir()} == {"index.html", *(f"{s}.wav" for s in SOURCES)}
    assert {file.name for file in folder.iterdir()} == {"stems", "song.flac"}, "of the run before"


def test_what_is_stored() -> None:
    """Ten cells with names, no results of a run, and nothing of the machine it was written on."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert len(notebook.cells) == len({cell.id for cell in notebook.cells}) == 10
    for cell in notebook.cells:
        assert not cell.metadata, cell.id
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None), cell.id


def test_its_commands_are_right() -> None:
    text = "\n".join(cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells)
    (command,) = re.findall(r"^    python -m xumx.test (.+)$", text, flags=re.MULTILINE)
    args = SongOptions.parse(shlex.split(command))
    assert (args.model, args.report) == (("x-umx",), True)
    (extra,) = re.findall(r'pip install "\.\[(\w+)\]"', text)
    assert extra in PROJECT["optional-dependencies"]
