"""Settings that people and other programs write (JSON, TOML): whatever is wrong with one is one sentence."""

from __future__ import annotations

import json
import math
import tomllib
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from cmrseg.labels import near_matches
from cmrseg.problems import DataError

MOST_BYTES = 16 << 20  # the largest of ours, the tables of a study's result, has less than 1 MB
_MOST_LEVELS = 50
_SHOWN = 60  # letters of a wrong value
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
T = TypeVar("T")


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """Names and values of a JSON file.

    Parameters
    ----------
    path
        File.
    remedy
        What a person can do when it is damaged, for the message.

    Raises
    ------
    DataError
        If it cannot be opened, is larger than 16 MB or deeper than 50 levels, or is no UTF-8, no JSON or no
        object.
    """
    return _read(path, json.loads, remedy)


def read_toml(path: Path, remedy: str) -> dict[str, Any]:
    """Names and values of a TOML file; as `read_json`."""
    return _read(path, tomllib.loads, remedy)


def read_text(path: Path) -> str:
    """The text of a small file.

    Raises
    ------
    ValueError
        If it is larger than 16 MB or no UTF-8.
    """
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES >> 20} MB")
    return content.decode("utf-8-sig")


@contextmanager
def told_of(path: Path, remedy: str) -> Iterator[None]:
    """Turn what is wrong with the content of a file into one sentence that names it.

    Raises
    ------
    DataError
        In place of the errors that values of an unexpected kind cause; one that names the file stays.
    """
    try:
        yield
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); check the path") from None
    except RecursionError:
        raise DataError(f"{path} is nested too deeply to be what it should; {remedy}") from None
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        if isinstance(error, DataError) and str(path) in str(error):
            raise
        raise DataError(f"{path}: {_reason(error)}; {remedy}") from None


def record(kind: type[T], table: object, base: T | None = None) -> T:
    """A dataclass from a table of settings, every value of the kind that its field names.

    Parameters
    ----------
    kind
        Dataclass; lists become tuples, tables the dataclasses of their fields, and texts those that can
        ``parse`` them.
    table
        Values by the names of the fields.
    base
        Gives the values that the table does not.

    Raises
    ------
    ValueError
        If the table is none, a name is unknown, a value is of another kind or one is missing.
    """
    if not isinstance(table, Mapping):
        raise ValueError(f"a table of names and values is needed, got {_brief(table)}")
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    if unknown := next((name for name in table if name not in names), None):
        raise ValueError(f"unknown setting '{str(unknown)[:_SHOWN]}'; {near_matches(str(unknown), names)}")
    told = {} if base is None else {name: getattr(base, name) for name in names}
    for name, value in table.items():
        told[name] = _converted(value, hints[name], name, told.get(name))
    needed = (f for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING)  # type: ignore[arg-type]
    if missing := [field.name for field in needed if field.name not in told]:
        raise ValueError(f"{', '.join(missing)} must be given")
    return kind(**told)


def unlike_defaults(value: object) -> Any:
    """What a dataclass says beyond its defaults, as JSON can hold it: a new field changes nothing.

    Parameters
    ----------
    value
        Dataclass, or a value of one; what has a ``parse`` is its text.
    """
    if hasattr(value, "parse"):
        return str(value)
    if is_dataclass(value):
        told = {f.name: (getattr(value, f.name), f) for f in fields(value)}
        return {name: unlike_defaults(v) for name, (v, f) in told.items() if v != _default(f)}
    if isinstance(value, Mapping):
        return {str(key): unlike_defaults(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [unlike_defaults(v) for v in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _default(field: Field) -> object:
    """What a field holds where nothing is given; MISSING where something must be."""
    return field.default if field.default_factory is MISSING else field.default_factory()


def _read(path: Path, parse: Callable[[str], Any], remedy: str) -> dict[str, Any]:
    with told_of(path, remedy):
        try:
            values = parse(read_text(path))
        except ValueError as error:
            raise DataError(f"{path} cannot be read ({_reason(error)}); {remedy}") from None
        if not isinstance(values, dict):
            raise ValueError(f"it holds {_brief(values)}, no table of names and values")
        _check_depth(values)
        return values


def _check_depth(values: dict[str, Any]) -> None:
    """Refuse what those who walk through the values could not: nobody nests settings like that."""
    level: list[Any] = [values]
    for _ in range(_MOST_LEVELS):
        inner = [v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)]
        level = [value for part in inner for value in part]
        if not level:
            return
    raise RecursionError


def _converted(value: object, hint: Any, name: str, base: object = None) -> Any:
    """A value as the kind that a field names; the first of several that fits."""
    if get_origin(hint) in (Union, types.UnionType):
        if value is None:
            return _none(hint, name)
        return _converted(value, next(a for a in get_args(hint) if a is not type(None)), name, base)
    if isinstance(value, str) and hasattr(hint, "parse"):
        return hint.parse(value)
    if is_dataclass(hint):
        return value if isinstance(value, hint) else record(hint, value, base)  # type: ignore[arg-type]
    if get_origin(hint) is tuple:
        return _tuple(value, get_args(hint), name)
    if isinstance(get_origin(hint), type) and issubclass(get_origin(hint), Mapping):
        if not isinstance(value, Mapping):
            raise ValueError(f"{name} must be a table of names and values, got {_brief(value)}")
        return {str(k): _converted(v, get_args(hint)[1], f"{name} {k}") for k, v in value.items()}
    return _plain(value, hint, name)


def _none(hint: Any, name: str) -> None:
    if type(None) not in get_args(hint):
        raise ValueError(f"{name} must have a value")


def _tuple(value: object, hints: tuple[Any, ...], name: str) -> tuple[Any, ...]:
    """A list whose members are all of one kind, or each of its own."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"{name} must be a list, got {_brief(value)}")
    kinds = hints[:1] * len(value) if hints[1:] == (...,) else hints
    if len(kinds) != len(value):
        raise ValueError(f"{name} must be a list of {len(kinds)}, got {len(value)}")
    return tuple(_converted(v, kind, name) for v, kind in zip(value, kinds, strict=True))


def _plain(value: object, hint: Any, name: str) -> Any:
    """A number, a truth value or a text."""
    if hint not in _KINDS:
        return value
    if hint is float and type(value) is int and abs(value) < 1 << 53:
        value = float(value)
    if type(value) is not hint or (hint is float and not math.isfinite(value)):  # type: ignore[arg-type]
        raise ValueError(f"{name} must be {_KINDS[hint]}, got {_brief(value)}")
    return value


def _reason(error: Exception) -> str:
    """What an error says of the content, shortly."""
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start + 1} is no UTF-8 text"
    if isinstance(error, KeyError):
        return f"{_brief(error.args[0] if error.args else '')} is missing"
    text = str(error) or type(error).__name__
    return text.splitlines()[0][:600].rstrip(".;")


def _brief(value: object) -> str:
    """A wrong value, short enough for a sentence."""
    if isinstance(value, dict | list | tuple):
        return f"a {'list' if isinstance(value, list | tuple) else 'table'} of {len(value)}"
    if isinstance(value, int) and abs(value) > 1 << 64:
        return "a huge number"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
