"""PyTorch's checkpoints where there is no PyTorch: read, and refused when they want more than that."""

from __future__ import annotations

import importlib
import pickle
import struct
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import pth
from tests.networks import random_weights, small_config
from xumx.base.errors import WeightsError
from xumx.convert import main
from xumx.network import pytorch as conversion
from xumx.network import weights

UMX = small_config(arch="umx", sources=("vocals",))


@pytest.fixture(autouse=True)
def no_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_checkpoint_becomes_weights(zipped: bool, protocol: int, tmp_path: Path) -> None:
    network = random_weights(UMX)
    state = {f"module._orig_mod.{key}": array for key, array in pth.state_of(network, "vocals").items()}
    content = {
        "epoch": 3,
        "model": {"state_dict": state},
        "lr": [np.float64(0.5), None, True, (1, "a", b"b")],
    }
    pth.save(tmp_path / "vocals.pth", content, zipped=zipped, protocol=protocol)
    assert main([str(tmp_path / "vocals.pth"), str(tmp_path / "vocals.h5")]) == 0
    back = weights.load(tmp_path / "vocals.h5")
    assert back.config == network.config
    for name, array in network.parameters["vocals"].items():
        np.testing.assert_array_equal(back.parameters["vocals"][name], array, err_msg=name)


GADGETS = {
    "os.system": ("echo",),
    "posix.mkdir": ("{mark}",),
    "builtins.eval": ("__import__('os').mkdir('{mark}')",),
    "builtins.exec": ("__import__('os').mkdir('{mark}')",),
    "builtins.getattr": ("a", "upper"),
    "builtins.__import__": ("antigravity",),
    "builtins.open": ("{mark}", "w"),
    "subprocess.Popen": (["mkdir", "{mark}"],),
    "importlib.import_module": ("antigravity",),
    "pickle.loads": (pickle.dumps(1),),
    "numpy.load": ("{mark}",),
    "numpy.core.multiarray._reconstruct": (np.ndarray, (0,), b"b"),
    "runpy.run_path": ("{mark}",),
    "shutil.rmtree": ("{mark}",),
    "operator.attrgetter": ("__class__",),
    "functools.partial": (print,),
    "types.FunctionType": (1,),
    "collections.Counter": ("aa",),
}


def gadget(name: str, arguments: tuple[Any, ...], mark: Path) -> bytes:
    """A pickle that calls a function, by hand, so that none has to be there when it is written."""
    module, _, attribute = name.rpartition(".")
    given = eval(repr(arguments).replace("{mark}", str(mark))) if "{mark}" in repr(arguments) else arguments
    inner = pickle.dumps(given, protocol=2)[2:-1]  # without its beginning and end
    return b"\x80\x02}X\x01\x00\x00\x00ac" + f"{module}\n{attribute}\n".encode() + inner + b"Rs."


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_code_is_refused_before_it_acts(zipped: bool, tmp_path: Path) -> None:
    before = set(sys.modules)
    for name, arguments in GADGETS.items():
        mark, path = tmp_path / "mark", tmp_path / "a.pth"
        content = gadget(name, arguments, mark)
        pth.write(path, content, [], zipped=zipped)
        with pytest.raises(
            WeightsError, match=rf"a\.pth: refused, .*\({name}\), .* nothing of it was run"
        ) as raised:
            conversion.load(path)
        assert "\n" not in str(raised.value) and not mark.exists(), name
    assert set(sys.modules) <= before, "nothing was imported for it"
    pickle.loads(gadget("posix.mkdir", ("{mark}",), tmp_path / "mark"))
    assert (tmp_path / "mark").exists(), "the test's own weapon is blunt"


def nested(depth: int) -> bytes:
    """A dictionary whose key is a tuple in a tuple in a tuple …, which hashing would follow down."""
    return b"\x80\x02}" + b")" + depth * b"\x85" + b"Ns."


def copies(count: int) -> bytes:
    """A long shape, copied again and again."""
    shape = b"(" + count * b"K\x01" + b"tq\x00"
    return b"\x80\x02" + shape + b"0]q\x01(" + count * b"ctorch\nSize\nh\x00\x85R" + b"e."


def tensor(storage: pth.Storage, *rest: Any) -> tuple[bytes, list[pth.Storage]]:
    return pth.pickled({"a": pth.Call(pth.REBUILD, storage, *rest)})


def numbers(count: int | None = None) -> pth.Storage:
    return pth.Storage(np.arange(10, dtype="f4"), count)


