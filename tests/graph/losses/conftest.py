from __future__ import annotations

from collections.abc import Iterator

import nnabla as nn
import pytest


@pytest.fixture(autouse=True)
def fresh_scope() -> Iterator[None]:
    nn.clear_parameters()
    yield
    nn.clear_parameters()
