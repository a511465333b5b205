"""Loops over arrays, compiled for the processor at hand by LLVM.

What a loop computes is written in Python once, with :class:`Number` and :class:`Complex`: each stands for as
many numbers as the processor computes with at a time, and writes down what is done to them. LLVM makes
machine code of that in some hundredths of a second, so that nothing need be kept from one process to the
next. Numba takes seconds for the same loops the first time, and half a second to find them again.

All arithmetic is in double precision, whatever the arrays hold.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Union

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

_INT, _DOUBLE = ir.IntType(64), ir.DoubleType()
_KINDS: dict[str, tuple[Any, Any]] = {  # what an argument is: to LLVM, and to NumPy or ctypes
    "int": (_INT, ctypes.c_int64),
    "float": (_DOUBLE, ctypes.c_double),
    "float32": (ir.FloatType().as_pointer(), np.float32),
    "float64": (_DOUBLE.as_pointer(), np.float64),
    "complex64": (ir.FloatType().as_pointer(), np.complex64),
}
_FLAGS = ("contract",)  # allows fused multiply-add, and nothing that takes numbers to be finite
_compiling = threading.Lock()

Operand = Union["Number", float]


class Number:
    """A double in each lane of the processor's vectors."""

    def __init__(self, code: Code, value: ir.Value) -> None:
        self.code, self.value = code, value

    def _with(self, operation: str, other: Operand) -> Number:
        write = getattr(self.code.builder, operation)
        return Number(self.code, write(self.value, self.code.number(other).value, flags=_FLAGS))

    def __add__(self, other: Operand) -> Number:
        return self._with("fadd", other)

    def __sub__(self, other: Operand) -> Number:
        return self._with("fsub", other)

    def __mul__(self, other: Operand) -> Number:
        return self._with("fmul", other)

    def inverse(self) -> Number:
        """1 / x."""
        return self.code.number(1.0)._with("fdiv", self)

    def sqrt(self) -> Number:
        """The square root."""
        code, kind = self.code, self.value.type
        name = f"llvm.sqrt.v{code.lanes}f64"
        function = code.module.globals.get(name) or ir.Function(
            code.module, ir.FunctionType(kind, [kind]), name
        )
        return Number(code, code.builder.call(function, [self.value]))

    def if_positive(self, then: Operand, otherwise: Operand) -> Number:
        """One number where this is above 0, the other elsewhere."""
        code = self.code
        above = code.builder.fcmp_ordered(">", self.value, code.number(0.0).value)
        values = code.number(then).value, code.number(otherwise).value
        return Number(code, code.builder.select(above, *values))


class Complex:
    """A complex number in each lane."""

    def __init__(self, re: Number, im: Number) -> None:
        self.re, self.im = re, im

    def __add__(self, other: Complex) -> Complex:
        return Complex(self.re + other.re, self.im + other.im)

    def __sub__(self, other: Complex) -> Complex:
        return Complex(self.re - other.re, self.im - other.im)

    def __mul__(self, other: Complex | Operand) -> Complex:
        if isinstance(other, Complex):
            return Complex(self.re * other.re - self.im * other.im, self.re * other.im + self.im * other.re)
        return Complex(self.re * other, self.im * other)

    def times_conj(self, other: Complex) -> Complex:
        """This times the other's conjugate."""
        return Complex(self.re * other.re + self.im * other.im, self.im * other.re - self.re * other.im)

    def energy(self) -> Number:
        """|x|²."""
        return self.re * self.re + self.im * self.im


class Row:
    """A row of an array; what :meth:`Code.across` stands at is read and written."""

    def __init__(self, code: Code, array: ir.Value, begin: ir.Value) -> None:
        self._code, self._array, self._begin = code, array, begin

    def number(self) -> Number:
        """Read numbers."""
        return self._code.widened(self._code.builder.load(self._place(1), align=4))

    def complex(self) -> Complex:
        """Read complex numbers."""
        code, count = self._code, 2 * self._code.lanes
        both = code.builder.load(self._place(2), align=4)
        re, im = (code.widened(code.shuffled(both, both, range(part, count, 2))) for part in (0, 1))
        return Complex(re, im)

    def write(self, value: Number | Complex) -> None:
        """Write them, rounded to what the row holds."""
        code, element = self._code, self._array.type.pointee
        if isinstance(value, Number):
            code.builder.store(code.narrowed(value, element), self._place(1), align=4)
            return
        parts = [code.narrowed(part, element) for part in (value.re, value.im)]
        mixed = [lane + part * code.lanes for lane in range(code.lanes) for part in (0, 1)]
        code.builder.store(code.shuffled(parts[0], parts[1], mixed), self._place(2), align=4)

    def _place(self, numbers: int) -> ir.Value:
        code = self._code
        at = code.builder.mul(code.builder.add(self._begin, code.at), _INT(numbers))
        first = code.builder.gep(self._array, [at])
        vector = ir.VectorType(first.type.pointee, numbers * code.lanes)
        return code.builder.bitcast(first, vector.as_pointer())


