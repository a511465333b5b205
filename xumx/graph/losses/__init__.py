"""The losses of training: one room for each kind, and the registry of them all.

Each loss is a function of lists with one Variable a source, of whatever its entry in the registry says that
it acts on, and of ``ops`` (see :func:`xumx.graph.ops_for`); its docstring has paper, formula, shapes and
reduction. All are finite, as are their gradients, on silence and on perfect estimates.
"""

from xumx.graph.losses.combination import TRIM, combination_mse, combination_sdr, mse, weighted_sdr
from xumx.graph.losses.registry import (
    CRITICS,
    LOSSES,
    SUMS,
    Loss,
    Term,
    check,
    default,
    labels,
    parse,
    rate,
    spell,
    terms,
)

__all__ = [
    "CRITICS",
    "LOSSES",
    "SUMS",
    "TRIM",
    "Loss",
    "Term",
    "check",
    "combination_mse",
    "combination_sdr",
    "default",
    "labels",
    "mse",
    "parse",
    "rate",
    "spell",
    "terms",
    "weighted_sdr",
]
