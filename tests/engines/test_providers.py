"""Providers of ONNX Runtime: real on the CPU, and by a session that says and does what those of GPUs do."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from tests.networks import random_weights, small_config
from xumx.base.errors import UsageError, XumxError, install
from xumx.engines import Stored, create, providers
from xumx.engines.onnx import OnnxEngine
from xumx.engines.providers import CPU, NAMES, Provider
from xumx.network import weights as weights_file

SESSION = onnxruntime.InferenceSession
DRIVER = "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version ; GPU=0 ; hostname=x"


class Machine:
    """What ONNX Runtime would do where it has a GPU; `mode` says what is wrong there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, mode: str = "right", name: str = "cuda") -> None:
        self.mode, self.name, self.opened = mode, name, []
        found = [NAMES[name], CPU]
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: found)
        monkeypatch.setattr(onnxruntime, "InferenceSession", self.session)
        timed = providers._timed
        seconds = {"slow": 3.0}.get(mode, 0.1)

        def timing(session: Any, *args: Any) -> Any:
            """Results are real, times are not."""
            return timed(session, *args)[0], seconds if session.get_providers()[0] != CPU else 1.0

        monkeypatch.setattr(providers, "_timed", timing)

    def session(self, path: str, options: Any, providers: list[Any], **others: Any) -> Any:
        provider = providers[0] if isinstance(providers[0], str) else providers[0][0]
        self.opened.append(provider)
        if provider == CPU:
            return SESSION(path, options, providers=[CPU])
        assert others == {"enable_fallback": 0}
        if self.mode == "driver":
            raise RuntimeError(
                f"/onnxruntime/cuda_call.cc:129 bool onnxruntime::CudaCall(const char*&) {DRIVER}"
            )
        return Session(self, SESSION(path, options, providers=[CPU]))


class Session:
    def __init__(self, machine: Machine, session: Any) -> None:
        self.machine, self.session = machine, session
        self.io_binding = session.io_binding

    def get_providers(self) -> list[str]:
        return [CPU] if self.machine.mode == "unloaded" else [NAMES[self.machine.name], CPU]

    def disable_fallback(self) -> None:
        pass

    def end_profiling(self) -> str:
        path = Path(self.session.end_profiling())
        name = f'"provider" : "{CPU}"'
        text = path.read_text()
        assert name in text, "as ONNX Runtime writes it"
        if self.machine.mode != "leaves":
            path.write_text(text.replace(name, f'"provider" : "{NAMES[self.machine.name]}"'))
        return str(path)

    def run_with_iobinding(self, binding: Any) -> None:
        mode = self.machine.mode
        if mode == "memory":
            raise RuntimeError("Failed to allocate memory for requested buffer of size 2500000000")
        self.session.run_with_iobinding(binding)
        for value in binding.get_outputs():
            if mode == "wrong":
                value.numpy()[...] *= 1.01
            elif mode == "nan":
                value.numpy()[0] = np.nan


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("net") / "net.h5"
    weights_file.save(path, random_weights(small_config()))
    return path


def is_right(engine: Any, network: Stored) -> bool:
    shape = (9, 1, 2, network.config.bins)
    x = np.random.default_rng(3).exponential(3, shape).astype(np.float32)
    expected = OnnxEngine(network)(x)
    return bool(np.abs(engine(x) - expected).max() < 1e-4 * expected.max())


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("right", None),
        ("slow", ""),
        (
            "wrong",
            "`context` cuda: its estimates differ from the CPU's by 0.01 of the peak; use `context` cpu",
        ),
        ("nan", "its estimates differ"),
        ("driver", f"{DRIVER}: the NVIDIA driver is too old for CUDA 12; install 525 or newer"),
        ("unloaded", "cuda"),
        ("leaves", "`context` cuda: it leaves LSTM, MatMul to the CPU"),
        ("memory", "the device has no memory for the network (2.5 GB more were asked for)"),
    ],
)
def test_what_is_wrong_is_one_line_and_never_a_silent_cpu(
    stored: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    mode: str,
    said: str | None,
) -> None:
    """By itself xumx takes the CPU and says why; of a provider that was asked for it is an error."""
    machine = Machine(monkeypatch, mode)
    network = Stored(stored, tmp_path)
    engine = create(network)
    assert isinstance(engine, OnnxEngine) and is_right(engine, network)
    assert (engine.provider is None) == (said is not None)
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == bool(said) and all("\n" not in line for line in lines)
    assert not said or (said in lines[0] and lines[0].endswith("the CPU is used")), lines
    caplog.clear()
    before = machine.opened.count(NAMES["cuda"])
    if mode in ("right", "slow"):
        explicit = create(network, context="cuda")
        assert is_right(explicit, network) and explicit.provider == Provider("cuda")
        assert machine.opened.count(NAMES["cuda"]) == before + 1, "what is right is remembered"
    elif mode == "leaves":
        assert is_right(create(network, context="cuda"), network)
        assert "it leaves LSTM, MatMul to the CPU" in caplog.text
    else:
        with pytest.raises(XumxError, match=r"`context`.* cuda.*use `context` cpu") as raised:
            create(network, context="cuda")
        assert said and said.partition(";")[0] in str(raised.value) and "\n" not in str(raised.value)


