"""Everything that PyTorch saves of tensors, read as PyTorch itself reads it."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.network.pytorch.nets import asteroid_checkpoint, open_unmix
from xumx.network import pytorch as conversion
from xumx.network.pytorch import tensors
from xumx.network.pytorch.tensors import Foreign, Tensor

DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
    torch.int8, torch.uint8, torch.bool,
]  # fmt: skip


def random_tensor(rng: np.random.Generator, shared: list[torch.Tensor]) -> torch.Tensor:
    """Of any kind, shape and strides; at times a view of what another one is a view of."""
    shape = tuple(int(n) for n in rng.integers(0 if rng.random() < 0.1 else 1, 5, rng.integers(0, 4)))
    if shared and rng.random() < 0.3:
        base = shared[rng.integers(len(shared))]
    else:
        dtype = DTYPES[rng.integers(len(DTYPES))]
        base = torch.from_numpy(rng.normal(0, 50, max(int(np.prod(shape)), 1) * 3 + 7)).to(dtype)
        shared.append(base)
    step, offset = int(rng.integers(1, 4)), int(rng.integers(0, 5))
    part = base[offset::step][: int(np.prod(shape))]
    if part.numel() < np.prod(shape):
        part, shape = base, tuple(base.shape)
    found = part.reshape(shape)
    if found.ndim > 1 and rng.random() < 0.5:
        found = found.transpose(0, 1)
    if found.is_floating_point() and rng.random() < 0.2:
        found = torch.nn.Parameter(found.detach(), requires_grad=bool(rng.random() < 0.5))
    return found


def random_content(rng: np.random.Generator, depth: int, shared: list[torch.Tensor]) -> Any:
    kind = rng.integers(7) if depth else 9
    if kind == 0:
        return [random_content(rng, depth - 1, shared) for _ in range(rng.integers(4))]
    if kind == 1:
        return tuple(random_content(rng, depth - 1, shared) for _ in range(rng.integers(5)))
    if kind in (2, 3, 4):
        made: dict[Any, Any] = OrderedDict() if kind == 2 else {}
        for i in range(rng.integers(5)):
            made[f"key {i}" if rng.random() < 0.8 else i] = random_content(rng, depth - 1, shared)
        return made
    plain = [
        None,
        True,
        3,
        -(10**30),
        2.5,
        "text ü",
        b"bytes",
        np.float32(0.5),
        torch.float32,
        torch.Size([2, 3]),
    ]
    return plain[rng.integers(len(plain))] if rng.random() < 0.3 else random_tensor(rng, shared)


def assert_same(found: Any, expected: Any, place: str = "content") -> None:
    if isinstance(expected, torch.Tensor):
        assert isinstance(found, Tensor), place
        assert found.shape == tuple(expected.shape), place
        array, of = found.array(), expected.detach()
        exact = of.float().numpy() if of.dtype == torch.bfloat16 else of.numpy()
        assert array.dtype == exact.dtype, place
        np.testing.assert_array_equal(array, exact, err_msg=place)
    elif isinstance(expected, dict):
        assert isinstance(found, dict) and list(found) == list(expected), place
        for key, value in expected.items():
            assert_same(found[key], value, f"{place}[{key!r}]")
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected) and isinstance(found, (list, tuple)), place
        for i, value in enumerate(expected):
            assert_same(found[i], value, f"{place}[{i}]")
    elif isinstance(expected, torch.dtype):
        assert found == str(expected), place
    else:
        assert found == expected and type(found) is type(expected), place


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_as_pytorch_reads_it(protocol: int, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    for seed in range(40):
        rng = np.random.default_rng(seed)
        content = {"top": random_content(rng, 3, []), "and": random_tensor(rng, [])}
        torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
        expected = torch.load(path, weights_only=False)  # our own file
        assert_same(tensors.read(path), expected, f"seed {seed}")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_networks_of_other_precisions(dtype: torch.dtype, zipped: bool, tmp_path: Path) -> None:
    """To the last bit what PyTorch makes float32 of; both layouts, the optimizer beside the network."""
    net = open_unmix().to(dtype)
    optimizer = torch.optim.Adam(net.parameters())
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    content = {"model_state_dict": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    torch.save(content, tmp_path / "vocals.pth", _use_new_zipfile_serialization=zipped)
    found = conversion.load(tmp_path / "vocals.pth").parameters["vocals"]
    for i in (1, 2, 3):
        expected = net.state_dict()[f"fc{i}.weight"].float().numpy().T
        np.testing.assert_array_equal(found[f"fc{i}/affine/W"], expected)

    asteroid = asteroid_checkpoint()
    state = {key: tensor.to(dtype) for key, tensor in asteroid.pop("net").state_dict().items()}
    torch.save({**asteroid, "state_dict": state}, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    one = conversion.load(tmp_path / "x.pth").parameters["voice"]["fc3/affine/W"]
    np.testing.assert_array_equal(one, state["layer_dec.voice.dec.3.weight"].float().numpy().T)


def test_kinds_that_no_network_has(tmp_path: Path) -> None:
    content = {
        "sparse": torch.eye(3).to_sparse(),
        "meta": torch.zeros(3, device="meta"),
        "complex": torch.zeros(3, dtype=torch.complex64),
    }
    torch.save(content, tmp_path / "a.pt")
    found = tensors.read(tmp_path / "a.pt")
    assert not found.pop("complex").real
    assert all(isinstance(one, Foreign) for one in found.values())
