"""``python -m xumx.convert`` where PyTorch is not needed yet, or missing; tests/convert has the rest."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.networks import DATA, random_weights, small_config
from xumx.convert import main
from xumx.network import pytorch as conversion
from xumx.network import weights

UMX = str(DATA / "umx")


@pytest.mark.parametrize(
    "options, code, named",
    [
        (["a.pth"], 2, "OUTPUT"),
        (["missing.pth", "a.h5"], 1, "missing.pth: no such file"),
        (["missing", "a", "--to", "openunmix"], 1, "missing: no such file"),
        ([UMX, "out"], 2, "--to openunmix"),
        ([f"{UMX}/bass.h5", "out.h5"], 2, "--to openunmix"),
        ([UMX, "out", "--to", "torch"], 2, "--to"),
        ([UMX, "out.h5", "--to", "openunmix"], 2, "out.h5: Open-Unmix's weights are a folder"),
        (["a.pth", "out", "--to", "openunmix"], 2, "a.pth is PyTorch's already"),
        (["empty", "out"], 1, "empty: holds no .pth file"),
        (["a.pth", "a.h5"], 1, "a.pth: no checkpoint of PyTorch's"),
        (["folder", "out"], 1, "folder/vocals.pth: no checkpoint of PyTorch's"),
        ([UMX, "out", "--to", "openunmix"], 1, "[torch]'"),
    ],
)
def test_what_is_wrong_is_one_line_and_a_code(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    code: int,
    named: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    for name in ("a.pth", "folder/vocals.pth"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b"anything")
    Path("empty").mkdir()
    try:
        found = main(options)
    except SystemExit as stop:  # argparse's own way
        found = int(str(stop.code))
    (line,) = capsys.readouterr().err.splitlines()
    assert found == code and line.startswith("error: ") and named in line, line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pth", "empty", "folder"]


def test_where_the_output_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """X-UMX, UMX of one source and of several each have their kind of place."""
    x_umx = random_weights(small_config())
    one = random_weights(small_config(arch="umx", sources=("piano",)))
    several = random_weights(small_config(arch="umx"))
    monkeypatch.chdir(tmp_path)
    for network, output, written in (
        (x_umx, "a.h5", ["a.h5"]),
        (x_umx, "a", "a name that ends in .h5"),
        (one, "b.h5", ["b.h5"]),
        (one, "b", ["b/piano.h5"]),
        (several, "c", ["c/bass.h5", "c/drums.h5", "c/other.h5", "c/vocals.h5"]),
        (several, "d.h5", "a name without .h5"),
    ):
        monkeypatch.setattr(conversion, "load", lambda path, network=network: network)
        before = set(tmp_path.rglob("*.h5"))
        code = main(["any.pth", output])
        out, err = capsys.readouterr()
        new = sorted(str(p.relative_to(tmp_path)) for p in set(tmp_path.rglob("*.h5")) - before)
        if isinstance(written, str):
            assert (code, new) == (2, []) and written in err and output in err
        else:
            assert (code, new) == (0, written), err
            assert weights.load(output).config == network.config
            assert out.startswith(f"{output}: {network.config.arch} of ")
