"""The network, its losses and its heavy functions as an NNabla graph."""

from __future__ import annotations

from types import ModuleType


def ops_for(context: str, *, stock: bool = False) -> ModuleType:
    """The heavy functions for a context: our own on 'cpu', NNabla's own on 'cudnn' or if ``stock``."""
    if context == "cpu" and not stock:
        from xumx.graph import cpu_ops

        return cpu_ops
    from xumx.graph import stock_ops

    return stock_ops
