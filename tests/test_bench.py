"""The benchmark's own arithmetic; what it measures is not tested."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import all as whole
from bench import gpu
from bench.common import BenchError, Run, measure, median, table
from bench.ideal import flops_per_second
from bench.page import PAGE, SEPARATION, Part, between, compose, marked, problems, put
from bench.scaling import efficiency, ring_seconds
from bench.separate import Result, scaled, targets
from bench.stages import Stages
from tests.networks import DATA, music
from tests.report.songs import write
from tools.readme_table import DOCUMENT, README, update
from xumx.network.config import ModelConfig


@pytest.mark.parametrize("arch", ["x-umx", "umx"])
@pytest.mark.parametrize("unidirectional", [False, True])
def test_flops_of_a_small_network(arch: str, unidirectional: bool) -> None:
    config = ModelConfig(
        arch=arch, sources=("a", "b", "c"), n_fft=64, n_hop=16, hidden_size=6, nb_layers=2, nb_channels=1,
        max_bin=4, unidirectional=unidirectional, sample_rate=1600,
    )  # fmt: skip
    encoder = 4 * 6
    if unidirectional:
        lstm = 2 * (4 * 6 * (6 + 6))
    else:
        lstm = 2 * (2 * 4 * 3 * (6 + 3))
    decoder = (6 + 6) * 6 + 6 * 33
    expected = 100 * 3 * 2 * (encoder + lstm + decoder)  # frames a second, sources, multiply and add
    assert flops_per_second(config) == expected


def test_flops_of_the_published_network() -> None:
    assert flops_per_second(ModelConfig()) == pytest.approx(3.054e9, rel=1e-3)


@pytest.mark.parametrize("child", [False, True])
def test_measure_sees_memory_of_a_process_and_its_children(tmp_path: Path, child: bool) -> None:
    # More than this process itself, whose size a child's figure starts from.
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + 100_000_000
    code = f"import os; print(os.getcwd()); b'1' * {size}"
    if child:
        code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}], check=True)"
    run = measure([sys.executable, "-c", code], log=tmp_path / "log", cwd=tmp_path)
    assert size / 1e6 < run.peak < size / 1e6 + 100, run
    assert (tmp_path / "log").read_text().strip() == str(tmp_path.resolve())


def test_measure_hides_the_callers_paths_and_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    code = "import os; print([os.environ.get(n) for n in ('PYTHONPATH', 'OMP_NUM_THREADS', 'ADDED')])"
    measure([sys.executable, "-c", code], log=tmp_path / "log", cwd=tmp_path, env={"ADDED": "yes"})
    assert (tmp_path / "log").read_text().strip() == "[None, None, 'yes']"


def test_measure_reports_the_last_line_of_a_failure(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="ended with 3: no such song"):
        measure(
            [sys.executable, "-c", "import sys; print('no such song\\n'); sys.exit(3)"],
            log=tmp_path / "log",
            cwd=tmp_path,
        )


def test_median_leaves_disturbed_runs_out() -> None:
    calm = [Run(1.0, 9.0, 5.0, 0.0), Run(3.0, 7.0, 6.0, 0.01), Run(2.0, 8.0, 4.0, 0.0)]
    assert median([*calm, Run(20.0, 20.0, 20.0, 0.5)]) == Run(2.0, 8.0, 6.0, 0.01)
    calmest = Run(4.0, 4.0, 4.0, 0.3)
    assert median([Run(1.0, 1.0, 1.0, 0.4), calmest]) == calmest
    assert not calmest.calm


def test_every_stage_of_a_song_is_found(tmp_path: Path) -> None:
    """By the names that the functions have: in a process of its own, as it replaces them."""
    song, folder = write(tmp_path / "song.wav", music(1.0)), tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", "bench.stages", song, DATA / "x-umx.h5", folder],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    stages = json.loads(done.stdout)["stages"]
    for name in ("STFT", "network", "Wiener filter", "ISTFT", "cut and blend", "decode", "encode"):
        assert stages[name] > 0, name
    assert len(list(folder.rglob("*.wav"))) == 4


def test_stages_take_inner_time_out_of_the_outer() -> None:
    ticks = iter([0.0, 1.0, 3.0, 7.0, 100.0, 101.0, 200.0, 202.0])
    stages = Stages(clock=lambda: next(ticks))
    inner = stages.function("inner", lambda: None)
    with stages.stage("outer"):
        inner()

    def numbers() -> Iterator[int]:
        yield 1

    assert list(stages.generator("items", numbers)()) == [1]
    assert stages.seconds == {"outer": 1 + 4, "inner": 2, "items": 1 + 2}


def test_targets_compare_times_of_calm_runs() -> None:
    def result(wall: float, seconds: float = 180.0, others: float = 0.0) -> Result:
        return Result("it", Run(wall, 1.0, 1.0, others), seconds)

    results = {
        "xumx": result(4.0),
        "clip": result(2.0, 6.0),
        "openunmix": result(10.0),
        "sony": result(440.0),
    }
    ratios = [("110.00 ×", "yes"), ("2.50 ×", "no"), ("4.00 ×", "no"), ("2.00 ×", "no"), ("2.00 s", "yes")]

    def found(**changed: Result) -> list[tuple[str, str]]:
        return [(row[2], row[3]) for row in targets({**results, **changed}, {"NumPy": 1.0, "BLAS": 2.0})]

    assert found() == ratios
    disturbed = found(openunmix=result(20.0, others=0.4))
    assert disturbed == [ratios[0], ("5.00 ×", "disturbed"), *ratios[2:]]
    assert [met for _, met in found(xumx=result(4.0, others=0.4))] == [*4 * ["disturbed"], "yes"]


SEPARATE = Part(
    {
        "seconds": 180, "clip.seconds": 6, "sony.measured": 30, "outside": 0.3, "products": 2.0,
        "stage.network": 0.7, "stage.rest": 0.3,
        **{f"{name}.{what}": value for name, value in (("xumx", 4), ("first", 6), ("clip", 1), ("sony", 480))
           for what in ("wall", "cpu", "peak")},
    },
    others=0.04,
)  # fmt: skip
ABOUT = {"machine": "a machine", "code": "c0de", "sizes": "all of it", "commit": "1234567"}


def test_the_page_says_what_is_reached_and_what_is_not() -> None:
    parts = {"separate": SEPARATE, "page": Part({"plain.cpu": 8, "page.cpu": 9}, disturbed=["page"])}
    text = compose(parts, ABOUT)
    rows = [
        [cell.strip() for cell in row.split("|")[1:-1]] for row in text.splitlines() if row.startswith("|")
    ]
    assert ["faster than Sony's X-UMX", "120 ×", "≥ 105 ×", "yes"] in rows
    assert ["the very first run, over later ones", "1.5 ×", "≤ 1.25 ×", "no"] in rows
    assert ["CPU that `--report` adds", "12.5 %", "≤ 25 %", "disturbed"] in rows
    assert not any("Open-Unmix" in row[0] for row in rows), "which was not measured"
    assert ["xumx", "4.00 s", "4.0 s", "45.0", "4 MB"] in rows and "120 times as fast" in text
    assert "at most 4 % of the cores" in text and "1234567" in text
    against = problems(parts, ["separate", "page", "long", "many"], {"many": "no mpirun"})
    assert against == ["many failed: no mpirun", "long was not measured", "page was disturbed (page)"]
    assert not problems({"separate": SEPARATE}, ["separate"], {})


def test_parts_are_kept_for_the_same_machine_and_code_only(tmp_path: Path) -> None:
    kept = tmp_path / "page.json"
    assert whole.kept_parts(kept, ABOUT) == {}
    whole.keep(kept, ABOUT, {"separate": SEPARATE})
    assert whole.kept_parts(kept, ABOUT) == {"separate": SEPARATE}
    assert whole.kept_parts(kept, {**ABOUT, "code": "other"}) == {}


def test_the_readme_has_the_table_of_the_page(tmp_path: Path) -> None:
    """If this fails: python tools/readme_table.py."""
    page = between(DOCUMENT.read_text(encoding="utf-8"), PAGE)
    assert between(README.read_text(encoding="utf-8"), SEPARATION) == between(page, SEPARATION)
    for name in ("README.md", "page.md"):
        (tmp_path / name).write_text(f"above\n\n{marked(SEPARATION, name)}\n\nbelow\n", encoding="utf-8")
    put(tmp_path / "page.md", SEPARATION, r"\1 |")
    update(tmp_path / "README.md", tmp_path / "page.md")
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert readme == f"above\n\n{marked(SEPARATION, chr(92) + '1 |')}\n\nbelow\n"
    with pytest.raises(ValueError, match="no marks"):
        put(tmp_path / "README.md", PAGE, "")


def test_scaling_leaves_the_start_alone() -> None:
    assert scaled(2.0, 62.0, 6.0) == 362.0


def test_all_reduce_in_a_ring() -> None:
    # Four ranks: six rounds, each of a quarter of the bytes, and of a message for each bucket.
    assert ring_seconds(4, 4e9, 3, 1e9, 0.1) == pytest.approx(6 * 1 + 6 * 3 * 0.1)
    assert ring_seconds(1, 4e9, 3, 1e9, 0.1) == 0
    assert ring_seconds(10**6, 1e9, 1, 1e9, 0.0) == pytest.approx(2, rel=1e-5)
    assert efficiency(3.0, 1.0) == efficiency(3.0, 2.0, hidden=1.0) == 0.75
    assert efficiency(3.0, 1.0, hidden=2.0) == 1


def test_table() -> None:
    assert table(["a", "bb"], [["ccc", "1"]]).splitlines() == ["| a   | bb |", "| --- | -: |", "| ccc |  1 |"]


def test_the_day_a_gpu_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Dry, each check says what it does, and whether it could here; with the CPU in its place, they work."""
    assert gpu.main(["--dry"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(gpu.CHECKS)
    for line, check in zip(lines, gpu.CHECKS, strict=True):
        assert line.startswith(f"{check.kind}: {check.about}: {check.run.__doc__}"[:60])
        assert line.endswith("Would run here.") or "Not here: " in line
    assert gpu.main(["--rehearse", "--only", "onnx"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert [re.match(r"onnx: .*: ([\d.]+)", line) is not None for line in lines] == [True] * 3
    assert last.startswith("rehearsed with the CPU")


def test_what_fails_on_a_gpu_is_a_line() -> None:
    def wrong() -> str:
        raise gpu.Failed("the estimates differ by 1e-2 of the peak")

    checks = [
        gpu.Check("a", "first", wrong, gpu.nothing),
        gpu.Check("a", "second", lambda: "right", gpu.nothing),
    ]
    assert list(gpu.rows(checks, dry=False)) == [
        ("a: first", "FAILED: Failed: the estimates differ by 1e-2 of the peak", True),
        ("a: second", "right", False),
    ]