class Code:
    """The code of a function, while it is written.

    Attributes
    ----------
    lanes : int
        How many numbers are computed with at a time.
    at : ir.Value
        Where in a row the first of them stands.
    """

    def __init__(self, kinds: Sequence[str]) -> None:
        self.module = ir.Module()
        self.lanes, self.at = _lanes(), _INT(0)
        types = [_KINDS[kind][0] for kind in kinds]
        self.function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), types), "loop")
        self.builder = ir.IRBuilder(self.function.append_basic_block())

    @contextmanager
    def loop(self, count: ir.Value, step: int = 1, begin: ir.Value | None = None) -> Iterator[ir.Value]:
        """Repeat the block for i = begin, begin + step, … as long as a whole step lies before ``count``."""
        builder = self.builder
        before, (head, body, after) = builder.block, [builder.append_basic_block() for _ in range(3)]
        builder.branch(head)
        builder.position_at_end(head)
        i = builder.phi(_INT)
        i.add_incoming(begin or _INT(0), before)
        following = builder.add(i, _INT(step))
        builder.cbranch(builder.icmp_signed("<=", following, count), body, after)
        builder.position_at_end(body)
        yield i
        i.add_incoming(following, builder.block)
        builder.branch(head)
        builder.position_at_end(after)
        self.after = i

    def across(self, width: ir.Value, body: Callable[[], None]) -> None:
        """Write ``body`` for all numbers of rows: for whole vectors, and then one by one for the rest."""
        widest = self.lanes
        with self.loop(width, widest) as self.at:
            body()
        self.lanes = 1
        with self.loop(width, 1, self.after) as self.at:
            body()
        self.lanes, self.at = widest, _INT(0)

    def row(self, array: ir.Value, *place: tuple[ir.Value | int, ir.Value | int]) -> Row:
        """A row of an array whose last axis is contiguous.

        Parameters
        ----------
        array : ir.Value
            An argument.
        place : pairs of int or ir.Value
            For each axis the index at which the row begins, and the length of the axis.
        """
        begin = _INT(0)
        for index, length in place:
            begin = self.builder.add(self.builder.mul(begin, _integer(length)), _integer(index))
        return Row(self, array, begin)

    def number(self, value: Operand | ir.Value) -> Number:
        """The same number in all lanes."""
        if isinstance(value, Number):
            return value
        scalar = value if isinstance(value, ir.Value) else _DOUBLE(value)
        kind = ir.VectorType(_DOUBLE, self.lanes)
        first = self.builder.insert_element(kind(ir.Undefined), scalar, ir.IntType(32)(0))
        return Number(self, self.shuffled(first, first, [0] * self.lanes))

    def shuffled(self, a: ir.Value, b: ir.Value, order: Iterable[int]) -> ir.Value:
        """Lanes of two vectors, counted through, as one."""
        order = list(order)
        mask = ir.VectorType(ir.IntType(32), len(order))(order)
        return self.builder.shuffle_vector(a, b, mask)

    def widened(self, value: ir.Value) -> Number:
        """What was read, in double precision."""
        kind = ir.VectorType(_DOUBLE, self.lanes)
        return Number(self, value if value.type == kind else self.builder.fpext(value, kind))

    def narrowed(self, number: Number, element: ir.Type) -> ir.Value:
        """What is written, as elements of the array."""
        kind = ir.VectorType(element, self.lanes)
        return number.value if number.value.type == kind else self.builder.fptrunc(number.value, kind)


def compiled(kinds: Sequence[str], write: Callable[..., None]) -> Callable[..., None]:
    """Compile a function.

    Parameters
    ----------
    kinds : sequence of str
        What its arguments are: 'float32', 'float64' or 'complex64' for an array in C order; 'int', 'float'.
    write : callable
        Called once with a :class:`Code` and an ``ir.Value`` for each argument; writes the function.

    Returns
    -------
    callable
        Takes the arguments, checks that arrays are such, and leaves the interpreter to others meanwhile.

    Examples
    --------
    >>> def write(code, a, b, size):
    ...     x, y = code.row(a, (0, size)), code.row(b, (0, size))
    ...     code.across(size, lambda: y.write(x.number() * 2.0 + y.number()))
    >>> a, b = np.arange(19, dtype=np.float32), np.ones(19)
    >>> compiled(["float32", "float64", "int"], write)(a, b, len(a))
    >>> b[[0, 1, 18]].tolist()
    [1.0, 3.0, 37.0]
    """
    code = Code(kinds)
    write(code, *code.function.args)
    code.builder.ret_void()
    engine = _engine(str(code.module))
    numpy_types = [_KINDS[kind][1] for kind in kinds]
    types = [ctypes.c_void_p if issubclass(kind, np.generic) else kind for kind in numpy_types]
    native = ctypes.CFUNCTYPE(None, *types)(engine.get_function_address("loop"))

    def call(*arguments: Any) -> None:
        given = []
        for argument, kind in zip(arguments, numpy_types, strict=True):
            if issubclass(kind, np.generic):
                if argument.dtype != kind or not argument.flags.c_contiguous:
                    raise TypeError(f"an array must be {kind.__name__} in C order, not {argument.dtype}")
                argument = argument.ctypes.data
            given.append(argument)
        native(*given)

    call.engine = engine  # type: ignore[attr-defined]  # the code goes with it
    return call


def _integer(value: ir.Value | int) -> ir.Value:
    return value if isinstance(value, ir.Value) else _INT(value)


@functools.cache
def _lanes() -> int:
    """Doubles in the widest vector of this processor, or in two where they are short."""
    features = llvm.get_host_cpu_features()
    return 8 if features.get("avx512f") else 4


def _engine(text: str) -> llvm.ExecutionEngine:
    """Machine code of LLVM's language."""
    with _compiling:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        features = llvm.get_host_cpu_features().flatten()
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=features, opt=2, jit=True
        )
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(text), machine)
        engine.finalize_object()
        return engine
