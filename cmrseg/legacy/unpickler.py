"""Pickles read as data: every object becomes an inert record, and nothing of the file is ever called.

A pickle is a program for a small machine with a stack. Here that machine is run without its two dangerous
parts: a name is never looked up and a call is never made; both are written down. What is left is numbers,
text, plain containers and records, which legacy.py searches for weights.

Why not the ready-made ones: `pickle.Unpickler` with another `find_class` still calls what that returns and
sets attributes on it (BUILD); `torch.load(weights_only=True)` makes instances of every class that
`add_safe_globals` admits, runs their `__setstate__` and refuses all others, and a learner names a
hundred classes of several fastai versions, which would have to be installed.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from cmrseg.legacy.records import SCALARS, Global, Persistent, Record, brief
from cmrseg.problems import DataError

# An exported learner takes 30,000; the limit keeps the memory of a hostile one below some 500 MB.
MAX_OPERATIONS = 2_000_000
_MAX_NAME = 500  # letters of a module and a class
_MAX_KEY_BITS = 60  # hashes of longer integers can be made to collide, and a dictionary of these takes hours


@dataclass(frozen=True)
class Pickle:
    """One pickle.

    Attributes
    ----------
    root
        What it holds.
    globals
        All names in it.
    persistent
        All references to the outside.
    """

    root: Any
    globals: frozenset[Global]
    persistent: tuple[Persistent, ...]


def read_pickle(stream: BinaryIO, where: object, *, max_operations: int = MAX_OPERATIONS) -> Pickle:
    """Read one pickle as data; the stream then stands behind it.

    Parameters
    ----------
    stream
        Has ``read`` and ``readline`` that return what there is, not more: `io.BytesIO` or `mmap.mmap`, since
        a hostile length makes an ordinary file reserve it first.
    where
        Name of the file in messages.
    max_operations
        Of the stack machine.

    Raises
    ------
    DataError
        If it is damaged or too long, calls what no learner calls, or uses what no learner uses.
    """
    machine = _Machine(where)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count >= max_operations:
                raise DataError(f"{where} is a pickle of more than {max_operations} steps; no learner is")
            machine.step(opcode.name, argument)
        (root,) = machine.stack
    except DataError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        reason = f"{type(error).__name__}: {error}"[:80].splitlines()[0]
        raise DataError(f"{where} is no readable pickle ({reason}); copy or fetch it again") from None
    return Pickle(root, frozenset(machine.globals), tuple(machine.persistent))


class _Machine:
    """The stack machine of a pickle, with records in place of objects."""

    def __init__(self, where: object) -> None:
        self.where = where
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.globals: set[Global] = set()
        self.persistent: list[Persistent] = []

    def step(self, name: str, argument: Any) -> None:
        """One operation."""
        if name in _CONSTANTS:
            self.push(_CONSTANTS[name])
        elif name in _LITERALS:
            self.push(argument)
        elif name in _OPERATIONS:
            _OPERATIONS[name](self, argument)
        elif name not in _IGNORED:
            raise DataError(f"{self.where} uses {name} of pickle, which no learner does; it was not read")

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def since_mark(self) -> list[Any]:
        """What was pushed after the last mark; the stack goes on below it."""
        pushed, self.stack = self.stack, self.marked.pop()
        return pushed

    def add_global(self, module: Any, name: Any) -> None:
        """Write a name down."""
        if not (isinstance(module, str) and isinstance(name, str)):
            raise ValueError("a name that is no text")
        if len(module) + len(name) > _MAX_NAME:
            raise ValueError(f"a name of {len(module) + len(name)} letters")
        self.push(Global(module, name))
        self.globals.add(self.stack[-1])

    def add_record(self, of: Any, args: Any) -> None:
        """Write down what would be called with what."""
        if not isinstance(args, tuple):
            raise ValueError("arguments that are no tuple")
        # The result of a call may be called in turn: partial(os.system, ...)()
        parts = (of.of, *of.args) if isinstance(of, Record) else (of,)
        for part in parts:
            if isinstance(part, Global) and part.runs_code:
                raise DataError(
                    f"{self.where} asks to call {brief(part)} when it is loaded, which no learner does: "
                    "nothing of it was run; do not open it with other programs"
                )
        self.push(Record(of, args))

    def add_persistent(self, key: Any) -> None:
        """Write a reference down."""
        self.push(Persistent(key))
        self.persistent.append(self.stack[-1])

    def memoise(self, number: int) -> None:
        """Remember the top of the stack."""
        if not _is_key(number):
            raise ValueError("a memo of a number too large")
        self.memo[number] = self.stack[-1]


def _is_key(value: Any) -> bool:
    """Whether a value can be a key without harm."""
    # Nobody needs other keys, and hashing nested tuples that share parts takes for ever.
    return isinstance(value, SCALARS) and not (isinstance(value, int) and value.bit_length() > _MAX_KEY_BITS)


def _set_items(machine: _Machine, pairs: list[Any]) -> None:
    """Items of a mapping whose keys are scalars."""
    target = machine.stack[-1]
    items = target.items if isinstance(target, Record) else target
    if not isinstance(items, dict) or len(pairs) % 2:
        raise ValueError("items of no mapping")
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        if _is_key(key):
            items[key] = value


def _set_all_items(machine: _Machine, _: Any) -> None:
    _set_items(machine, machine.since_mark())


def _set_one_item(machine: _Machine, _: Any) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _set_items(machine, [key, value])


def _extend(machine: _Machine, values: list[Any]) -> None:
    """Elements of a list or set."""
    target = machine.stack[-1]
    elements = target.elements if isinstance(target, Record) else target
    if not isinstance(elements, list):
        raise ValueError("elements of no list")
    elements.extend(values)


def _dict(machine: _Machine, _: Any) -> None:
    pairs = machine.since_mark()
    machine.push({})
    _set_items(machine, pairs)


def _call(machine: _Machine, _: Any) -> None:
    args, of = machine.stack.pop(), machine.stack.pop()
    machine.add_record(of, args)


def _call_with_keywords(machine: _Machine, _: Any) -> None:
    keywords, args, of = (machine.stack.pop() for _ in range(3))
    machine.add_record(of, args)
    machine.stack[-1].state = keywords


def _call_marked(machine: _Machine, _: Any) -> None:
    of, *args = machine.since_mark()
    machine.add_record(of, tuple(args))


def _call_named(machine: _Machine, argument: str) -> None:
    args = machine.since_mark()
    machine.add_global(*argument.split(" ", 1))
    machine.add_record(machine.stack.pop(), tuple(args))


def _build(machine: _Machine, _: Any) -> None:
    state, target = machine.stack.pop(), machine.stack[-1]
    if not isinstance(target, Record):
        raise DataError(f"{machine.where} changes attributes of what is no object, which no learner does")
    target.state = state


def _named_by_stack(machine: _Machine, _: Any) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    machine.add_global(module, name)


def _tuple_of(n: int) -> Callable[[_Machine, Any], None]:
    def push(machine: _Machine, _: Any) -> None:
        values = [machine.stack.pop() for _ in range(n)]
        machine.push(tuple(reversed(values)))

    return push


def _mark(machine: _Machine, _: Any) -> None:
    machine.marked.append(machine.stack)
    machine.stack = []


_IGNORED = frozenset({"PROTO", "FRAME", "STOP"})
_LITERAL_NAMES = """
    INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE
    BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8
