"""From options to a trainer: a new run, one that starts from weights, or one that goes on."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import nnabla as nn
from nnabla.ext_utils import get_extension_context

from xumx.base.errors import UsageError, XumxError
from xumx.base.files import locked, make_folder, replacing
from xumx.engines import automatic_context, cuda
from xumx.engines.nnabla import open_context
from xumx.graph import ops_for
from xumx.graph.losses.features import Encoders, frozen_encoders
from xumx.network import weights
from xumx.network.config import ModelConfig
from xumx.network.weights import Weights
from xumx.parallel.communicator import Communicator
from xumx.train import checkpoint
from xumx.train.checkpoint import Checkpoint
from xumx.train.datasets import Datasets
from xumx.train.options import Given, TrainOptions, fields
from xumx.train.resolve import from_weights, new_run, resumed
from xumx.train.trainer import BEST, Trainer

logger = logging.getLogger(__name__)


class Plan(NamedTuple):
    """What a run is, decided for this process: the first stage of a start."""

    options: TrainOptions
    device: str  # 'cpu' or 'cudnn'
    ranks: Communicator
    start: Checkpoint | Weights | None
    path: Path  # of what it starts from

    @property
    def config(self) -> ModelConfig:
        """The network."""
        return self.start.config if self.start else self.options.config


def prepare(given: Mapping[str, Any], world: Any, stack: ExitStack) -> tuple[TrainOptions, Trainer]:
    """Start a run in three stages, of which none looks back: decide what it is, open its files, build it.

    Everything is checked before training begins.

    Parameters
    ----------
    given : mapping
        The options that were given; see :meth:`TrainOptions.given`.
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
    plan = _decide(given, world)
    data, encoders = _open(plan, stack)
    ops = ops_for(plan.device, stock=plan.options.stock_ops)
    trainer = Trainer(plan.options, data, plan.ranks, plan.device, ops, plan.start, encoders)
    return plan.options, trainer


def _decide(given: Mapping[str, Any], world: Any) -> Plan:
    """The options of the run, with what it starts from, and where it computes."""
    ranks = communicator(world)
    path, start = ranks.broadcast(_start(given.get("model")) if ranks.rank == 0 else None)
    if isinstance(start, Checkpoint):
        given = Given.of(given).beside(output=given.get("output") or str(path.parent))
        options = resumed(given, start.progress["options"])
    elif start:
        options = from_weights(given, start.config)
    else:
        options = new_run(given)
    if ranks.size > 1:
        if "device_id" in given:
            raise UsageError("`device_id` is for one process; of several each takes a GPU of its own")
        wanted = options.context == "cudnn" or (options.context == "auto" and cuda.installed())
        options = replace(options, device_id=cuda.own_device(ranks, wanted))
        if others := ranks.differing({**fields(options), "device_id": None}):
            raise UsageError(f"{others} were started with other options than rank 0; give all the same")
    device = _device(options, given)
    if others := ranks.differing(device):
        raise XumxError(f"{others} cannot compute on {device} as rank 0 does; choose with `context`")
    if device == "cudnn" and ranks.size > 1:
        ranks = nccl(world, get_extension_context(device, device_id=options.device_id))
    return Plan(options, device, ranks, start, path)


def _open(plan: Plan, stack: ExitStack) -> tuple[Datasets, Encoders | None]:
    """What is read, and the folder that is written, this process's own from here on."""
    options, ranks = plan.options, plan.ranks
    encoders = _encoders(options.feature_model, plan.config, ranks) if options.feature_model else None
    data = Datasets(options, plan.config, ranks)
    if ranks.rank == 0:
        _claim(Path(options.output), plan.path if isinstance(plan.start, Checkpoint) else None, stack)
    return data, encoders


def _encoders(path: str, config: ModelConfig, ranks: Communicator) -> Encoders:
    network = ranks.broadcast(weights.load(path) if ranks.rank == 0 else None)
    return frozen_encoders(network, config, f"`feature_model` {path}")


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
            f"`model` {model}: the folder holds no {checkpoint.NAME}; name a run's folder, or weights"
        )
    return Path(model), weights.load(model)


def _device(options: TrainOptions, given: Collection[str]) -> str:
    """Where to compute: 'cpu' or 'cudnn'."""
    context = options.context
    if context == "auto":
        context, problem = automatic_context(options.device_id)
        if problem:
            logger.warning("%s", problem)
    if context == "cpu" and "device_id" in given:
        raise UsageError(
            "`device_id` chooses a GPU, but this run computes on the CPU; use it with `context` cudnn"
        )
    if context == "cudnn" and options.stock_ops:
        raise UsageError("`stock_ops` is for `context` cpu; a GPU has no other functions than NNabla's own")
    open_context(context, options.device_id)
    if context == "cudnn" and cuda.rounds():
        logger.warning(
            "NNABLA_CUDA_ALLOW_TF32 rounds products to 10 bits; other machines will find other losses"
        )
    return context


def _claim(output: Path, resumed_from: Path | None, stack: ExitStack) -> None:
    """Make the folder ready, unless it holds another run or one is at work there."""
    own = output / checkpoint.NAME
    same = resumed_from is not None and own.exists() and own.samefile(resumed_from)
    if own.exists() and not same:
        raise UsageError(
            f"`output` {output} holds a run; resume it with `model` {output}, or use another folder"
        )
    make_folder(output, "output")
    stack.enter_context(locked(output))
    if resumed_from is not None and not same and (best := resumed_from.with_name(BEST)).exists():
        with replacing(output / BEST) as aside:
            shutil.copyfile(best, aside)
