"""What an object of a pickle is here: a record of its name, arguments and state, which nothing can run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

SCALARS = (str, int, float, bytes, type(None))

# Only for a clear message: nothing is called anyway.
_RUNNING = """
    os posix nt sys subprocess shutil socket ctypes importlib runpy pty code codeop commands platform
    webbrowser pickle _pickle dill marshal timeit pdb pip asyncio threading urllib requests http
"""
_RUNNING_MODULES = frozenset(_RUNNING.split())
_RUNNING_BUILTINS = frozenset(
    {"eval", "exec", "execfile", "compile", "__import__", "open", "file", "input", "breakpoint"}
)


@dataclass(frozen=True, slots=True)
class Global:
    """A class or function that the file names; it is never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"

    @property
    def runs_code(self) -> bool:
        """Whether it can run code, so that no learner calls it."""
        if self.module in ("builtins", "__builtin__"):
            return self.name in _RUNNING_BUILTINS
        return self.module.split(".")[0] in _RUNNING_MODULES


@dataclass(frozen=True, eq=False, slots=True)
class Persistent:
    """Reference to something outside the pickle, such as a tensor's values."""

    key: Any


@dataclass(eq=False, repr=False, slots=True)  # the text of a hostile record may have no end
class Record:
    """An object that was not built: what would have been called, with which arguments and state."""

    of: Any
    args: tuple
    state: Any = None
    items: dict = field(default_factory=dict)
    elements: list = field(default_factory=list)

    @property
    def name(self) -> str:
        """Dotted name of the class or function, empty where it is itself a result."""
        of = self.of
        if isinstance(of, Persistent) and isinstance(of.key, tuple) and len(of.key) > 1:
            of = of.key[1]  # torch's stream format keeps the source text beside the class of a module
        return str(of) if isinstance(of, Global) else ""

    def attribute(self, name: str) -> Any:
        """Attribute of the state or of its slots, None where there is none."""
        # Looked up in place: a copy of a state that thousands of records share would take for ever.
        states = self.state[:2] if isinstance(self.state, tuple) else (self.state,)
        return next((s[name] for s in reversed(states) if isinstance(s, dict) and name in s), None)


def brief(value: Any) -> str:
    """A value of the file in a few printable characters."""
    if isinstance(value, Global | str):
        return "".join(c if c.isprintable() else "?" for c in str(value)[:80])
    short = isinstance(value, int) and value.bit_length() < 100
    return str(value) if short else f"a {type(value).__name__}"  # containers may be too large to print


def walk(root: Any) -> Iterator[Record]:
    """All records below a value, each once, in the order of the file; cycles do no harm."""
    waiting, seen = [root], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, SCALARS) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Record):
            yield value
            parts = [value.args, value.state, *value.items.values(), *value.elements]
        elif isinstance(value, dict):
            parts = list(value.values())
        else:
            parts = list(value) if isinstance(value, list | tuple) else []
        waiting.extend(reversed(parts))
