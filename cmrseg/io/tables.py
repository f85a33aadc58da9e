"""Tables as text, for spreadsheets and against them: a cell of foreign text is never taken for a formula."""

from __future__ import annotations

import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import pandas as pd
from pandas.api.types import is_numeric_dtype

from cmrseg.problems import DataError, Problem, first_line

PACKED: dict[str, Callable[..., Any]] = {".xz": lzma.open, ".gz": gzip.open}
_UNREADABLE = {0: " ", 13: " "}  # what no reader of tables takes for text, quoted or not
MOST_BYTES = 256 << 20  # of a table, unpacked; the largest that was published has some MB
# What begins so is a formula to spreadsheets, in its wide forms too; a leading ' tells them that it is text.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_GUARDED = re.compile(r"''*[=+\-@\t\r\n＝＋－＠]")


def guarded(table: pd.DataFrame) -> pd.DataFrame:
    """A table to be written: text that a spreadsheet would take for a formula begins with a ``'``."""
    return _each_text(table, guard)


def guard(value: Any) -> Any:
    """Text that begins like a formula and is no number, marked as text; anything else as it is."""
    if not isinstance(value, str):
        return value
    text = value.translate(_UNREADABLE)
    return f"'{text}" if _FORMULA.match(text) and not _is_number(text) else text


def unguard(value: Any) -> Any:
    """The text that `guard` marked."""
    return value[1:] if isinstance(value, str) and _GUARDED.match(value) else value


def read_table(path: Path, types: Mapping[str, type] | type | None = None, **options: Any) -> pd.DataFrame:
    """A table, with tabs where the name ends in ``.tsv``; ``.xz`` and ``.gz`` of one too.

    What `guarded` put before text is taken away.

    Parameters
    ----------
    path
        File.
    types
        Of the columns.
    options
        Of `pandas.read_csv`.

    Raises
    ------
    DataError
        If it cannot be opened, is damaged, has more than 256 MB, is empty, no UTF-8 text, or holds text where
        numbers are needed.
    """
    tabs = Path(path.stem if path.suffix.lower() in PACKED else path.name).suffix.lower() == ".tsv"
    try:
        with opened_table(path) as file:
            table = pd.read_csv(file, **{"dtype": types, "sep": "\t" if tabs else ",", **options})
    except (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error) as error:
        raise DataError(f"{path} is truncated or damaged ({first_line(error, 300)}); copy it again") from None
    except OSError as error:
        raise DataError(f"table {path} cannot be read ({error.strerror or error}); check the path") from None
    except (OverflowError, RecursionError, ValueError) as error:  # those of pandas for bad tables are kinds
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read as a table ({first_line(error, 300)})") from None
    return _each_text(table, unguard)


def read_problems(path: Path) -> list[Problem]:
    """The problems of a table that `cmrseg.problems.problem_table` gave."""
    table = read_table(path, str, keep_default_na=False)
    return [Problem(**row) for row in table.to_dict("records")]


@contextmanager
def opened_table(path: Path) -> Iterator[TextIO]:
    """The text of a table that may be packed.

    Raises
    ------
    DataError
        While it is read, as soon as more than 256 MB come out of it.
    """
    with PACKED.get(path.suffix.lower(), open)(path, "rb") as file:
        bounded = io.BufferedReader(_Bounded(file, path), 1 << 20)
        yield io.TextIOWrapper(bounded, encoding="utf-8-sig", newline="")


class _Bounded(io.RawIOBase):
    """A stream that refuses to give more than a table can have: little can unpack to very much."""

    def __init__(self, file: Any, path: Path) -> None:
        self._file, self._path, self._given = file, path, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._file.read(len(buffer))
        self._given += len(content)
        if self._given > MOST_BYTES:
            raise DataError(f"{self._path} has more than {MOST_BYTES >> 20} MB; no table here needs as many")
        buffer[: len(content)] = content
        return len(content)


def _each_text(table: pd.DataFrame, change: Any) -> pd.DataFrame:
    """A table with every text in it changed, the names of its columns too."""
    columns = [change(name) for name in table.columns]
    texts = [i for i, kind in enumerate(table.dtypes) if not is_numeric_dtype(kind)]
    changed = {i: table.iloc[:, i].map(change) for i in texts}
    parts = {i: changed.get(i, table.iloc[:, i]) for i in range(table.shape[1])}
    return pd.DataFrame(parts, index=table.index).set_axis(columns, axis="columns")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "\n" not in text and "\t" not in text and "\r" not in text
