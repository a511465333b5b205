"""The update of the parameters: memory is what it waits for, so each value is read and written once."""

from __future__ import annotations

import nnabla.solvers as S
import numpy as np

from xumx.graph.ops.cpu.base import Array, grad, kernel, parallel

_SHARE = 1 << 18
"""Values that one task updates."""

_CHUNK = 1 << 12
"""Values that stay in the first-level cache between one loop and the next."""


def adam_step(solver: S.Adam, *, weight_decay: float = 0.0) -> None:
    """Update the parameters of ``solver`` in place by Adam (Kingma & Ba 2015) with L2 regularisation.

    For each value p with gradient g, in step t::

        d = g + weight_decay · p,   m ← β1 m + (1 − β1) d,   v ← β2 v + (1 − β2) d²
        p ← p − α √(1 − β2ᵗ) / (1 − β1ᵗ) · m / (√v + ε)

    Does what ``solver.weight_decay(weight_decay); solver.update()`` does, to the same numbers but for
    rounding; the gradients stay as they are. The solver keeps the moments and the number of steps, so that
    its states are got, set, saved and loaded as ever.

    Parameters
    ----------
    solver : nnabla.solvers.Adam
        With its parameters set.
    weight_decay : float
        Is multiplied by each parameter and added to its gradient.

    Examples
    --------
    >>> import nnabla as nn
    >>> p = nn.Variable.from_numpy_array(np.zeros(2, np.float32), need_grad=True)
    >>> p.g = [3, -0.1]
    >>> solver = S.Adam(0.01)
    >>> solver.set_parameters({"p": p})
    >>> adam_step(solver)
    >>> p.d.round(4).tolist()  # the first step is of the learning rate, whatever the gradient
    [-0.009999999776482582, 0.009999999776482582]
    """
    beta1, beta2, eps = (solver.info[name] for name in ("beta1", "beta2", "eps"))
    parameters, states = solver.get_parameters(), solver.get_states()
    tasks = []
    for name, state in states.items():
        state.t += 1
        rate = solver.learning_rate() * np.sqrt(1 - beta2**state.t) / (1 - beta1**state.t)
        factors = tuple(np.float32(f) for f in (rate, beta1, beta2, eps, weight_decay))
        parameter, moments = parameters[name], (state.pstate[m] for m in ("mean", "var"))
        value, mean, var = (v.data.get_data("rw", np.float32).reshape(-1) for v in (parameter, *moments))
        gradient = grad(parameter).reshape(-1)
        for lo in range(0, value.size, _SHARE):
            tasks.append((lo, min(lo + _SHARE, value.size), value, gradient, mean, var, factors))
    parallel(_step, *zip(*tasks, strict=True))
    solver.set_states(states)


@kernel
def _step(
    lo: int, hi: int, value: Array, gradient: Array, mean: Array, var: Array, factors: tuple[np.float32, ...]
) -> None:
    rate, beta1, beta2, eps, decay = factors
    one = np.float32(1)
    for start in range(lo, hi, _CHUNK):
        stop = min(start + _CHUNK, hi)
        p, g, m, v = value[start:stop], gradient[start:stop], mean[start:stop], var[start:stop]
        for j in range(stop - start):
            m[j] = beta1 * m[j] + (one - beta1) * (g[j] + decay * p[j])
        for j in range(stop - start):
            d = g[j] + decay * p[j]
            v[j] = beta2 * v[j] + (one - beta2) * d * d
        for j in range(stop - start):
            p[j] -= rate * m[j] / (np.sqrt(v[j]) + eps)
