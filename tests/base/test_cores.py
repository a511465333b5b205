import math
import os
from pathlib import Path

import pytest

from xumx.base.cores import Cores, _quota, share, threads, usable_cores


def of(*numbers: int, granted: float = math.inf, group: object = None) -> Cores:
    return Cores(frozenset(numbers), granted, group)


def test_cores_are_shared():
    everything = of(*range(8))
    assert share(everything, [everything]) == 8, "alone"
    assert share(everything, [everything] * 4) == 2, "not bound"
    sets = [of(*range(8 * rank, 8 * rank + 8)) for rank in range(4)]
    assert [share(mine, sets) for mine in sets] == [8] * 4, "bound to 8 cores each"
    sockets = [of(0, 1, 2, 3), of(0, 1, 2, 3), of(4, 5, 6, 7)]
    assert [share(mine, sockets) for mine in sockets] == [2, 2, 4], "bound to sockets"
    assert share(of(0), [of(0)] * 3) == 1, "more processes than cores"
    assert share(everything, [everything] * 3) == 2


def test_what_a_container_grants_is_shared_within_it():
    limited, other = (of(*range(8), granted=3.0, group=name) for name in "ab")
    assert share(limited, [limited]) == 3
    assert share(limited, [limited] * 3) == 1
    assert share(limited, [limited, other]) == 3, "each in a container of its own"
    for granted, wanted in ((1.5, 2), (0.2, 1), (20.0, 8)):  # half a core more is worth a thread
        alone = of(*range(8), granted=granted)
        assert share(alone, [alone]) == wanted


def test_threads_of_a_process(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    mine = usable_cores()
    assert threads() == share(mine, [mine])
    for told, wanted in (("6", 6), ("6,2", 6), ("1", 1)):
        monkeypatch.setenv("OMP_NUM_THREADS", told)
        assert threads() == wanted
        assert threads(2) == max(wanted // 2, 1) and threads(100) == 1
    for told in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", told)
        assert threads() == share(mine, [mine])


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone binds processes")
def test_a_bound_process(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert threads() == 1
    finally:
        os.sched_setaffinity(0, before)


def written(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_quota_of_control_groups(tmp_path):
    root, own = tmp_path / "cgroup", tmp_path / "own"
    assert _quota(root, own) == (math.inf, None), "no Linux"
    own.write_text("0::/job/step\n")
    written(root / "job" / "step" / "cpu.max", "max 100000\n")
    assert _quota(root, own) == (math.inf, None)
    written(root / "job" / "cpu.max", "250000 100000\n")
    granted, group = _quota(root, own)
    assert granted == 2.5 and group is not None
    written(root / "job" / "step" / "cpu.max", "150000 100000\n")
    assert _quota(root, own)[0] == 1.5 and _quota(root, own)[1] != group
    own.write_text("0::/elsewhere/on/the/machine\n")
    written(root / "cpu.max", "400000 100000\n")
    assert _quota(root, own)[0] == 4.0, "within a container"


def test_quota_of_version_1(tmp_path):
    root, own = tmp_path / "cgroup", tmp_path / "own"
    own.write_text("5:memory:/job\n4:cpu,cpuacct:/job\n0::/\n")
    written(root / "cpu" / "job" / "cpu.cfs_period_us", "100000\n")
    written(root / "cpu" / "job" / "cpu.cfs_quota_us", "-1\n")
    assert _quota(root, own)[0] == math.inf
    written(root / "cpu" / "job" / "cpu.cfs_quota_us", "200000\n")
    assert _quota(root, own)[0] == 2.0
