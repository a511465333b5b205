"""``tools/grow.py``: what the demo model grew by, beside training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.networks import random_weights, small_config
from tools.grow import main, mean, widen
from xumx.engines import create
from xumx.network import weights


@pytest.mark.parametrize("changes", [{}, {"arch": "joint"}, {"unidirectional": True}, {"nb_layers": 1}])
def test_a_wider_network_computes_the_same(changes: dict[str, Any]) -> None:
    narrow = random_weights(small_config(**changes))
    wide = widen(narrow, 14, np.random.default_rng(1))
    assert wide.config == small_config(**changes, hidden_size=14)
    magnitude = np.random.default_rng(2).uniform(0, 2, (9, 1, 2, narrow.config.bins)).astype(np.float32)
    expected, found = create(narrow)(magnitude), create(wide)(magnitude)
    assert np.abs(found - expected).max() < 1e-5 * expected.max()


def test_new_units_listen_and_nobody_listens_to_them_yet() -> None:
    wide = widen(random_weights(small_config()), 14, np.random.default_rng(1))
    for p in wide.parameters.values():
        assert p["fc1/affine/W"][:, 8:].all() and p["fc2/affine/W"][:, 8:].all()
        assert not p["fc3/affine/W"][8:].any() and not p["fc2/affine/W"][8:14, :8].any()


def test_the_mean_of_networks(tmp_path: Path) -> None:
    networks = [random_weights(small_config(), seed) for seed in (1, 2)]
    for name, network in zip("ab", networks, strict=True):
        weights.save(tmp_path / f"{name}.h5", network)
    main(["mean", str(tmp_path / "c.h5"), f"{tmp_path / 'a.h5'}=3", f"{tmp_path / 'b.h5'}=1"])
    made = weights.load(tmp_path / "c.h5")
    for source, parameters in made.parameters.items():
        for name, array in parameters.items():
            a, b = (network.parameters[source][name] for network in networks)
            np.testing.assert_allclose(array, 0.75 * a + 0.25 * b, atol=1e-6)
    with pytest.raises(ValueError, match="different sizes"):
        mean([networks[0], random_weights(small_config(hidden_size=4))], [1, 1])
