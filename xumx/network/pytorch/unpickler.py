"""Pickles of tensors and plain values, read without Python's own unpickler, which runs what stands in them.

A pickle is a program for a small machine with a stack. This one knows the instructions that ``torch.save``
writes, and of all globals those that it is given. It imports nothing, and calls nothing that is not ours.
:mod:`pickletools` of Python takes the instructions apart, and checks each one's argument.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from typing import IO, Any

MOST = 1 << 18
"""Instructions of a pickle: a network of three hundred tensors has ten thousand."""

_LONGEST = 1000
"""Bytes of a line, which is the name of a module or of what is in it."""

_VALUES = frozenset(
    {
        *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINSTRING", "SHORT_BINSTRING"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    }
)
"""Instructions that put their argument on the stack."""

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NOTHING = frozenset({"PROTO", "FRAME"})


class Refused(Exception):
    """A pickle that names what is neither a tensor nor a plain value."""


class Broken(Exception):
    """A pickle that is none, or that ``torch.save`` does not write."""


class Call:
    """A function of ours, which stands for a global that a pickle may call."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function


def load(stream: IO[bytes], known: Mapping[str, Any], persistent: Callable[[Any], Any], *, size: int) -> Any:
    """Read one pickle.

    Parameters
    ----------
    stream : binary file
        Where it begins; it is left after its end.
    known : mapping of str to object
        What may be named, by ``module.name``: values, and functions as :class:`Call`.
    persistent : callable
        What stands for a persistent id.
    size : int
        Bytes of the stream, which no argument may exceed.

    Returns
    -------
    object
        Of plain values, lists, tuples, dictionaries with plain keys, and what `known` and `persistent` give.

    Raises
    ------
    Refused
        For a global that is not known, before anything is made of it.
    Broken
        For everything else.

    Examples
    --------
    >>> import io, os, pickle
    >>> content = pickle.dumps({"a": [1, 2.5]}, protocol=2)
    >>> load(io.BytesIO(content), {}, lambda name: None, size=len(content))
    {'a': [1, 2.5]}
    >>> content = pickle.dumps(os.getcwd, protocol=2)
    >>> load(io.BytesIO(content), {}, lambda name: None, size=len(content))
    Traceback (most recent call last):
        ...
    xumx.network.pytorch.unpickler.Refused: posix.getcwd
    """
    machine = _Machine(known, persistent)
    try:
        for count, (code, argument, _) in enumerate(pickletools.genops(_Bounded(stream, size))):  # type: ignore[arg-type]
            if code.name == "STOP":
                return machine.end()
            if count == MOST:
                raise Broken(f"more than {MOST} instructions")
            machine.step(code.name, argument)
    except (Refused, Broken):
        raise
    except Exception as error:  # a broken pickle fails in as many ways as there are places to break it
        raise Broken(f"a {type(error).__name__} in its pickle") from None
    raise Broken("a pickle without an end")


class _Bounded:
    """A stream that hands out what there is: a file would make room for all that is asked of it."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream, self._size = stream, size

    def read(self, count: int) -> bytes:
        return self._stream.read(min(count, max(self._size - self._stream.tell(), 0)))

    def readline(self) -> bytes:
        return self._stream.readline(_LONGEST)


class _Machine:
    def __init__(self, known: Mapping[str, Any], persistent: Callable[[Any], Any]) -> None:
        self._known, self._persistent = known, persistent
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            self._stack.append(tuple(self._pop(_TUPLES[name])))
        elif name not in _NOTHING:
            act = getattr(self, f"_{name.lower()}", None)
            if act is None:
                raise Broken(f"the instruction {name}")
            act(argument)

    def end(self) -> Any:
        (result,) = self._stack
        return result

    def _pop(self, count: int) -> list[Any]:
        floor = self._marks[-1] if self._marks else 0
        if count > len(self._stack) - floor:
            raise Broken("an empty stack")
        taken = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        return taken

    def _since_mark(self) -> list[Any]:
        mark = self._marks.pop()
        taken = self._stack[mark:]
        del self._stack[mark:]
        return taken

    def _mark(self, _: Any) -> None:
        self._marks.append(len(self._stack))

    def _empty_list(self, _: Any) -> None:
        self._stack.append([])

    def _empty_dict(self, _: Any) -> None:
        self._stack.append({})

    def _tuple(self, _: Any) -> None:
        self._stack.append(tuple(self._since_mark()))

    def _append(self, _: Any) -> None:
        self._extend(self._pop(1))

    def _appends(self, _: Any) -> None:
        self._extend(self._since_mark())

    def _extend(self, items: list[Any]) -> None:
        if type(self._stack[-1]) is not list:
            raise Broken("items of what is no list")
        self._stack[-1].extend(items)

    def _setitem(self, _: Any) -> None:
        self._update(self._pop(2))

    def _setitems(self, _: Any) -> None:
        self._update(self._since_mark())

    def _update(self, items: list[Any]) -> None:
        keys = items[::2]
        if type(self._stack[-1]) is not dict or len(items) % 2:
            raise Broken("items of what is no dictionary")
        # Of what is nested, hashing calls itself once a level.
        if not all(key is None or isinstance(key, (str, bytes, int, float)) for key in keys):
            raise Broken("a key that is no plain value")
        self._stack[-1].update(zip(keys, items[1::2], strict=True))

    def _binput(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    _long_binput = _binput

    def _memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _binget(self, index: int) -> None:
        self._stack.append(self._memo[index])

    _long_binget = _binget

    def _global(self, argument: str) -> None:
        self._name(*argument.split(" ", 1))

    def _stack_global(self, _: Any) -> None:
        self._name(*self._pop(2))

    def _name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise Broken("a global without a name")
        full = f"{module}.{name}"
        if full not in self._known:
            raise Refused(full)
        self._stack.append(self._known[full])

    def _reduce(self, _: Any) -> None:
        function, arguments = self._pop(2)
        if not isinstance(function, Call) or type(arguments) is not tuple:
            raise Broken("a call of what is no function")
        self._stack.append(function.function(*arguments))

    _newobj = _reduce

    def _build(self, _: Any) -> None:
        (state,) = self._pop(1)
        build = getattr(self._stack[-1], "build", None)
        if build is not None:
            build(state)
        elif type(self._stack[-1]) is not dict:  # of an OrderedDict it is what PyTorch notes beside it
            raise Broken("a state of what has none")

    def _binpersid(self, _: Any) -> None:
        self._stack.append(self._persistent(*self._pop(1)))