def test_a_full_device_names_what_to_do(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(monkeypatch)
    engine = create(Stored(stored, tmp_path), context="cuda", device_id="1")
    machine.mode = "memory"
    with pytest.raises(XumxError, match=r"cuda 1 has no memory left \(2.5 GB more.*smaller `chunk_dur`"):
        engine(np.ones((9, 1, 2, 129), np.float32))


def test_what_was_right_may_be_gone(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    machine = Machine(monkeypatch)
    network = Stored(stored, tmp_path)
    assert create(network).provider == Provider("cuda")  # type: ignore[attr-defined]
    machine.mode = "unloaded"
    assert create(network).provider is None  # type: ignore[attr-defined]
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.startswith("`context` cuda: ") and line.endswith("; the CPU is used")


def test_options_reach_the_provider() -> None:
    assert Provider("cuda", "1").options["device_id"] == "1"
    assert Provider("cuda").options["use_tf32"] == "0", "or its estimates would not agree with others"
    assert Provider("cuda", given=(("use_tf32", "1"),)).options["use_tf32"] == "1"
    assert Provider("openvino", "GPU").options == {"precision": "FP32", "device_type": "GPU"}


def test_a_real_profile_tells_who_computes(stored: Path, tmp_path: Path) -> None:
    engine = OnnxEngine(Stored(stored, tmp_path))  # which keeps the graph
    (graph,) = tmp_path.glob("graphs/*/network.onnx")
    session = providers.open_session(graph, None, profile=tmp_path / "profile")
    providers.run(session, np.ones((9, 1, 2, engine.config.bins), np.float32), 4)
    assert [name for name in providers._left(Path(session.end_profiling())) if name == "LSTM"] == ["LSTM"]


def test_two_wheels_in_one_environment_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wheel:
        def __init__(self, name: str) -> None:
            self.metadata = {"Name": name}

    both = [Wheel("onnxruntime"), Wheel("numpy"), Wheel("onnxruntime-openvino")]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])
    monkeypatch.setattr(providers.metadata, "distributions", lambda: both)
    remedy = "pip uninstall -y onnxruntime onnxruntime-openvino && pip install --no-deps onnxruntime-openvino"
    with pytest.raises(XumxError, match=remedy):
        create(random_weights(small_config()), context="openvino")
    monkeypatch.setattr(providers.metadata, "distributions", lambda: both[:1])
    with pytest.raises(
        XumxError, match=rf"has no openvino \(nothing but the CPU\); {re.escape(install('openvino'))}"
    ):
        create(random_weights(small_config()), context="openvino")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"context": "gpu"}, "`context` 'gpu': use one of auto, cpu, cudnn, cuda"),
        ({"precision": "int4"}, "`precision` 'int4'"),
        ({"engine": "nnabla", "context": "cuda"}, "`engine` nnabla computes on cpu or cudnn"),
        ({"engine": "nnabla", "precision": "int8"}, "NNabla computes in float32"),
        ({"engine": "nnabla", "provider_options": {"a": "b"}}, "`provider_option` is for `engine` onnx"),
        ({"context": "cuda", "precision": "int8"}, "int8 is for the CPU"),
        ({"context": "cpu", "precision": "float16"}, "float16 is for GPUs"),
        ({"context": "cpu", "provider_options": {"a": "b"}}, "`provider_option` is for"),
        ({"context": "cpu", "device_id": "1"}, "`device_id` chooses a GPU"),
        ({"context": "cuda", "device_id": "x"}, "cuda counts its devices"),
    ],
)
def test_what_cannot_be(options: dict[str, Any], named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch)
    with pytest.raises(UsageError) as raised:
        create(random_weights(small_config()), **options)
    assert named in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.skipif("openvino" not in providers.available(), reason="needs onnxruntime-openvino")
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_openvino(stored: Path, tmp_path: Path, precision: str) -> None:
    network = Stored(stored, tmp_path)
    engine = create(network, context="openvino", precision=precision)
    x = np.random.default_rng(3).exponential(3, (99, 1, 2, network.config.bins)).astype(np.float32)
    expected = OnnxEngine(network)(x)
    assert np.abs(engine(x) - expected).max() < providers.TOLERANCE[precision] * expected.max()
    with pytest.raises(XumxError, match=r"OpenVINO finds CPU|`context` openvino"):
        create(network, context="openvino", device_id="GPU.7")
    with pytest.raises(XumxError, match="Invalid OpenVINO EP option: nonsense"):
        create(network, context="openvino", provider_options={"nonsense": "1"})
