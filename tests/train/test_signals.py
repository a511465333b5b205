"""Ctrl-C and SIGTERM at chosen moments: the exit code, one line, no traceback, and a run that goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.train.runs import arguments, assert_same, best, content, load, train
from xumx.base.interrupts import Interrupts, interrupt
from xumx.train import checkpoint, validation
from xumx.train.__main__ import main
from xumx.train.trainer import Trainer

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.fixture(scope="module")
def uninterrupted(wav_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("whole") / "run"
    train(wav_root, output, "--epochs", 2)
    return output


def before(function: Callable[..., Any], act: Callable[[], object], call: int = 1) -> Callable[..., Any]:
    """The function, whose ``call``-th call is preceded by something."""
    left = iter(range(call))

    def acting(*args: Any, **options: Any) -> Any:
        if next(left, None) == call - 1:
            act()
        return function(*args, **options)

    return acting


def in_a_callback() -> None:
    """Send the signal where an exception would be lost."""

    class Thing:
        pass

    thing = Thing()
    reference = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
    del thing
    assert reference() is None


MOMENTS: dict[str, tuple[Any, str, int, Callable[[], object]]] = {
    "in a step": (Trainer, "_step", 3, lambda: signal.raise_signal(signal.SIGINT)),
    "in a callback": (Trainer, "_step", 3, in_a_callback),
    "in the last step of an epoch": (Trainer, "_step", 4, lambda: signal.raise_signal(signal.SIGTERM)),
    "in validation": (validation, "shortest", 1, lambda: signal.raise_signal(signal.SIGTERM)),
    "at the last validation": (validation, "shortest", 4, lambda: signal.raise_signal(signal.SIGINT)),
    "at saving": (checkpoint, "save", 1, lambda: signal.raise_signal(signal.SIGTERM)),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_ends_the_run_at_a_step(wav_root, uninterrupted, tmp_path, monkeypatch, capsys, moment):
    output = tmp_path / "run"
    place, name, call, act = MOMENTS[moment]
    with monkeypatch.context() as patch:
        patch.setattr(place, name, before(getattr(place, name), act, call))
        code = main(arguments(wav_root, output, "--epochs", 2))
    (line,) = capsys.readouterr().err.splitlines()
    sent = signal.SIGINT if code == 130 else signal.SIGTERM
    assert code == CODES[sent], line
    position = load(output).progress["position"]
    where = f"in epoch {position['epoch'] + 1}, after {position['samples']} samples"
    assert line.startswith(f"stopped by {sent.name} {where}") and f"--model {output}" in line
    assert main(["--model", str(output), "--quiet"]) == 0
    assert_same(content(load(output)), content(load(uninterrupted)))
    assert_same(best(output).parameters, best(uninterrupted).parameters)
    assert not list(output.glob(".*"))


def test_a_signal_in_cpu_functions(wav_root, uninterrupted, tmp_path, monkeypatch):
    """NNabla would make a SystemError of what is raised in them."""
    from xumx.graph.ops.cpu.lstm import _LSTM

    output = tmp_path / "run"
    sending = before(_LSTM.backward_impl, lambda: signal.raise_signal(signal.SIGINT))
    with monkeypatch.context() as patch:
        patch.setattr(_LSTM, "backward_impl", sending)
        assert main(arguments(wav_root, output, "--epochs", 2)) == 130
    assert load(output).solver_steps == 1
    assert main(["--model", str(output), "--quiet"]) == 0
    assert_same(content(load(output)), content(load(uninterrupted)))


def test_handlers_are_given_back(wav_root, tmp_path):
    before = [signal.getsignal(number) for number in CODES]
    assert main(arguments(wav_root, tmp_path / "run", "--lr", 0)) == 2
    assert [signal.getsignal(number) for number in CODES] == before


@pytest.mark.parametrize("change", ["importing", "reading", "counting", "building", "again"])
def test_where_there_is_no_checkpoint_to_make(wav_root, tmp_path, change):
    """In a process of its own, which ends at once: imports, data, statistics, the graph; a second signal."""
    root = tmp_path / "set"
    root.symlink_to(wav_root)
    output = tmp_path / "run"
    for path in wav_root.glob("xumx-statistics-*"):
        path.unlink()
    command = [sys.executable, "-m", "tests.parallel.rank", change, *arguments(root, output)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == (130 if change == "again" else 143), done.stderr
    *_, line = done.stderr.splitlines()
    name = "SIGINT, at once" if change == "again" else "SIGTERM"
    assert line == f"interrupted by {name}" and len(done.stderr.splitlines()) == 1, done.stderr
    assert not (output / checkpoint.NAME).exists()
    assert main(arguments(root, output)) == 0


def test_the_same_signal_twice_is_one(monkeypatch):
    """Launchers send it to a process and to its parent, which passes it on."""
    now = iter([10.0, 10.4])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    with Interrupts() as interrupts, interrupts.noted():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert interrupts.asked() == signal.SIGTERM
    monkeypatch.undo()


@pytest.mark.parametrize("number", CODES)
def test_a_handler_that_raises_does_not_where_it_would_be_lost(monkeypatch, number):
    """As in commands that do not train. It wakes up who sleeps."""

    class Thing:
        pass

    monkeypatch.setattr("xumx.base.interrupts._LATER", 0.1)
    before, thing = signal.signal(number, interrupt), Thing()
    try:
        weakref.finalize(thing, signal.raise_signal, number)
        del thing  # its callback gets the signal
        began = time.monotonic()
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            time.sleep(60)
        assert time.monotonic() - began < 60, "it has slept on"
    finally:
        signal.signal(number, before)
