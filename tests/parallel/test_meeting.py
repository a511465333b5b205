"""How ranks begin."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes go on in a child on Linux alone")


@pytest.mark.parametrize(
    "command, options",
    {
        "test": ["--inputs", "song.wav"],
        "eval": ["--root", ".", "--model", "demo"],
        "train": ["--root", ".", "--output", "run"],
        "study": ["--root", ".", "--output", "study"],
    }.items(),
)
def test_ranks_meet_before_numpy_is_loaded(command, options, tmp_path):
    """Else its BLAS has taken all cores, and its threads are missing in the process that goes on."""
    code = (
        "import os, runpy, sys\n"
        "def fork():\n"
        "    print('numpy' in sys.modules, len(os.listdir('/proc/self/task')), flush=True)\n"
        "    os._exit(0)\n"
        "os.fork, sys.argv = fork, sys.argv[1:]\n"
        "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, f"xumx.{command}", *options],
        env={**os.environ, "PMI_RANK": "0", "PMI_SIZE": "2"},
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    if "needs nnabla" in done.stderr:
        pytest.skip("no NNabla on this Python")
    assert done.stdout == "False 1\n", done.stderr
