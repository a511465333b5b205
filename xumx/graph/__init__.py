"""The network, its losses and its heavy functions as an NNabla graph."""

from __future__ import annotations

from types import ModuleType


def ops_for(context: str, *, stock: bool = False) -> ModuleType:
    """Choose what computes the heavy functions: our own on 'cpu', NNabla's own on 'cudnn' or if ``stock``.

    Examples
    --------
    >>> ops_for("cpu").__name__, ops_for("cudnn").__name__
    ('xumx.graph.ops.cpu', 'xumx.graph.ops.stock')
    """
    if context == "cpu" and not stock:
        from xumx.graph.ops import cpu as cpu_ops

        return cpu_ops
    from xumx.graph.ops import stock as stock_ops

    return stock_ops
