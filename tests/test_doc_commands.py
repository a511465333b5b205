"""The commands of the README and of the pages do what they say: they run, and the others can be understood.

A block of `sh` or `python` runs among small stand-ins (`tests/doc_folder.py`), unless a comment above it
says why not. All other commands, in tables and sentences too, are read by the options of their command.
`python -m tests.pages` lists what runs and what does not.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import shlex
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests import doc_folder
from tests.pages import PAGES, ROOT, Block, arguments, blocks, runs, spans
from xumx.__main__ import main
from xumx.base.cli import Parser
from xumx.base.options import Command, declared
from xumx.completion import CompletionOptions
from xumx.convert import ConvertOptions
from xumx.demo import song
from xumx.demo.options import DemoDataset, DemoSong
from xumx.eval.options import EvalOptions
from xumx.export import ExportOptions
from xumx.models import ModelsOptions
from xumx.separation.options import SongOptions
from xumx.serve.options import ServeOptions, WorkerOptions
from xumx.study.options import PASSED, StudyOptions
from xumx.train.options import TrainOptions

OPTIONS: dict[str, type[Command]] = {
    "separate": SongOptions, "song": DemoSong, "dataset": DemoDataset, "models": ModelsOptions,
    "train": TrainOptions, "eval": EvalOptions, "study": StudyOptions, "convert": ConvertOptions,
    "export": ExportOptions, "completion": CompletionOptions, "serve": ServeOptions, "worker": WorkerOptions,
}  # fmt: skip

NEEDS = {"train": "nnabla", "study": "nnabla", "eval": "museval", "dataset": "musdb"}

_NETWORK = "--hidden-size 8 --nfft 256 --nhop 128 --bandwidth 10200"
_STEP = "--seq-dur 0.2 --batch-size 1 --samples-per-track 1 --epochs 1 --nb-workers 0"
SMALL = {
    "train": f"{_NETWORK} {_STEP} --quiet",
    "eval": "--cores 1 --fast --quiet",
    "song": "--duration 2 --model weights/x-umx.h5",
    "dataset": "--tracks 1 --valid 1 --test 1 --duration 1 --workers 1 --quiet",
}
"""What stands behind the options of a page, and so wins."""

RUNNING = [page for page in PAGES if any(runs(block) for block in blocks(page))]


def options_of(argv: list[str]) -> tuple[str, list[str]]:
    """The command's name in `OPTIONS`, and what follows it."""
    if argv[0] == "demo":
        name = argv[1] if argv[1:] and argv[1] in OPTIONS else "song"
        return name, argv[2:] if argv[1:2] == [name] else argv[1:]
    return argv[0], argv[1:]


def written() -> Iterator[tuple[str, list[str], bool]]:
    """Place and arguments of every command of the pages, and whether it is all there."""
    for page in PAGES:
        for block in blocks(page):
            for line in block.commands():
                yield block.place, *arguments(line)
        for span in spans(page):
            if (
                re.match(r"(mpirun .*)?xumx \w", span) and '\\"' not in span
            ):  # the latter are for other shells
                argv, _ = arguments(span)
                yield f"{page.name}: {span}", argv, False


def test_every_command_of_the_pages_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "options.txt").write_text("song.mp3\n")
    seen = 0
    for place, argv, whole in written():
        if argv[0] in ("--version", "COMMAND") or {"--help", "--help-all"} & {*argv}:
            continue
        name, rest = options_of(argv)
        assert name in OPTIONS, f"{place}: there is no command {name}"
        try:
            OPTIONS[name].given(rest) if whole else reader(OPTIONS[name]).parse_args(rest)
        except SystemExit:
            pytest.fail(f"{place}: xumx {shlex.join(argv)} is wrong usage")
        seen += 1
    assert seen > 100


def reader(command: type[Command]) -> Parser:
    """A parser that misses nothing."""
    parser = Parser()
    for one in declared(command).values():
        replace(one, required=False).add_to(parser)
    if command is StudyOptions:
        for name in PASSED:
            replace(declared(TrainOptions)[name], group="").add_to(parser)
    return parser


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages") / "ready"
    folder.mkdir()
    doc_folder.fill(folder)
    if importlib.util.find_spec("musdb"):
        doc_folder.data_sets(folder)
    return folder


