"""The exponential moving average of the weights: steadier than the weights of any one step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from types import ModuleType

import nnabla as nn
import numpy as np


class Average:
    r"""Follows parameters, running statistics included.

    After n updates it is their mean, weighted by decayⁿ⁻ⁱ for the i-th: the weights sum to 1, as the first
    guess has none (the bias correction of Kingma & Ba 2015, section 3)::

        a ← a + r (p - a),   r = (1 - decay) / (1 - decayⁿ)

    Parameters
    ----------
    decay : float
        Between 0 and 1; 0.999 remembers about 1000 updates.
    parameters : mapping of str to Variable
    ops : module
        See :func:`xumx.graph.ops_for`.
    saved : mapping of str to array, optional
        What :attr:`arrays` was when the run was saved; the parameters themselves by default.
    updates : int
        So far.

    Examples
    --------
    >>> from xumx.graph.ops import cpu as cpu_ops
    >>> p = nn.Variable.from_numpy_array(np.zeros(1, np.float32))
    >>> average = Average(0.5, {"p": p}, cpu_ops)
    >>> for p.d in (3.0, 6.0):
    ...     average.follow()
    >>> average.arrays["p"].tolist()  # a third of 3 and two thirds of 6
    [5.0]
    >>> with average.in_place():
    ...     p.d.tolist()
    [5.0]
    >>> p.d.tolist()
    [6.0]
    """

    def __init__(
        self,
        decay: float,
        parameters: Mapping[str, nn.Variable],
        ops: ModuleType,
        saved: Mapping[str, np.ndarray] | None = None,
        updates: int = 0,
    ) -> None:
        self._decay, self._parameters, self._ops, self._updates = decay, dict(parameters), ops, updates
        values = saved or {name: p.d for name, p in parameters.items()}
        self._means = {name: nn.NdArray.from_numpy_array(values[name].copy()) for name in parameters}

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The averages by name."""
        return {name: mean.data.copy() for name, mean in self._means.items()}

    def follow(self) -> None:
        """Take the parameters after an update."""
        self._updates += 1
        share = (1 - self._decay) / (1 - self._decay**self._updates)
        self._ops.approach(self._means, {name: p.data for name, p in self._parameters.items()}, share)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """While this is entered, the parameters are their averages."""
        own = {name: p.d.copy() for name, p in self._parameters.items()}
        for name, p in self._parameters.items():
            p.d = self._means[name].data
        try:
            yield
        finally:
            for name, p in self._parameters.items():
                p.d = own[name]