"""
_LITERALS = frozenset(_LITERAL_NAMES.split())
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_OPERATIONS: dict[str, Callable[[_Machine, Any], object]] = {
    **{name: lambda m, _: m.push([]) for name in ("EMPTY_LIST", "EMPTY_SET")},
    "EMPTY_DICT": lambda m, _: m.push({}),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "MARK": _mark,
    "POP": lambda m, _: m.stack.pop() if m.stack else m.since_mark(),
    "POP_MARK": lambda m, _: m.since_mark(),
    "DUP": lambda m, _: m.push(m.stack[-1]),
    **{name: _tuple_of(n) for n, name in enumerate(("TUPLE1", "TUPLE2", "TUPLE3"), start=1)},
    "TUPLE": lambda m, _: m.push(tuple(m.since_mark())),
    **{name: lambda m, _: m.push(list(m.since_mark())) for name in ("LIST", "FROZENSET")},
    "DICT": _dict,
    "SETITEM": _set_one_item,
    "SETITEMS": _set_all_items,
    "APPEND": lambda m, _: _extend(m, [m.stack.pop()]),
    **{name: lambda m, _: _extend(m, m.since_mark()) for name in ("APPENDS", "ADDITEMS")},
    **{name: lambda m, key: m.memoise(int(key)) for name in ("PUT", "BINPUT", "LONG_BINPUT")},
    **{name: lambda m, key: m.push(m.memo[int(key)]) for name in ("GET", "BINGET", "LONG_BINGET")},
    "MEMOIZE": lambda m, _: m.memoise(len(m.memo)),
    "GLOBAL": lambda m, names: m.add_global(*names.split(" ", 1)),
    "STACK_GLOBAL": _named_by_stack,
    **{name: _call for name in ("REDUCE", "NEWOBJ")},
    "NEWOBJ_EX": _call_with_keywords,
    "OBJ": _call_marked,
    "INST": _call_named,
    "BUILD": _build,
    "PERSID": lambda m, key: m.add_persistent(key),
    "BINPERSID": lambda m, _: m.add_persistent(m.stack.pop()),
}