@pytest.fixture()
def folder(ready: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a page runs in."""
    own = tmp_path / "own"
    shutil.copytree(ready, own)
    monkeypatch.chdir(own)
    monkeypatch.setenv("XUMX_HOME", str(own / "cache"))
    monkeypatch.setattr("webbrowser.open", lambda _: True)
    monkeypatch.setattr(song, "_scores", lambda *_: {})  # which takes most of the time, and has tests
    if importlib.util.find_spec("matplotlib"):  # half of the time of training and scoring on data this small
        monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda _, path, **__: Path(path).touch())
    if importlib.util.find_spec("museval"):
        monkeypatch.setattr("xumx.eval.work.process_pool", thread)
    return own


def thread(_: int, start, given) -> ThreadPoolExecutor:
    """In place of processes, each of which would import everything anew."""
    return ThreadPoolExecutor(1, initializer=start, initargs=given)


@pytest.mark.skipif(importlib.util.find_spec("nnabla") is None, reason="runs where all commands do")
@pytest.mark.parametrize("page", RUNNING, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_blocks_of_a_page_run(page: Path, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for block in filter(runs, blocks(page)):
        if block.language == "python":
            run_python(block)
            continue
        for line in block.commands():
            argv, _ = arguments(line)
            if missing(argv):
                continue
            code = run_command(argv)
            out, err = capfd.readouterr()
            # What --check-data finds in noise is not the point.
            fine = (0, 1) if "--check-data" in argv else (0,)
            assert code in fine, f"{block.place}: {line} ends with {code}: {out}{err}"


def missing(argv: list[str]) -> bool:
    """Whether this Python lacks the packages of a command."""
    need = NEEDS.get(options_of(argv)[0]) if not argv[0].startswith("-") else None
    return need is not None and importlib.util.find_spec(need) is None


def run_command(argv: list[str]) -> int:
    try:
        return main(stand_in(argv))
    except SystemExit as stop:
        return int(str(stop.code))


def stand_in(argv: list[str]) -> list[str]:
    """The same command on what is in the folder, small."""
    if argv[0].startswith("-"):
        return argv
    name, rest = options_of(argv)
    rest = [re.sub("^/data/", "data/", word) for word in rest]
    more = SMALL.get(name, "").split()
    if name == "train" and "--output" in rest:  # what is there is a stand-in for what the command makes
        shutil.rmtree(rest[rest.index("--output") + 1], ignore_errors=True)
    elif name == "train" and "--check-data" not in rest:  # a run that goes on: its sizes are fixed
        more = ["--epochs", "2", "--quiet"]
    if name == "eval" and "--compare" in rest:
        more = []
    if name in ("train", "eval") and any(word.endswith("musdb18") for word in rest):
        more.append("--is-wav")
    if "--start" in rest:
        more += ["--start", "0.2", "--duration", "0.2"]
    return [*argv[: len(argv) - len(rest)], *rest, *more]


def run_python(block: Block) -> None:
    audio = doc_folder.audio()
    given = {"audio": audio, "blocks": [audio[:20000], audio[20000:]], "play": lambda _: None}
    with contextlib.redirect_stdout(None):
        exec(compile(block.text, block.place, "exec"), given)


def test_blocks_that_do_not_run_say_why() -> None:
    for page in PAGES:
        for block in blocks(page):
            if block.language == "sh" and not block.reason and page.name != "CONTRIBUTING.md":
                lines = [line for line in block.text.replace("\\\n", " ").splitlines() if line.strip()]
                assert block.commands() == [line.strip() for line in lines], f"{block.place}: not all is xumx"


def test_a_wrong_command_in_a_page_is_found() -> None:
    for line in ("xumx separate song.mp3 --two-stem vocals", "xumx export -n x --output"):
        argv, whole = arguments(line)
        assert whole
        with pytest.raises(SystemExit):
            OPTIONS[argv[0]].given(argv[1:])
