"""Checks of a GPU that go forward only: what networks estimate there, and how fast."""

from __future__ import annotations

import statistics
import subprocess
import time

import numpy as np

from bench.device.plan import Failed, Lacking, config, magnitude, network, plan

AGREE = 1e-4
"""Of the peak, by which engines may differ (docs/architecture.md)."""


def device() -> str:
    """Name, memory and driver of the GPUs, and what is installed."""
    query = "--query-gpu=name,memory.total,driver_version"
    try:
        done = subprocess.run(["nvidia-smi", query, "--format=csv,noheader"], capture_output=True, text=True)
    except FileNotFoundError:
        raise Lacking("nvidia-smi, so there is no NVIDIA driver") from None
    if done.returncode:
        raise Lacking(done.stdout.strip() or done.stderr.strip() or "a GPU that nvidia-smi can see")
    from xumx.train.record import versions

    installed = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"{'; '.join(done.stdout.strip().splitlines())}; {installed}"


def by_nnabla() -> str:
    """The estimates of NNabla on cudnn against those on the CPU, and the time of a call on each."""
    return agreement("nnabla", plan().nnabla)


def by_onnx() -> str:
    """The estimates of ONNX Runtime on cuda against those on the CPU, and the time of a call on each."""
    return agreement("onnx", plan().onnx)


def agreement(engine: str, context: str) -> str:
    """Compare the estimates of an engine there with those of ONNX Runtime on the CPU."""
    from xumx.engines import create

    weights, x = network(), magnitude()
    engines = {"there": create(weights, engine, context), "CPU": create(weights, "onnx", "cpu")}
    times, found = {}, {}
    for where, run in engines.items():
        run(x)
        took = []
        for _ in range(3):
            began = time.perf_counter()
            found[where] = run(x)
            took.append(time.perf_counter() - began)
        times[where] = statistics.median(took)
    far = float(np.abs(found["there"] - found["CPU"]).max() / found["CPU"].max())
    if not far < AGREE:
        raise Failed(f"the estimates differ by {far:.1e} of the peak")
    return f"{far:.1e} of the peak; {times['there']:.3f} s, CPU {times['CPU']:.3f} s"


def real_time() -> str:
    """Music from array to stems, by ONNX Runtime there and on the CPU, as times real time."""
    from xumx import Separator

    rate = config().sample_rate
    audio = np.random.default_rng(0).normal(0, 0.1, (round(plan().song * rate), 2)).astype(np.float32)
    weights, took = network(), []
    for context in (plan().onnx, "cpu"):
        separator = Separator(weights, engine="onnx", context=context)
        separator(audio[: 2 * rate])
        began = time.perf_counter()
        separator(audio)
        took.append(time.perf_counter() - began)
    return f"{plan().song / took[0]:.0f} times real time, CPU {plan().song / took[1]:.0f}"


def half() -> str:
    """float16 against float32 there: SDR of the worst source, and time."""
    from xumx.engines.onnx import OnnxEngine
    from xumx.engines.providers import Provider

    provider = None if plan().rehearsed else Provider(plan().onnx)
    weights, x, found, took = network(), magnitude(), [], []
    for precision in ("float32", "float16"):
        engine = OnnxEngine(weights, precision=precision, provider=provider)
        engine(x)
        began = time.perf_counter()
        found.append(engine(x))
        took.append(time.perf_counter() - began)
    energy, error = (np.sum(a**2, axis=(1, 2, 3, 4)) for a in (found[0], found[0] - found[1]))
    return f"{(10 * np.log10(energy / error)).min():.1f} dB; {took[1]:.3f} s, float32 {took[0]:.3f} s"