TRICKS: dict[str, Callable[[], tuple[bytes, list[pth.Storage]]]] = {
    "a memo of 4 billion places": lambda: (b"\x80\x02Nr\xff\xff\xff\xff.", []),
    "8 exabytes of bytes": lambda: (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"a.", []),
    "8 exabytes of text": lambda: (b"\x80\x04\x8d" + struct.pack("<Q", 1 << 62) + b"a.", []),
    "a number of 2 GB": lambda: (b"\x80\x02\x8b\xff\xff\xff\x7f\x01.", []),
    "a frame of 8 exabytes": lambda: (b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b"N", []),
    "a name without an end": lambda: (b"\x80\x02c" + 10_000 * b"a", []),
    "a key of 50000 levels": lambda: (nested(50_000), []),
    "more instructions than any network": lambda: (b"\x80\x02](" + (1 << 18) * b"N" + b"e.", []),
    "a hundred million copies": lambda: (copies(10_000), []),
    "an instruction of the first protocol": lambda: (b"(S'mkdir mark'\nios\nsystem\n.", []),
    "an extension of copyreg": lambda: (b"\x80\x02\x82\x01.", []),
    "an empty stack": lambda: (b"\x80\x02R.", []),
    "no end": lambda: (b"\x80\x02N", []),
    "a storage of 2**62 numbers": lambda: tensor(numbers(1 << 62), 0, (10,), (1,)),
    "a storage of -1 numbers": lambda: tensor(numbers(-1), 0, (0,), (1,)),
    "a storage longer than there is": lambda: tensor(numbers(11), 0, (10,), (1,)),
    "a view beyond its end": lambda: tensor(numbers(), 1, (10,), (1,)),
    "a view before its beginning": lambda: tensor(numbers(), -1, (5,), (1,)),
    "a negative stride": lambda: tensor(numbers(), 9, (10,), (-1,)),
    "a shape whose size is 0 modulo 2**64": lambda: tensor(numbers(), 0, (1 << 32, 1 << 32), (0, 0)),
    "a stride beyond 2**63": lambda: tensor(numbers(), 0, (1,), (1 << 64,)),
    "shape and strides of other lengths": lambda: tensor(numbers(), 0, (2, 2), (1,)),
    "a shape that is none": lambda: tensor(numbers(), 0, "ab", (1, 1)),
    "a view of what is no storage": lambda: pth.pickled({"a": pth.Call(pth.REBUILD, 3, 0, (1,), (1,))}),
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_tricks_are_one_line_and_cost_nothing(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    for name, trick in TRICKS.items():
        pth.write(path, *trick(), zipped=zipped)
        tracemalloc.start()
        try:
            with pytest.raises(WeightsError, match=r"a\.pth: ") as raised:
                conversion.load(path)
            assert "\n" not in str(raised.value), name
            assert tracemalloc.get_traced_memory()[1] < 64 << 20, name
        finally:
            tracemalloc.stop()


def test_archives_that_are_none(tmp_path: Path) -> None:
    content, storages = pth.pickled({"a": np.arange(10, dtype="f4")})
    path = tmp_path / "a.pth"

    def refused(match: str, *entries: tuple[str, bytes], kind: int = zipfile.ZIP_STORED) -> None:
        with zipfile.ZipFile(path, "w", kind) as archive:
            for name, data in entries:
                archive.writestr(name, data)
        with pytest.raises(WeightsError, match=rf"a\.pth: {match}") as raised:
            conversion.load(path)
        assert "\n" not in str(raised.value)

    pickle_, data = ("net/data.pkl", content), ("net/data/0", storages[0].numbers.tobytes())
    refused("no checkpoint", data)
    refused("no checkpoint", pickle_)
    refused("no checkpoint", pickle_, ("net/data/0", data[1][:-1]))
    refused("no checkpoint", pickle_, ("other/data.pkl", content), data)
    refused("is a program of TorchScript's", pickle_, data, ("net/constants.pkl", b""))
    refused("is compressed", pickle_, data, kind=zipfile.ZIP_DEFLATED)
    with pytest.warns(UserWarning, match="Duplicate name"):
        refused("no checkpoint", pickle_, data, data)
    refused("lacks input_mean", pickle_, data)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_what_is_cut_or_spoilt_is_said(zipped: bool, tmp_path: Path) -> None:
    whole, path = tmp_path / "vocals.pth", tmp_path / "bad.pth"
    pth.save(whole, pth.state_of(random_weights(UMX), "vocals"), zipped=zipped)
    content = whole.read_bytes()
    rng = np.random.default_rng(0)
    for length in [0, 1, 4, *rng.integers(5, len(content), 20)]:
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match=r"bad\.pth: ") as raised:
            conversion.load(path)
        assert "\n" not in str(raised.value), length


def test_tensors_that_share_too_much(tmp_path: Path) -> None:
    """Hundreds of parameters that are each as large as the file."""
    shared = np.zeros(10_000, "f4")
    pth.save(tmp_path / "a.pth", {f"{i}": shared for i in range(300)})
    with pytest.raises(WeightsError, match=r"a\.pth: .*share"):
        conversion.load(tmp_path / "a.pth")


def test_reading_imports_no_pytorch() -> None:
    for name in ("unpickler", "tensors", "checkpoint"):
        module = importlib.import_module(f"xumx.network.pytorch.{name}")
        assert not hasattr(module, "torch") and not hasattr(module, "pickle"), name
