#!/usr/bin/env python3
"""What a GPU computes and how fast, checked against the CPU: one table for the README.

    python bench/gpu.py --dry                 on any machine: what would be checked, line by line
    python bench/gpu.py                       everything that the GPU here allows
    python bench/gpu.py --only onnx           ONNX Runtime alone (any Python)
    mpirun -n 2 python bench/gpu.py --only nccl
    python bench/gpu.py --rehearse            small, with the CPU in the GPU's place: tries this script

Each check runs by itself: one that fails is a line of the table, and the others are done. What this machine
lacks is said, and no figure is printed without a run. The exit code is 1 if a check failed.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from bench.common import table  # noqa: E402
from xumx.base.errors import line_of  # noqa: E402

AGREE = 1e-4
"""Of the peak, by which engines may differ (docs/architecture.md)."""

STEPS = 20


@dataclass(frozen=True)
class Plan:
    """Where and how much: contexts of NNabla and ONNX Runtime, and the default recipe's sizes."""

    nnabla: str = "cudnn"
    onnx: str = "cuda"
    sizes: Mapping[str, int] = field(default_factory=dict)
    batch: int = 16
    seconds: float = 6.0
    song: float = 180.0
    rehearsed: bool = False


SMALL = {"n_fft": 256, "n_hop": 64, "hidden_size": 8, "max_bin": 60}
plan = Plan()


class Lacking(Exception):
    """What this machine does not have."""


class Failed(Exception):
    """A check that did not hold."""


@dataclass(frozen=True)
class Check:
    """One line of the table: its kind, what is checked, how, and what that needs."""

    kind: str
    about: str
    run: Callable[[], str]
    needs: Callable[[], str]


def lacks_nnabla() -> str:
    """What keeps NNabla from a GPU here, in a line; "" if nothing does."""
    from xumx.engines import automatic_context, cuda

    if plan.rehearsed:
        return "" if importlib.util.find_spec("nnabla") else "NNabla is not installed"
    if not cuda.installed():
        return "NNabla's extension for GPUs is not installed"
    context, problem = automatic_context("0")
    return "" if context == "cudnn" else problem or "NNabla finds no GPU"


def lacks_onnx() -> str:
    """What keeps ONNX Runtime from CUDA here."""
    from xumx.engines import providers

    return (
        "" if plan.rehearsed or "cuda" in providers.available() else "the installed ONNX Runtime has no cuda"
    )


def lacks_ranks() -> str:
    """What keeps two processes from NCCL here."""
    from xumx.base.ranks import Rank

    if plan.rehearsed:
        return "NCCL has no stand-in"
    return lacks_nnabla() or ("" if Rank.detect().size == 2 else "two processes: mpirun -n 2")


def config() -> Any:
    """The published sizes."""
    from xumx.network.config import ModelConfig

    return ModelConfig(**plan.sizes)


def network() -> Any:
    """Random weights, always the same."""
    from tests.networks import random_weights

    return random_weights(config())


def magnitude() -> np.ndarray:
    """Noise as a spectrogram: ten seconds at the published size."""
    return np.random.default_rng(0).exponential(3, (431, 1, 2, config().bins)).astype(np.float32)


