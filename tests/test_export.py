"""``python -m xumx.export``, and its files in ONNX Runtime alone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.networks import DATA, identity_weights, music, random_weights, small_config
from xumx import Separator
from xumx.audio import Writer
from xumx.base.errors import UsageError, XumxError
from xumx.engines import onnx_file
from xumx.engines.onnx import OnnxEngine
from xumx.export import main
from xumx.network.config import ModelConfig
from xumx.network.weights import load

GUIDE = Path(__file__).parents[1] / "docs" / "guide" / "export.md"
MODEL = str(DATA / "x-umx.h5")

CONFIGS = [
    small_config(hidden_size=64),
    small_config(hidden_size=64, arch="umx", sources=("piano", "rest")),
    small_config(hidden_size=64, unidirectional=True, nb_channels=1, nb_layers=1),
    small_config(hidden_size=64, arch="joint"),
]


def session_of(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def magnitude(config: ModelConfig, frames: int = 9, batch: int = 1) -> np.ndarray:
    shape = (frames, batch, config.nb_channels, config.bins)
    return np.random.default_rng(0).exponential(3, shape).astype(np.float32)


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("float32", 1e-6), ("float16", 2e-3), ("int8", 5e-2)], ids=lambda p: p
)
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_any_frames_and_batch(tmp_path: Path, config: ModelConfig, precision: str, tolerance: float) -> None:
    weights = random_weights(config)
    onnx_file.save(tmp_path / "net.onnx", weights, precision)
    session, engine = session_of(tmp_path / "net.onnx"), OnnxEngine(weights)
    for frames, batch in ((9, 1), (1, 1), (4, 3)):
        x = magnitude(config, frames, batch)
        expected = engine(x)
        found = np.stack(session.run(None, {"magnitude": x}))
        assert found.shape == expected.shape and found.dtype == np.float32
        error = np.abs(found - expected).max() / expected.max()
        assert error < tolerance, f"{frames} frames, batch {batch}: {error}"


@pytest.mark.parametrize("precision", onnx_file.PRECISIONS)
def test_the_file(tmp_path: Path, precision: str) -> None:
    config = small_config(arch="umx", sources=("piano", "größe"), n_hop=32, sample_rate=48000)
    onnx_file.save(tmp_path / "net.onnx", random_weights(config), precision)
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"], "one file, with all its data"
    onnx.checker.check_model(str(tmp_path / "net.onnx"), full_check=True)
    session = session_of(tmp_path / "net.onnx")
    about = session.get_modelmeta()
    assert about.producer_name == "xumx"
    assert json.loads(about.custom_metadata_map["sources"]) == ["piano", "größe"]
    assert ModelConfig(**json.loads(about.custom_metadata_map["config"])) == config
    (given,) = session.get_inputs()
    assert (given.name, given.shape) == ("magnitude", ["frames", "batch", 2, 129])
    assert [o.name for o in session.get_outputs()] == ["estimate0", "estimate1"]
    assert all(o.shape == ["frames", "batch", 2, 129] for o in session.get_outputs())


def test_precisions_act(tmp_path: Path) -> None:
    """Sizes shrink; int8 leaves the matrix that reads the spectrogram alone."""
    weights = random_weights(small_config(hidden_size=128))
    sizes = {}
    for precision in onnx_file.PRECISIONS:
        onnx_file.save(tmp_path / precision, weights, precision)
        sizes[precision] = (tmp_path / precision).stat().st_size
    assert sizes["float16"] < 0.53 * sizes["float32"]
    assert sizes["int8"] < 0.4 * sizes["float32"]
    operators = [node.op_type for node in onnx.load(str(tmp_path / "int8")).graph.node]
    assert operators.count("MatMul") == 1 and operators.count("MatMulInteger") == 5
    assert operators.count("DynamicQuantizeLSTM") == 12 and "LSTM" not in operators
    with pytest.raises(UsageError, match="precision 'int4'"):
        onnx_file.save(tmp_path / "none.onnx", weights, "int4")


def test_what_half_precision_cannot_hold_stays(tmp_path: Path) -> None:
    weights = random_weights(small_config())
    for parameters in weights.parameters.values():
        parameters["output_scale"][:] *= 1e6
    onnx_file.save(tmp_path / "net.onnx", weights, "float16")
    x = magnitude(weights.config)
    expected = OnnxEngine(weights)(x)
    found = np.stack(session_of(tmp_path / "net.onnx").run(None, {"magnitude": x}))
    assert np.abs(found - expected).max() < 5e-3 * expected.max()


def test_comparison_is_against_float32(tmp_path: Path) -> None:
    weights = identity_weights(small_config())
    audio = music(0.2)
    onnx_file.save(tmp_path / "same.onnx", weights)
    assert set(onnx_file.compare(tmp_path / "same.onnx", weights, audio).sdr.values()) == {np.inf}
    for parameters in weights.parameters.values():
        parameters["output_mean"][:] = 0.9  # an error of a tenth of the signal
    onnx_file.save(tmp_path / "less.onnx", weights)
    found = onnx_file.compare(tmp_path / "less.onnx", identity_weights(small_config()), audio)
    assert list(found.sdr) == list(weights.config.sources)
    np.testing.assert_allclose(list(found.sdr.values()), 20, atol=1e-3)
    assert found.seconds > 0 and found.float32_seconds > 0
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(XumxError, match=r"text\.onnx: ONNX Runtime does not load it"):
        onnx_file.compare(tmp_path / "text.onnx", weights, audio)


def test_networks_beyond_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = random_weights(small_config(hidden_size=64))
    monkeypatch.setattr(onnx_file, "_LIMIT", 200_000)
    with pytest.raises(XumxError, match=r"net\.onnx: .* GB of weights"):
        onnx_file.save(tmp_path / "net.onnx", weights)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("option, name", [(None, "float32"), ("--fp16", "float16"), ("--int8", "int8")])
def test_the_command(
    tmp_path: Path, option: str | None, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = str(tmp_path / "net.onnx")
    options = [] if option is None else [option]
    assert main(["--model", MODEL, "--output", output, *options]) == 0
    size, speed, sdr = capsys.readouterr().out.splitlines()
    assert size.startswith(f"{output}: x-umx of bass, drums, vocals, other in {name}, ")
    assert re.fullmatch(r"on 10 s of noise: \d+ ms; float32 in xumx: \d+ ms", speed)
    for source in load(MODEL).config.sources:
        value = re.search(rf"{source} (equal|[\d.]+ dB)", sdr)
        assert value and (value[1] == "equal") == (option is None), sdr
    assert main(["--model", MODEL, "--output", output, *options, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_check_takes_the_middle_of_a_song(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, seconds, used in (("long.wav", 12, "10 s"), ("short.wav", 1.5, "1.5 s")):
        with Writer(tmp_path / name, 22050, 1) as writer:
            writer.write(music(seconds, rate=22050, channels=1))
        output = str(tmp_path / "net.onnx")
        assert main(["--model", MODEL, "--output", output, "--int8", "--check", str(tmp_path / name)]) == 0
        assert f"on {used} of {name}: " in capsys.readouterr().out


def test_check_takes_the_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Scores of the file and of float32 are those of separating; what int8 loses is their difference."""
    weights = load(MODEL)
    stems = {source: music(1.5, seed) for seed, source in enumerate(weights.config.sources)}
    for source, audio in stems.items():
        with Writer(tmp_path / f"{source}.wav", 44100, 2, subtype="float32") as writer:
            writer.write(audio)
    output = tmp_path / "net.onnx"
    assert main(["--model", MODEL, "--output", str(output), "--int8", "--check", str(tmp_path)]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    scores = re.findall(r"(\w+) (-?[\d.]+) dB \(([-+][\d.]+)\)", line)
    assert [name for name, _, _ in scores] == list(stems) and line.endswith(" dB")
    mixture = sum(stems.values())
    found = onnx_file.compare(output, weights, mixture, stems)
    for (name, file, lost), estimate in zip(scores, Separator(weights, chunk_dur=0)(mixture).values()):
        error = np.sum((stems[name] - estimate) ** 2)
        np.testing.assert_allclose(
            found.truth[name][1], 10 * np.log10(np.sum(stems[name] ** 2) / error), atol=1e-3
        )
        assert abs(float(file) - found.truth[name][0]) < 0.02 and abs(float(lost)) < 0.5
    (tmp_path / "bass.wav").unlink()
    assert main(["--model", MODEL, "--output", str(output), "--check", str(tmp_path)]) == 2
    assert capsys.readouterr().err.endswith("the folder lacks bass.wav, true stems of this network\n")


@pytest.mark.parametrize(
    "options, code, named",
    [
        (["--model", MODEL], 2, "--output"),
        (["--model", MODEL, "--output", "net.h5"], 2, "net.h5"),
        (["--model", MODEL, "--output", "net.onnx", "--fp16", "--int8"], 2, "--int8"),
        (["--model", MODEL, "--output", "net.onnx", "--quiet", "--check", "a.mp3"], 2, "--check"),
        (["--model", MODEL, "--output", "net.onnx", "--check", "nothing.mp3"], 1, "nothing.mp3"),
        (["--model", "nothing.h5", "--output", "net.onnx"], 1, "nothing.h5"),
        (["--model", "x-umy", "--output", "net.onnx"], 2, "x-umy"),
        (["--model", MODEL, "--output", "file/net.onnx"], 1, "net.onnx"),
    ],
)
def test_bad_usage_is_one_line_and_a_code(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    code: int,
    named: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    try:
        found = main(options)
    except SystemExit as stop:  # argparse's own way
        found = int(str(stop.code))
    (line,) = capsys.readouterr().err.splitlines()
    assert found == code and line.startswith("error: ") and named in line, line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_guide_without_xumx(tmp_path: Path) -> None:
    """The snippet of the guide, in a process of its own, separates as xumx does without its filter."""
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    (snippet,) = (block for block in blocks if "InferenceSession" in block)
    weights = load(MODEL)
    audio = music(0.7)
    onnx_file.save(tmp_path / "x-umx.onnx", weights)
    np.save(tmp_path / "audio.npy", audio)
    code = (
        f"import numpy as np\naudio = np.load('audio.npy')\n{snippet}\nnp.savez('stems.npz', **stems)\n"
        "import sys\nassert not [name for name in sys.modules if name.split('.')[0] in ('xumx', 'onnx')]"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = np.load(tmp_path / "stems.npz")
    expected = Separator(weights, niter=0, chunk_dur=0)(audio)
    assert list(found) == list(expected)
    for name, stem in expected.items():
        assert found[name].shape == stem.shape
        assert np.abs(found[name] - stem).max() < 1e-5, name
