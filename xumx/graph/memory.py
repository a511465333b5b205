"""What a step of training needs of memory, told from shapes before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import nnabla as nn

_FLOAT = 4
_GATES = 6  # of each cell of an LSTM backward needs four gates, the state, and its tanh


def step_bytes(loss: nn.Variable, parameters: Iterable[nn.Variable]) -> int:
    """Count the bytes that are held at the same time in forward and backward of a graph, about.

    These are the parameters, with gradients and Adam's two moments; the inputs; what functions give, each
    until its backward is done (reshapes are in place); the gradients of that, from the backward of the first
    that takes it until that of the one that gives it; and what LSTMs keep to themselves. Workspaces come on
    top.

    Examples
    --------
    >>> import nnabla.functions as F
    >>> w = nn.Variable((100, 100), need_grad=True)
    >>> loss = F.sum(F.affine(nn.Variable((10, 100)), w))
    >>> kept, given, gradients = 4 * 100 * 100, 10 * 100 + 10 * 100 + 1, 10 * 100 + 1
    >>> step_bytes(loss, [w]) == 4 * (kept + given + gradients)
    True
    """
    functions: list[Any] = []
    loss.visit(functions.append)
    own = {hash(parameter.data) for parameter in parameters}
    held = sum(p.size * (4 if p.need_grad else 1) for p in parameters)
    data: dict[int, int] = {}
    for function in functions:
        for variable in function.inputs:
            if hash(variable.data) not in own:
                data.setdefault(hash(variable.data), variable.size)
        if function.info.type_name != "Reshape":
            data.update((hash(variable.data), variable.size) for variable in function.outputs)
        held += _kept(function)
    total = most = held + sum(data.values())
    gradients: dict[int, int] = {hash(loss.grad): loss.size}
    total += loss.size
    for function in reversed(functions):  # which is the order of backward
        for variable in function.inputs:
            key = hash(variable.grad)
            if variable.need_grad and hash(variable.data) not in own and key not in gradients:
                gradients[key] = variable.size
                total += variable.size
        most = max(most, total)
        for variable in function.outputs:
            total -= gradients.pop(hash(variable.grad), 0)
            if function.info.type_name != "Reshape":
                total -= data.pop(hash(variable.data), 0)
    return _FLOAT * most


def _kept(function: Any) -> int:
    """Numbers that an LSTM keeps for its backward; its bias is (layers, directions, 4, hidden)."""
    if function.info.type_name != "LSTM":
        return 0
    out = function.outputs[0]
    four = [v.shape for v in function.inputs if v.need_grad and len(v.shape) == 4]
    (layers,) = (s[0] for s in four if s[2] == 4 and s[1] * s[3] == out.shape[-1])
    return int(_GATES * layers * out.size)
