import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from xumx.errors import UsageError, XumxError
from xumx.ranks import Rank


def test_detection():
    assert Rank.detect({}) == Rank(0, 1, 0, 1)
    mpich = {"PMI_RANK": "2", "PMI_SIZE": "4", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2"}
    assert Rank.detect(mpich) == Rank(2, 4, 1, 2)
    openmpi = {"RANK": "1", "SIZE": "2", "LOCAL_RANK": "1", "LOCAL_SIZE": "2"}
    openmpi = {f"OMPI_COMM_WORLD_{name}": value for name, value in openmpi.items()}
    assert Rank.detect(openmpi) == Rank(1, 2, 1, 2)
    slurm = {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "3", "SLURM_LOCALID": "0"}
    assert Rank.detect(slurm) == Rank(0, 3, 0, 1)
    assert Rank.detect({"SLURM_PROCID": "0", "SLURM_NTASKS": "3"}) == Rank(), "a batch script, no step"


def test_every_item_has_one_rank():
    items = list(range(7))
    shares = [Rank(rank, 3).share(items) for rank in range(3)]
    assert sorted(shares[0] + shares[1] + shares[2]) == items and shares[1] == [1, 4]


def test_rank_0_hears_of_all_even_after_a_killed_run(tmp_path):
    Rank(0, 3).announce(tmp_path)  # by a run that was killed
    others = [threading.Thread(target=Rank(r, 3).deliver, args=(tmp_path, [f"from {r}"])) for r in (1, 2)]
    for thread in others:
        thread.start()
    while len(list(tmp_path.glob(".rank-*"))) < 2:  # they take it for theirs
        pass
    first = Rank(0, 3)
    name = first.announce(tmp_path)
    assert first.collect(tmp_path, name, ["from 0"]) == ["from 0", "from 1", "from 2"]
    for thread in others:
        thread.join(10)
        assert not thread.is_alive()
    assert not list(tmp_path.iterdir())


def test_work_that_fails_on_one_rank_is_told(tmp_path, capfd):
    def work(rank):
        if rank == 1:
            raise ValueError("broken")
        return [f"line {rank}"]

    def other(rank):
        assert Rank(rank, 3).meet(tmp_path, lambda: work(rank)) is None

    threads = [threading.Thread(target=other, args=(rank,)) for rank in (1, 2)]
    for thread in threads:
        thread.start()
    lines = Rank(0, 3).meet(tmp_path, lambda: work(0))
    host = socket.gethostname()
    assert lines == ["line 0", f"rank 1 of 3 on {host}: ValueError: broken", "line 2"]
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    err = capfd.readouterr().err
    assert err.startswith("Traceback") and err.endswith("ValueError: broken\n")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(XumxError, match="below: 3 processes meet there"):
        Rank(2, 3).meet(tmp_path / "file" / "below", list)


def test_alone_nothing_is_written(tmp_path):
    alone = Rank()
    assert alone.meet(tmp_path, lambda: ["a"]) == ["a"]
    assert not list(tmp_path.iterdir())


def test_when_rank_0_fails_all_end(tmp_path):
    def broken():
        raise ValueError("broken")

    other = threading.Thread(target=Rank(1, 2).meet, args=(tmp_path, list), daemon=True)
    other.start()
    with pytest.raises(ValueError, match="broken"):
        Rank(0, 2).meet(tmp_path, broken)
    other.join(10)
    assert not other.is_alive()
    assert not list(tmp_path.iterdir())


def test_two_jobs_may_meet_in_one_folder_but_not_one_twice(tmp_path):
    code = (
        "import sys; from pathlib import Path; from xumx.ranks import Rank; rank = Rank.detect();"
        "print(rank.meet(Path(sys.argv[2]), lambda: [f'{sys.argv[1]} {rank.rank}']))"
    )

    def start(job, rank):
        return subprocess.Popen(
            [sys.executable, "-c", code, job, str(tmp_path)], text=True, stdout=subprocess.PIPE,
            env={**os.environ, "PMI_RANK": str(rank), "PMI_SIZE": "2"},
        )  # fmt: skip

    def wait_for_jobs(count):
        deadline = time.monotonic() + 30
        while len([p for p in tmp_path.glob(".run-*") if not p.suffix]) < count:
            assert time.monotonic() < deadline, "not all jobs have begun"
            time.sleep(0.02)

    firsts = {}
    for job in ("a", "b"):
        firsts[job] = start(job, 0)
        wait_for_jobs(len(firsts))
    argv = ["-c", "a", str(tmp_path)]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(UsageError) as raised:
        patch.setattr(sys, "argv", argv)
        Rank(0, 2).meet(tmp_path, list)
    assert f"folder {tmp_path} is in use by process {firsts['a'].pid} on" in str(raised.value)
    others = {job: start(job, 1) for job in firsts}
    for job in firsts:
        assert firsts[job].communicate(timeout=30)[0] == f"['{job} 0', '{job} 1']\n"
        assert others[job].communicate(timeout=30)[0] == "None\n"
    assert not list(tmp_path.iterdir())
