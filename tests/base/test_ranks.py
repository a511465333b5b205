import os
import subprocess
import sys

import pytest

from xumx.base.errors import UsageError
from xumx.base.ranks import Rank, speaks
from xumx.parallel.job import _end_step
from xumx.test import main

WRONG = {"beyond": ("5", "2"), "negative": ("-1", "2"), "word": ("x", "2"), "empty": ("0", "")}


def test_detection():
    assert Rank.detect({}) == Rank(0, 1, 0)
    mpich = {"PMI_RANK": "2", "PMI_SIZE": "4", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2"}
    assert Rank.detect(mpich) == Rank(2, 4, 1)
    openmpi = {"RANK": "1", "SIZE": "2", "LOCAL_RANK": "1", "LOCAL_SIZE": "2"}
    openmpi = {f"OMPI_COMM_WORLD_{name}": value for name, value in openmpi.items()}
    assert Rank.detect(openmpi) == Rank(1, 2, 1)
    slurm = {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "3", "SLURM_LOCALID": "0"}
    assert Rank.detect(slurm) == Rank(0, 3, 0)
    assert Rank.detect({"SLURM_PROCID": "0", "SLURM_NTASKS": "3"}) == Rank(), "a batch script, no step"


@pytest.mark.parametrize(("rank", "size"), WRONG.values(), ids=WRONG)
def test_variables_of_no_rank_are_one_line(rank, size, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PMI_RANK", rank)
    monkeypatch.setenv("PMI_SIZE", size)
    with pytest.raises(UsageError, match="unset"):
        Rank.detect()
    assert speaks()
    assert main(["--inputs", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"PMI_RANK={rank!r}, PMI_SIZE={size!r}" in line
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0 and "--outdir" in capsys.readouterr().out


def test_processes_that_no_launcher_has_brought_together_do_not_wait(tmp_path):
    """Whether mpi4py is there or not."""
    for rank in "01":
        done = subprocess.run(
            [sys.executable, "-m", "xumx.test", "--inputs", str(tmp_path)],
            env={**os.environ, "PMI_RANK": rank, "PMI_SIZE": "2"},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        (line,) = done.stderr.splitlines()
        assert done.returncode == 1 and not done.stdout
        assert "2 processes" in line and "mpi4py" in line


def test_a_step_of_slurm_is_ended(tmp_path, monkeypatch):
    """By its own program, as srun may let the others wait for a rank that was killed."""
    (tmp_path / "scancel").write_text(f"#!/bin/sh\necho $* >> {tmp_path}/called\n")
    (tmp_path / "scancel").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name, value in {"PROCID": 1, "STEP_NUM_TASKS": 2, "JOB_ID": 12, "STEP_ID": 3}.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    _end_step(Rank(1, 4))  # of an mpirun that the user's shell, a step of its own, has called
    assert not (tmp_path / "called").exists()
    _end_step(Rank(1, 2))
    assert (tmp_path / "called").read_text() == "12.3\n"


def test_the_meeting_needs_no_nnabla():
    """Nor what reads data sets: separation runs where none of it is installed."""
    code = (
        "import sys, xumx.parallel.job, xumx.parallel.communicator as c; assert c.Communicator().size == 1\n"
        "if __import__('importlib.util').util.find_spec('mpi4py'): import xumx.parallel.mpi\n"
        "print(sorted({'nnabla', 'soundfile', 'musdb'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
