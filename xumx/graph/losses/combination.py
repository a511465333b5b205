"""The losses of UMX and X-UMX: squared error, weighted SDR, and both of sums of sources.

A combination loss averages a loss over sums of sources: over every subset of 1 to n-1 of the n sources
(1 of 1), estimates and targets being summed over the subset [1]_. Both losses here are made of inner
products, and inner products of sums are sums of inner products; so one matrix of the products of all signals,
computed in one pass, gives the loss of all 2ⁿ - 2 subsets.

References
----------
.. [1] Sawata, Uhlich, Takahashi & Mitsufuji, "All for One and One for All: Improving Music Separation by
   Bridging Networks", ICASSP 2021, arXiv:2010.04228.
.. [2] Kim, Yoo, Chun, Kim & Ha, "Multi-Domain Processing via Hybrid Denoising Networks for Speech
   Enhancement", 2018, arXiv:1812.08914.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import nnabla as nn
import nnabla.functions as F
import numpy as np

TRIM = 200
"""Samples left out at each end of a waveform in :func:`combination_sdr`."""

_EPS = 1e-10


def mse(estimates: list[nn.Variable], targets: list[nn.Variable], ops: Any) -> nn.Variable:
    """Compute ``1/n Σ_j mean (x_j − y_j)²``, the mean squared error of all sources: the loss of UMX.

    Parameters
    ----------
    estimates, targets : lists of n Variable, all of one shape
        The targets get no gradient.
    ops : module
        See :func:`xumx.graph.ops_for`.

    Returns
    -------
    Variable ()

    Examples
    --------
    >>> from xumx.graph.ops import cpu as cpu_ops
    >>> x, y = [nn.Variable.from_numpy_array([1, 2])], [nn.Variable.from_numpy_array([0, 4])]
    >>> loss = mse(x, y, cpu_ops)
    >>> loss.forward()
    >>> float(loss.d)
    2.5
    """
    n = len(estimates)
    return _weighted(ops.error_gram(estimates, targets), np.eye(n) / n)


def combination_mse(estimates: list[nn.Variable], targets: list[nn.Variable], ops: Any) -> nn.Variable:
    """Compute the mean squared error of sums of sources, averaged over all subsets of 1 to n-1 sources.

    With e_j the error of source j, E_ij the mean over all values of e_i · e_j, and N = 2ⁿ - 2 subsets::

        loss = 1/N Σ_c Σ_{i,j in c} E_ij

    A source is in 2ⁿ⁻¹ subsets and a pair of sources in 2ⁿ⁻², the whole set among them, which does not count.
    So E_ii counts a + b times and E_ij b times, with b = 2ⁿ⁻² - 1 and a = 2ⁿ⁻²::

        loss = (a Σ_j MSE(e_j) + b MSE(Σ_j e_j)) / N
             = (4 Σ_j MSE(e_j) + 3 MSE(Σ_j e_j)) / 14   for four sources

    Parameters, returns
    -------------------
    As :func:`mse`.

    Examples
    --------
    >>> from xumx.graph.ops import cpu as cpu_ops
    >>> x, y = [nn.Variable.from_numpy_array([1, 2])], [nn.Variable.from_numpy_array([0, 4])]
    >>> loss = combination_mse(x * 2, y * 2, cpu_ops)
    >>> loss.forward()
    >>> float(loss.d)  # of two sources: of each by itself
    2.5
    """
    n = len(estimates)
    if n == 1:
        return mse(estimates, targets, ops)
    a, b = 2 ** (n - 2), 2 ** (n - 2) - 1
    return _weighted(ops.error_gram(estimates, targets), (a * np.eye(n) + b) / (2**n - 2))


def combination_sdr(
    estimates: list[nn.Variable], targets: list[nn.Variable], residual: nn.Variable, ops: Any
) -> nn.Variable:
    """Compute 1 minus the weighted SDR [2]_ of sums of sources, averaged over subsets, batch and channels.

    For a subset c with the mixture m, the estimate x = Σ_c x_i, the target t = Σ_c t_i, and what should be
    and is left of the mixture, v = m - t and w = m - x, each without ``TRIM`` samples at both ends::

        loss_c = 1 - α ⟨x, t⟩ / (|x| |t|) - (1 - α) ⟨w, v⟩ / (|w| |v|),   α = |t|² / (|t|² + |v|²)

    with small constants in roots and denominators, which keep silence from dividing by zero. The products
    follow from those of the 2n+1 signals x_i, t_i and the residual r = m - Σ t_i. These are chosen over the
    mixture itself because v = r + Σ_{i not in c} t_i is then a sum without cancellation: where the left-out
    sources are silent, as often in music, v is silent, and not the rounding error of the mixture's square.

    Parameters
    ----------
    estimates, targets : lists of n Variable (batch, channels, samples)
        The targets should need no gradient, or they get one.
    residual : Variable (batch, channels, samples)
        What the sum of the targets lacks of the mixture.
    ops : module
        See :func:`xumx.graph.ops_for`.

    Returns
    -------
    Variable ()
        From 0, for perfect estimates, to 2.

    Examples
    --------
    >>> from xumx.graph.ops import cpu as cpu_ops
    >>> rng = np.random.default_rng(0)
    >>> y = [nn.Variable.from_numpy_array(rng.normal(size=(1, 1, 1000))) for _ in range(2)]
    >>> nothing = nn.Variable.from_numpy_array(np.zeros((1, 1, 1000)))
    >>> loss = combination_sdr(y, y, nothing, cpu_ops)
    >>> loss.forward()
    >>> bool(abs(loss.d) < 1e-6)  # perfect
    True
    """
    n = len(estimates)
    members = np.array([c for c in product((0, 1), repeat=n) if 0 < sum(c) < max(n, 2)])
    return _weighted_sdr(estimates, targets, residual, members, ops)


def weighted_sdr(
    estimates: list[nn.Variable], targets: list[nn.Variable], residual: nn.Variable, ops: Any
) -> nn.Variable:
    """Compute ``1/n Σ_j loss_{j}``, the loss of :func:`combination_sdr` of each source by itself.

    Parameters, returns
    -------------------
    As :func:`combination_sdr`.

    Examples
    --------
    >>> from xumx.graph.ops import cpu as cpu_ops
    >>> y = nn.Variable.from_numpy_array(np.random.default_rng(0).normal(size=(1, 1, 1000)))
    >>> nothing = nn.Variable.from_numpy_array(np.zeros((1, 1, 1000)))
    >>> loss = weighted_sdr([-y], [y], nothing, cpu_ops)
    >>> loss.forward()
    >>> round(float(loss.d), 4)  # the whole mixture, of the wrong sign
    2.0
    """
    members = np.eye(len(estimates), dtype=int)
    return _weighted_sdr(estimates, targets, residual, members, ops)


def _weighted_sdr(
    estimates: list[nn.Variable],
    targets: list[nn.Variable],
    residual: nn.Variable,
    members: np.ndarray,
    ops: Any,
) -> nn.Variable:
    """The mean over subsets, each a row of 0 and 1 in ``members`` (subsets, n)."""
    gram = ops.gram([*estimates, *targets, residual], trim=TRIM)
    batch, channels, size, _ = gram.shape
    products = F.affine(F.reshape(gram, (batch * channels, size**2)), _constant(_subset_products(members)))
    # What should be a square is never less than one, whatever rounding did to the differences in w.
    xt, wv, *squares = F.split(F.reshape(products, (batch * channels, 6, -1)), axis=1)
    xx, tt, ww, vv = (F.relu(square) for square in squares)
    alpha = tt / (tt + vv + _EPS)
    return 1 - F.mean(alpha * _cosine(xt, xx, tt) + (1 - alpha) * _cosine(wv, ww, vv))


def _cosine(product: nn.Variable, square: nn.Variable, other: nn.Variable) -> nn.Variable:
    return product / ((square + _EPS) ** 0.5 * (other + _EPS) ** 0.5 + _EPS)


def _subset_products(members: np.ndarray) -> np.ndarray:
    """Matrix from the flat Gram matrix of (x_1..x_n, t_1..t_n, r) to ⟨x,t⟩, ⟨w,v⟩, |x|², |t|², |w|², |v|².

    Shape ((2n+1)², 6 · subsets), the six products outermost.
    """
    nothing, one = np.zeros_like(members), np.ones((len(members), 1))
    x = np.hstack([members, nothing, 0 * one])
    t = np.hstack([nothing, members, 0 * one])
    v = np.hstack([nothing, 1 - members, one])
    w = np.hstack([-members, 1 + nothing, one])
    pairs = [(x, t), (w, v), (x, x), (t, t), (w, w), (v, v)]
    # The Gram matrix is symmetric, and so are these, so that its gradient is.
    columns = [np.einsum("ci,cj->cij", a, b) for a, b in pairs]
    columns = [(c + c.swapaxes(1, 2)) / 2 for c in columns]
    return np.concatenate([c.reshape(len(members), -1) for c in columns]).T


def _weighted(gram: nn.Variable, weights: np.ndarray) -> nn.Variable:
    return F.sum(gram * _constant(weights))


def _constant(values: np.ndarray) -> nn.Variable:
    constant = nn.Variable.from_numpy_array(values.astype(np.float32))
    constant.persistent = True
    return constant
