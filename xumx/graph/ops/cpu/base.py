"""What the own functions share: NNabla arrays as NumPy arrays, threads, and the vectorised tanh."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from typing import Any

import numba
import numpy as np
from nnabla.function import PythonFunction
from numpy.typing import NDArray

from xumx.base.cores import threads

Array = NDArray[np.float32]
Variables = list[Any]
Flags = list[bool]

# Without "nnan" and "ninf": a NaN in the network must reach the loss. The NumPy error model leaves out the
# test for a zero divisor, which would keep LLVM from vectorising a loop with a division.
_compiled = numba.njit(nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "arcp", "nsz"})


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a loop when it is first called, and keep the code on disk.

    Where neither the package's folder nor the user's can be written, each process compiles for itself.
    """
    dispatcher = _compiled(function)
    with suppress(RuntimeError):  # no folder
        dispatcher.enable_caching()
    return dispatcher


class Function(PythonFunction):
    """Stand in a graph as a function whose forward and backward are written in NumPy.

    A subclass writes ``setup_impl``, ``forward_impl`` and ``backward_impl``; see PythonFunction. Arguments
    are checked where the graph is built, as NNabla turns what these methods raise into a SystemError.

    Examples
    --------
    >>> import nnabla as nn
    >>> class Double(Function):
    ...     def setup_impl(self, inputs, outputs):
    ...         outputs[0].reset_shape(inputs[0].shape, True)
    ...     def forward_impl(self, inputs, outputs):
    ...         new_data(outputs[0])[...] = 2 * data(inputs[0])
    ...     def backward_impl(self, inputs, outputs, wanted, accum):
    ...         if wanted[0]:
    ...             add_grad(inputs[0], 2 * grad(outputs[0]), accum[0])
    >>> x = nn.Variable.from_numpy_array([1, 2], need_grad=True)
    >>> y = Double()(x)
    >>> y.forward()
    >>> x.grad.zero()
    >>> y.backward(nn.NdArray.from_numpy_array(np.array([1, 10])))
    >>> y.d.tolist(), x.g.tolist()
    ([2.0, 4.0], [2.0, 20.0])
    """

    def __init__(self) -> None:
        super().__init__(None)

    @property
    def name(self) -> str:
        """What NNabla calls it: the name of the class."""
        return type(self).__name__.lstrip("_")

    def min_outputs(self) -> int:
        """Have one output."""
        return 1

    def grad_depends_output_data(self, i: int, o: int) -> bool:
        """Say that the backward does without the outputs, whose memory can then serve others."""
        return False

    def grad_depends_input_data(self, i: int, j: int) -> bool:
        """Say that the backward needs the inputs."""
        return True


def data(variable: Any) -> Array:
    """Give the values of a variable, to read: float32, of its shape and in its memory."""
    return variable.data.get_data("r", np.float32)


def new_data(variable: Any) -> Array:
    """Give the memory of a variable's values, to fill: float32, of its shape, with undefined values.

    Examples
    --------
    >>> import nnabla as nn
    >>> x = nn.Variable((2,))
    >>> new_data(x)[...] = 3
    >>> data(x).tolist()
    [3.0, 3.0]
    """
    return variable.data.get_data("w", np.float32)


def grad(variable: Any) -> Array:
    """Give the gradient of a variable, to read: float32, of its shape and in its memory."""
    return variable.grad.get_data("r", np.float32)


def constant(variable: Any) -> Any:
    """Give the same values as an input that gets no gradient.

    Examples
    --------
    >>> import nnabla as nn
    >>> constant(nn.Variable((2,), need_grad=True)).need_grad
    False
    """
    # What needs none anyway may be computed in the graph, which an unlinked variable is not.
    return variable.get_unlinked_variable(need_grad=False) if variable.need_grad else variable


def rows(array: Array) -> Array:
    """View an array with all axes but the last in one.

    Examples
    --------
    >>> rows(np.zeros((5, 2, 3), np.float32)).shape
    (10, 3)
    """
    return array.reshape(-1, array.shape[-1])


def add_grad(variable: Any, value: Array, accum: bool) -> None:
    """Set the gradient of a variable to a value of its size, or add that to it if ``accum``."""
    target = variable.grad.get_data("rw" if accum else "w", np.float32)
    if accum:
        target += value.reshape(target.shape)
    else:
        np.copyto(target, value.reshape(target.shape))


def fill_grads(variables: Variables, accum: Flags, fill: Callable[..., object]) -> None:
    """Set the gradients of variables, or add to them, by ``fill(*arrays)``.

    It gets an array of each variable's shape: the gradient's own memory where nothing has to be added.

    Examples
    --------
    >>> import nnabla as nn
    >>> x = nn.Variable((2,), need_grad=True)
    >>> x.g = [1, 2]
    >>> fill_grads([x], [True], lambda out: np.copyto(out, 10))
    >>> x.g.tolist()
    [11.0, 12.0]
    """
    targets = [v.grad.get_data("rw" if a else "w", np.float32) for v, a in zip(variables, accum, strict=True)]
    arrays = [np.empty_like(t) if a else t for t, a in zip(targets, accum, strict=True)]
    fill(*arrays)
    for target, array in zip(targets, arrays, strict=True):
        if array is not target:
            target += array


THREADS = threads()
"""Of this process, for all its functions."""


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="xumx-ops")


if hasattr(os, "register_at_fork"):  # a forked process has none of the pool's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


def parallel(task: Callable[..., None], *arguments: Sequence[Any]) -> None:
    """Run ``task(*a)`` for each tuple of ``zip(*arguments)`` on all cores; the tasks must release the GIL.

    Each task writes values of its own, so the result does not depend on the number of threads. What one
    raises comes out of here.

    Examples
    --------
    >>> out = np.zeros((2, 3))
    >>> parallel(lambda row, value: np.copyto(row, value), list(out), [1, 2])
    >>> out.tolist()
    [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]
    """
    # One thread needs no pool, which takes a quarter of the time of small networks.
    for _ in (map if THREADS == 1 else _pool().map)(task, *arguments):
        pass


# tanh(x)/x as a ratio of two polynomials in x**2, fitted by iteratively reweighted least squares to a
# relative error below 7e-9 on |x| <= 8, where tanh is 1 but for rounding; in float32 the error is some 3e-7.
# The C library's tanhf is no vector function and takes 100 times as long.
_LIMIT = np.float32(8)
_P1, _P2 = np.float32(0.1344451755285263), np.float32(0.003571620211005211)
_P3, _P4 = np.float32(2.189502447436098e-05), np.float32(1.523092052480024e-08)
_Q1, _Q2 = np.float32(0.46777844429016113), np.float32(0.026164527982473373)
_Q3, _Q4 = np.float32(0.0003411328070797026), np.float32(8.522651455677988e-07)
_ONE = np.float32(1)


@numba.njit(inline="always", error_model="numpy")
def tanh(x: np.float32) -> np.float32:
    """Approximate tanh(x), float32, inside kernels, where LLVM vectorises it. NaN stays NaN.

    Examples
    --------
    >>> abs(tanh(np.float32(0.5)) - np.tanh(0.5)) < 3e-7
    True
    """
    x = _LIMIT if x > _LIMIT else x
    x = -_LIMIT if x < -_LIMIT else x
    u = x * x
    p = _ONE + u * (_P1 + u * (_P2 + u * (_P3 + u * _P4)))
    q = _ONE + u * (_Q1 + u * (_Q2 + u * (_Q3 + u * _Q4)))
    return x * p / q
