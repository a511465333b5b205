"""What ``--keep`` and ``--max-disk`` remove, on a real store."""

import time

import pytest

from xumx.serve.cleaner import Cleaner
from xumx.serve.store import Job, Store

DAY = 86400


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Songs of 1000 bytes: done 3, 2 and 1 days ago, failed 2.5 days ago, and one that waits."""
    store = Store(tmp_path)
    now = time.time()
    for name, age in {"three": 3, "broken": 2.5, "two": 2, "one": 1, "waits": None}.items():
        job = Job(name, f"{name}.wav", f"{name}.wav", {}, created=now - 9 * DAY)
        store.place(job).mkdir(parents=True)
        (store.place(job) / job.file).write_bytes(bytes(1000))
        store.add(job)
        if age is not None:
            job = store.claim("worker")
            with monkeypatch.context() as then:
                then.setattr("xumx.serve.store.time.time", lambda age=age: now - age * DAY)
                if name == "broken":
                    store.fail(job, "is no audio")
                else:
                    store.finish(job, ("vocals.wav",), 1.0)
    yield store
    store.close()


def left(store):
    names = {job.id for job in store.all()}
    assert {path.name for path in store.jobs.iterdir()} == names, "files go with their songs"
    return names


def test_songs_go_that_were_done_long_ago(store):
    said = []
    assert Cleaner(store, 1.5, None, said.append).clean()
    assert left(store) == {"one", "waits"}, "one that waits stays, however old"
    assert sorted(line.split()[0] for line in said) == ["broken.wav", "three.wav", "two.wav"]
    assert all(line.endswith("more than 1.5 days ago") for line in said)


def test_without_a_limit_nothing_goes(store):
    assert Cleaner(store, None, None, pytest.fail).clean(10**12)
    assert len(left(store)) == 5


def test_room_is_made_by_the_oldest(store):
    assert Cleaner(store, None, 4500, lambda _: None).clean(coming=1000)
    assert left(store) == {"two", "one", "waits"}
    assert not Cleaner(store, None, 4500, lambda _: None).clean(coming=4000), "what waits takes its room"
    assert left(store) == {"waits"}
