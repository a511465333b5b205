"""One job of several processes: they begin together, share the cores, and end together.

Nothing here imports NumPy, whose BLAS takes its number of threads from the environment when it is loaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from xumx.base import log
from xumx.base.console import complain, flags
from xumx.base.cores import share, usable_cores
from xumx.base.errors import UsageError, XumxError, install
from xumx.base.ranks import Rank

if TYPE_CHECKING:
    from xumx.parallel.communicator import Communicator

_HEARD = 0.2
"""Seconds in which mpirun reads a line: what it has not read when a rank aborts or is killed, it drops."""

_TURN = 2.0
"""Seconds by which each rank speaks after the one before: what they all say, rank 0 says for all."""


@contextlib.contextmanager
def joined() -> Iterator[Communicator]:
    """Meet the other processes of the job, if this is one of several; see :func:`together`."""
    rank = Rank.detect()
    if rank.size == 1:
        from xumx.parallel.communicator import Communicator

        yield Communicator()
        return
    with together(rank) as world:
        from xumx.parallel.mpi import MpiCommunicator

        yield MpiCommunicator(world)


@contextlib.contextmanager
def together(rank: Rank) -> Iterator[Any]:
    """Be one of several processes; gives ``mpi4py.MPI.COMM_WORLD``.

    What is raised within, an interrupt too, is printed with the rank and ends all processes at once. So
    does a process that is killed. The block runs in a child process, whose parent tells that.

    Raises
    ------
    XumxError
        If mpi4py is missing, or does not find the other processes. On each machine one process says it.
    """
    if sys.platform == "linux":
        _go_on_in_child(rank)
    try:
        world = _world(rank)
    except XumxError as error:
        if rank.local_rank:
            sys.exit(error.exit_code)
        raise
    _share_cores(world)
    try:
        yield world
    except BaseException as error:
        _end(rank, world, error)


def _go_on_in_child(rank: Rank) -> None:
    """Return in a child process. This one waits for it, passes signals on, and says if it was killed."""
    sys.stdout.flush()
    sys.stderr.flush()
    parent, child = os.getpid(), os.fork()
    if child == 0:
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
        if os.getppid() != parent:  # it was killed already
            os.kill(os.getpid(), signal.SIGKILL)
        return
    passed_on = []

    def pass_on(number: int, frame: object) -> None:
        passed_on.append(number)
        os.kill(child, number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code in (-signal.SIGINT, -signal.SIGTERM):  # the interpreter was ending, and had no handlers any more
        os._exit(128 - code)
    if code < 0:
        if -code not in passed_on:  # else who sent it knows
            name = signal.Signals(-code).name
            who = f"{rank} (process {child})"
            complain(f"error: {who} was killed by {name}, so all end; what they had finished stays")
            time.sleep(_HEARD)
            _end_step(rank)
        os.kill(os.getpid(), signal.SIGKILL)  # so that the launcher ends the others
    os._exit(code)


def _end_step(rank: Rank) -> None:
    """End the step of Slurm that this rank belongs to: others than srun's own launchers see to that."""
    told = [os.environ.get(f"SLURM_{name}") for name in ("PROCID", "STEP_NUM_TASKS", "JOB_ID", "STEP_ID")]
    if told[:2] == [str(rank.rank), str(rank.size)] and all(told):
        # Without --kill-on-bad-exit srun lets the others wait.
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(["scancel", f"{told[2]}.{told[3]}"], timeout=20, capture_output=True)


def _world(rank: Rank) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of another MPI than mpirun's: see below
            from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise XumxError(
            f"started as one of {rank.size} processes, which need mpi4py and an MPI "
            f"({str(error).splitlines()[0]}); {install('mpi')}, or mpi4py for the MPI of mpirun"
        ) from None
    if MPI.COMM_WORLD.size != rank.size:
        library = " ".join(MPI.Get_library_version().split()[:3])
        raise XumxError(
            f"{rank.size} processes were started, but mpi4py finds {MPI.COMM_WORLD.size}: its MPI is another "
            f"({library}) than mpirun's; take that one's mpirun (srun --mpi=pmi2), or mpi4py for yours"
        )
    return MPI.COMM_WORLD


def _share_cores(world: Any) -> None:
    """See that the processes of a machine have no more threads than cores; OMP_NUM_THREADS wins."""
    from mpi4py import MPI

    local = world.Split_type(MPI.COMM_TYPE_SHARED)
    threads = share(usable_cores(), local.allgather(usable_cores()))
    local.Free()
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))


def _end(rank: Rank, world: Any, error: BaseException) -> None:
    """End all processes."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # one is enough
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if code == 0:
            return
        what = "terminated" if code == 128 + signal.SIGTERM else f"ended with {code}"
    elif isinstance(error, KeyboardInterrupt):
        code, what = 130, "interrupted"
    elif isinstance(error, XumxError):
        code, what = error.exit_code, str(error)
    else:
        code, what = 1, f"{type(error).__name__}: {error}"
    time.sleep(_TURN * min(rank.rank, 20))
    log.flush()
    if not isinstance(error, (XumxError, SystemExit, KeyboardInterrupt)):
        traceback.print_exception(error)
    # Of wrong usage it does not matter whose turn it is.
    complain(f"error: {flags(what if isinstance(error, UsageError) else f'{rank}: {what}')}")
    time.sleep(_HEARD)
    world.Abort(code)