def sample(batch: int, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Targets of a step, of noise: (batch, sources, samples, channels)."""
    network = config()
    shape = (batch, len(network.sources), round(seconds * network.sample_rate), network.nb_channels)
    return rng.normal(0, 0.1, shape).astype(np.float32)


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
    return agreement("nnabla", plan.nnabla)


def by_onnx() -> str:
    """The estimates of ONNX Runtime on cuda against those on the CPU, and the time of a call on each."""
    return agreement("onnx", plan.onnx)


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


class Training(NamedTuple):
    """Losses, the gradients of the first step, and the seconds of each step."""

    losses: list[float]
    gradients: dict[str, np.ndarray]
    seconds: list[float]


def trained(context: str, steps: int, batch: int, seconds: float) -> Training:
    """Take steps of the default recipe on noise, all from one seed."""
    import nnabla as nn
    import nnabla.random
    import nnabla.solvers as S

    from xumx.engines.nnabla import open_context
    from xumx.graph import ops_for
    from xumx.graph.model import create_parameters
    from xumx.graph.objective import Objective

    network, ops, data = config(), ops_for(context), np.random.default_rng(0)
    found = Training([], {}, [])
    with nn.context_scope(open_context(context, "0")), nn.auto_forward(False), nn.parameter_scope("gpu", {}):
        create_parameters(network, np.random.RandomState(0))
        samples = round(seconds * network.sample_rate)
        objective = Objective(network, batch, samples, ops, rng=np.random.default_rng(0))
        parameters, solver = nn.get_parameters(), S.Adam(1e-3)
        solver.set_parameters(parameters)
        for step in range(steps):
            targets = sample(batch, seconds, data)
            nnabla.random.set_function_seed(step)
            began = time.perf_counter()
            solver.zero_grad()
            objective.feed(targets.sum(axis=1), targets)
            found.losses.append(objective.forward())
            objective.loss.backward(clear_buffer=True)
            if step == 0:
                found.gradients.update((name, p.g.copy()) for name, p in parameters.items())
            ops.adam_step(solver, weight_decay=1e-5)
            found.seconds.append(time.perf_counter() - began)
    return found


def gradients() -> str:
    """The gradients of a step without dropout, which draws otherwise there, against the CPU's."""
    from unittest import mock

    with mock.patch("xumx.graph.model.LSTM_DROPOUT", 0.0):
        there, here = (trained(context, 1, 2, plan.seconds / 3).gradients for context in (plan.nnabla, "cpu"))
    largest = {name: max(float(np.abs(g).max()), 1e-12) for name, g in here.items()}
    far = {name: float(np.abs(there[name] - here[name]).max()) / largest[name] for name in here}
    worst = max(far, key=lambda name: far[name])
    if not far[worst] < 1e-2:
        raise Failed(f"the gradient of {worst} differs by {far[worst]:.1e} of its largest")
    return f"{far[worst]:.1e} of the largest ({worst})"


def repeated() -> str:
    """The same steps twice, from one seed: whether the device adds in the same order."""
    first, second = (trained(plan.nnabla, STEPS, plan.batch, plan.seconds).losses for _ in range(2))
    far = max(abs(a - b) / abs(a) for a, b in zip(first, second, strict=True))
    return "bit for bit" if far == 0 else f"losses differ by up to {far:.1e}"


def speed() -> str:
    """Samples a second of the default recipe, and the memory that it has taken after that."""
    before = used()
    rate = plan.batch / statistics.median(trained(plan.nnabla, STEPS, plan.batch, plan.seconds).seconds[2:])
    return f"{rate:.3g} samples/s, {plan.seconds * rate:.3g} times real time; {used() - before:.2g} GB taken"


def used() -> float:
    """GB of the first GPU that are in use, by all."""
    if plan.rehearsed:
        return 0.0
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
    return int(subprocess.run(query, capture_output=True, text=True, check=True).stdout) * 2**20 / 1e9


def split() -> str:
    """Where the time of a step goes, by NNabla's own profiler: shares of functions, forward and backward."""
    import nnabla as nn
    from nnabla.utils.profiler import GraphProfiler

    from xumx.engines.nnabla import open_context
    from xumx.graph import ops_for
    from xumx.graph.model import create_parameters
    from xumx.graph.objective import Objective

    network, targets = config(), sample(plan.batch, plan.seconds, np.random.default_rng(0))
    with nn.context_scope(open_context(plan.nnabla, "0")), nn.parameter_scope("split", {}):
        create_parameters(network, np.random.RandomState(0))
        ops = ops_for(plan.nnabla)
        objective = Objective(network, plan.batch, targets.shape[2], ops, rng=np.random.default_rng(0))
        objective.feed(targets.sum(axis=1), targets)
        profiler = GraphProfiler(objective.loss, device_id="0", ext_name=plan.nnabla, n_run=10)
        profiler.run()
    sums: dict[str, float] = {}
    for direction in ("forward", "backward"):
        for one in profiler.result[direction]:
            sums[one.function_name] = sums.get(one.function_name, 0.0) + float(one.mean_time)
    largest = sorted(sums.items(), key=lambda item: -item[1])[:6]
    return ", ".join(f"{name} {100 * value / sum(sums.values()):.0f} %" for name, value in largest)


def resumed() -> str:
    """A run of two epochs against one that was stopped after the first, by the command."""
    from tests.musdb_set import make_musdb
    from xumx.train import checkpoint
    from xumx.train.__main__ import main as train

    with tempfile.TemporaryDirectory() as folder:
        root = make_musdb(Path(folder, "set"), 3, 1.7, stems=False, valid=2)
        small = "--is-wav --quiet --hidden-size 8 --nfft 256 --nhop 128 --seq-dur 0.2 --batch-size 3"
        where = ["--root", str(root), "--context", plan.nnabla, "--samples-per-track", "4", *small.split()]
        for name, epochs in (("whole", "2"), ("part", "1")):
            if train([*where, "--output", f"{folder}/{name}", "--epochs", epochs]):
                raise Failed(f"the run of {epochs} epochs failed")
        if train(["--model", f"{folder}/part", "--epochs", "2", "--quiet", "--context", plan.nnabla]):
            raise Failed("the run cannot be resumed")
        a, b = (checkpoint.load(Path(folder, name, checkpoint.NAME)).parameters for name in ("whole", "part"))
    far = max(float(np.abs(a[name] - b[name]).max()) for name in a)
    return "bit for bit" if far == 0 else f"parameters differ by up to {far:.1e}"


def real_time() -> str:
    """Music from array to stems, by ONNX Runtime there and on the CPU, as times real time."""
    from xumx import Separator

    rate = config().sample_rate
    audio = np.random.default_rng(0).normal(0, 0.1, (round(plan.song * rate), 2)).astype(np.float32)
    weights, took = network(), []
    for context in (plan.onnx, "cpu"):
        separator = Separator(weights, engine="onnx", context=context)
        separator(audio[: 2 * rate])
        began = time.perf_counter()
        separator(audio)
        took.append(time.perf_counter() - began)
    return f"{plan.song / took[0]:.0f} times real time, CPU {plan.song / took[1]:.0f}"


def half() -> str:
    """float16 against float32 there: SDR of the worst source, and time."""
    from xumx.engines.onnx import OnnxEngine
    from xumx.engines.providers import Provider

    provider = None if plan.rehearsed else Provider(plan.onnx)
    weights, x, found, took = network(), magnitude(), [], []
    for precision in ("float32", "float16"):
        engine = OnnxEngine(weights, precision=precision, provider=provider)
        engine(x)
        began = time.perf_counter()
        found.append(engine(x))
        took.append(time.perf_counter() - began)
    energy, error = (np.sum(a**2, axis=(1, 2, 3, 4)) for a in (found[0], found[0] - found[1]))
    return f"{(10 * np.log10(energy / error)).min():.1f} dB; {took[1]:.3f} s, float32 {took[0]:.3f} s"


def means() -> str:
    """Gradients of two processes by NCCL against those that MPI gives: the same mean on both."""
    import nnabla as nn
    import nnabla.functions as F

    from xumx.base.ranks import Rank
    from xumx.engines.nnabla import open_context
    from xumx.parallel.job import together
    from xumx.parallel.nccl import NcclCommunicator

    with together(Rank.detect()) as world:
        context = open_context("cudnn", str(world.rank))
        ranks = NcclCommunicator(world, context)
        with nn.context_scope(context):
            w = nn.Variable.from_numpy_array(np.arange(6, dtype=np.float32), need_grad=True)
            loss = F.sum(w**2) * (1 + ranks.rank)
            loss.forward()
            w.grad.zero()
            ranks.backward(loss, {"w": w})
            found = w.g.copy()
        far = float(np.abs(found - 3 * np.arange(6)).max())
        if far > 1e-5 or ranks.differing(found.tobytes()):
            raise Failed(f"the means differ by {far:.1e}")
    return "equal on both"


def nothing() -> str:
    """Needs nothing."""
    return ""


CHECKS = (
    Check("device", "device and versions", device, nothing),
    Check("nnabla", "forward of NNabla against the CPU", by_nnabla, lacks_nnabla),
    Check("onnx", "forward of ONNX Runtime against the CPU", by_onnx, lacks_onnx),
    Check("onnx", "float16 against float32", half, lacks_onnx),
    Check("onnx", "a song, array to stems", real_time, lacks_onnx),
    Check("nnabla", "gradients against the CPU's", gradients, lacks_nnabla),
    Check("nnabla", f"{STEPS} steps with one seed, twice", repeated, lacks_nnabla),
    Check("nnabla", "a run that was stopped and resumed", resumed, lacks_nnabla),
    Check("nnabla", "default recipe: speed and memory", speed, lacks_nnabla),
    Check("nnabla", "where the time of a step goes", split, lacks_nnabla),
    Check("nccl", "means of gradients by NCCL on two GPUs", means, lacks_ranks),
)


def rows(checks: list[Check], dry: bool) -> Iterator[tuple[str, str, bool]]:
    """What each check is about, what came of it, and whether it failed."""
    for check in checks:
        about = f"{check.kind}: {check.about}"
        lacking = check.needs()
        if dry:
            doc = (check.run.__doc__ or "").partition("\n")[0]
            yield about, f"{doc} {f'Not here: {lacking}.' if lacking else 'Would run here.'}", False
            continue
        try:
            if lacking:
                raise Lacking(lacking)
            yield about, check.run(), False
        except Lacking as error:
            yield about, f"not run: {error}", False
        except Exception as error:  # each check apart
            yield about, f"FAILED: {line_of(error)}", True


def main(argv: list[str] | None = None) -> int:
    """Run the checks; 1 if one failed."""
    parser = argparse.ArgumentParser(description="Check a GPU against the CPU, and measure it.")
    parser.add_argument(
        "--dry", action="store_true", help="say what would be checked, and what is lacking here"
    )
    kinds = sorted({check.kind for check in CHECKS})
    parser.add_argument("--only", nargs="+", choices=kinds, metavar="KIND", help=f"of {', '.join(kinds)}")
    parser.add_argument("--rehearse", action="store_true", help="small, with the CPU in the GPU's place")
    args = parser.parse_args(argv)
    global plan
    plan = Plan("cpu", "cpu", SMALL, 2, 0.3, 3.0, rehearsed=True) if args.rehearse else Plan()
    checks = [check for check in CHECKS if not args.only or check.kind in args.only]
    found = []
    for about, result, failed in rows(checks, args.dry):
        print(f"{about}: {result}", flush=True)
        found.append((about, result, failed))
    if args.rehearse:
        print("rehearsed with the CPU: no figure here is one of a GPU")
    elif not args.dry:
        print(table(["check", "result"], [(about, result) for about, result, _ in found]))
    return int(any(failed for _, _, failed in found))


if __name__ == "__main__":
    sys.exit(main())
