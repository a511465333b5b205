"""From a command line to a trainer: a new run, one that starts from weights, or one that goes on."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import nnabla as nn
from nnabla.ext_utils import get_extension_context

from xumx.base.errors import UsageError, XumxError, install
from xumx.base.files import locked, replacing
from xumx.engines import automatic_context
from xumx.graph import ops_for
from xumx.graph.losses.features import Encoders, frozen_encoders
from xumx.network import weights
from xumx.network.config import ModelConfig
from xumx.network.weights import Weights
from xumx.parallel.communicator import Communicator
from xumx.train import checkpoint
from xumx.train.checkpoint import Checkpoint
from xumx.train.datasets import Datasets
from xumx.train.options import Options, fields, from_weights, new_run, parse, resumed
from xumx.train.trainer import BEST, Trainer

logger = logging.getLogger(__name__)


def prepare(argv: Sequence[str] | None, world: Any, stack: ExitStack) -> tuple[Options, Trainer]:
    """Read options, data and what there is of the run; everything is checked before training begins.

    Parameters
    ----------
    argv : sequence of str, optional
    world : mpi4py.MPI.Intracomm or None
        All processes; None for one alone.
    stack : ExitStack
        Gives the output folder free.

    Raises
    ------
    UsageError
        For options that cannot be right, or that contradict the data or the resumed run.
    XumxError
        If something cannot be read, or a communicator or context is missing.
    """
    values, given = parse(argv)
    ranks = communicator(world)
    found, start = ranks.broadcast(_start(values["model"]) if ranks.rank == 0 else None)
    if isinstance(start, Checkpoint):
        values["output"] = values["output"] or str(found.parent)
        options = resumed(values, given | {"output"}, start.progress["options"])
    elif start:
        options = from_weights(values, given, start.config)
    else:
        options = new_run(values, given)
    if ranks.size > 1:
        if "device_id" in given:
            raise UsageError("--device-id is for one process; of several each takes a GPU of its own")
        options = replace(options, device_id=str(ranks.local_rank))
        if others := ranks.differing({**fields(options), "device_id": None}):
            raise UsageError(f"{others} were started with other options than rank 0; give all the same")
    context = _context(options, given)
    if others := ranks.differing(context):
        raise XumxError(f"{others} cannot compute on {context} as rank 0 does; choose with --context")
    if context == "cudnn" and ranks.size > 1:
        ranks = nccl(world, get_extension_context(context, device_id=options.device_id))
    ops = ops_for(context, stock=options.stock_ops)
    config = start.config if start else options.config
    encoders = _encoders(options.feature_model, config, ranks) if options.feature_model else None
    data = Datasets(options, config, ranks)
    if ranks.rank == 0:
        _claim(Path(options.output), found if isinstance(start, Checkpoint) else None, stack)
    return options, Trainer(options, data, ranks, context, ops, start, encoders)


def _encoders(path: str, config: ModelConfig, ranks: Communicator) -> Encoders:
    network = ranks.broadcast(weights.load(path) if ranks.rank == 0 else None)
    return frozen_encoders(network, config, f"--feature-model {path}")


def communicator(world: Any) -> Communicator:
    """That of one process, or of several that meet by MPI."""
    if world is None:
        return Communicator()
    from xumx.parallel.mpi import MpiCommunicator

    return MpiCommunicator(world)


def nccl(world: Any, context: nn.Context) -> Communicator:
    """That of several processes with a GPU each."""
    from xumx.parallel.nccl import NcclCommunicator

    return NcclCommunicator(world, context)


def _start(model: str | None) -> tuple[Path, Checkpoint | Weights | None]:
    """What ``--model`` names, and where it is."""
    if model is None:
        return Path(), None
    if found := checkpoint.find(model):
        return found, checkpoint.load(found)
    if Path(model).is_dir():
        raise UsageError(
            f"--model {model}: the folder holds no {checkpoint.NAME}; name a run's folder, or weights"
        )
    return Path(model), weights.load(model)


def _context(options: Options, given: frozenset[str]) -> str:
    context = options.context
    if context == "auto":
        context, problem = automatic_context(options.device_id)
        if problem:
            logger.warning("%s", problem)
    if context == "cpu" and "device_id" in given:
        raise UsageError(
            "--device-id chooses a GPU, but this run computes on the CPU; use it with --context cudnn"
        )
    if context == "cudnn" and options.stock_ops:
        raise UsageError("--stock-ops is for --context cpu; a GPU has no other functions than NNabla's own")
    try:
        if context != "cpu":
            get_extension_context(context, device_id=options.device_id)
    except Exception as error:  # NNabla raises whatever its extension's import did
        raise XumxError(
            f"--context {context}: NNabla cannot use it ({str(error).splitlines()[0]}); "
            f"{install('gpu')}, or use --context cpu"
        ) from None
    return context


def _claim(output: Path, resumed_from: Path | None, stack: ExitStack) -> None:
    """Make the folder ready, unless it holds another run or one is at work there."""
    own = output / checkpoint.NAME
    same = resumed_from is not None and own.exists() and own.samefile(resumed_from)
    if own.exists() and not same:
        raise UsageError(
            f"--output {output} holds a run; resume it with --model {output}, or use another folder"
        )
    try:
        output.mkdir(parents=True, exist_ok=True)
        stack.enter_context(locked(output))
        checkpoint.tidy(output)
        if resumed_from is not None and not same and (best := resumed_from.with_name(BEST)).exists():
            with replacing(output / BEST) as aside:
                shutil.copyfile(best, aside)
    except OSError as error:
        raise XumxError(f"--output {output}: cannot be written ({error.strerror or error})") from None
