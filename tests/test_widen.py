"""``tools/widen.py``: the demo model grew by it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.networks import random_weights, small_config
from tools.widen import widen
from xumx.engines import create


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
