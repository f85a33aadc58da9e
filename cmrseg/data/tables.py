"""Tables that people publish: read whole or refused in one sentence, numbers and image names checked."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterable, Mapping, Sequence
from lzma import LZMAError
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype
from pandas.errors import ParserWarning

from cmrseg.io.tables import PACKED, opened_table, read_table
from cmrseg.problems import DataError

PLAIN = (".csv", ".tsv")
SHOWN = 5
_MOST_LETTERS = 80  # of a name in a message
_MOST_HEAD = 1 << 16  # letters of a header
NOTHING = ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "-nan", "NULL", "null", "None")
# As in `245-frame003-slice004.png` and in the paper's own `17_slice000_frame001-mask.png`.
_FRAME_FIRST = (
    r"(?:^|[/\\])(?P<Id>[^/\\]+)-frame(?P<frame>[0-9]{1,9})-slice(?P<slice>[0-9]{1,9})(?:[-_.][^/\\]*)?$"
)
_SLICE_FIRST = (
    r"(?:^|[/\\])(?P<Id>[^/\\]+?)_slice(?P<slice>[0-9]{1,9})_frame(?P<frame>[0-9]{1,9})(?:[-_.][^/\\]*)?$"
)


def read_published(path: Path, *, text: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table with commas, or with tabs in a ``.tsv``; ``.xz`` and ``.gz`` of them too.

    A table whose header has semicolons and no comma, as spreadsheets of some countries write it, is read
    with semicolons and decimal commas.

    Parameters
    ----------
    path
        File.
    text
        Columns that are text even where they look like numbers, or like ``NA``.

    Returns
    -------
    The table, with at least one row.

    Raises
    ------
    DataError
        If it is missing, a folder, damaged, no table or without rows, or has rows longer than the header.
    """
    if not path.is_file():
        what = "is a folder; a table is needed" if path.is_dir() else "does not exist; check the path"
        raise DataError(f"table {path} {what}")
    table = _unpack(path, dict.fromkeys(text, str))
    if table.empty:
        raise DataError(f"{path} holds no rows; nothing to evaluate")
    words = [column for column in table if column not in text and not is_numeric_dtype(table[column])]
    return table.assign(**{column: table[column].mask(table[column].isin(NOTHING)) for column in words})


def _unpack(path: Path, types: Mapping[str, type]) -> pd.DataFrame:
    """The table of a file that may be packed; what is wrong with it is one sentence."""
    options = {"low_memory": False, "index_col": False, "keep_default_na": False, "na_values": [""]}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ParserWarning)
            return read_table(path, types, **options, **_separators(path))
    except ParserWarning:
        raise DataError(
            f"{path} has more values in a row than names in its header (decimal commas?)"
        ) from None


def _separators(path: Path) -> dict[str, str]:
    """What separates the values of a table, and what the decimals, where that is unusual."""
    if _name_parts(path)[1] == ".tsv":
        return {}
    try:
        with opened_table(path) as file:
            head = next((line for line in iter(lambda: file.readline(_MOST_HEAD), "") if line.strip()), "")
    except (OSError, EOFError, ValueError, LZMAError, zlib.error):
        return {}  # to read the table tells what is wrong
    return {"sep": ";", "decimal": ","} if ";" in head and "," not in head else {}


def _name_parts(path: Path) -> tuple[str, str]:
    """Name of a table without its suffixes, and ``.csv`` or ``.tsv`` below what it is packed with."""
    plain = Path(path.stem if path.suffix.lower() in PACKED else path.name)
    kind = plain.suffix.lower()
    return (plain.stem, kind) if kind in PLAIN else (plain.name, "")


def table_stem(path: Path) -> str:
    """Name of a table without ``.tsv``, ``.csv`` and what it is packed with."""
    return _name_parts(path)[0]


def method_names(paths: Iterable[Path]) -> dict[str, Path]:
    """Names of methods by their tables: the file's, with the folder where that is not enough.

    Raises
    ------
    DataError
        If a table is given twice.
    """
    paths = list(paths)
    stems = [table_stem(path) for path in paths]
    clear = len(set(stems)) == len(stems)
    names = stems if clear else [f"{p.parent.name}/{s}" for p, s in zip(paths, stems, strict=True)]
    twice = [str(path) for path, name in zip(paths, names, strict=True) if names.count(name) > 1]
    if twice:
        raise DataError(f"tables of one name: {some(twice)}; name every table once, and differently")
    return dict(zip(names, paths, strict=True))


def is_table(path: Path) -> bool:
    """Whether something is a file with the name of a table that `read_published` reads."""
    return path.is_file() and _name_parts(path)[1] in PLAIN and not path.name.startswith(".")


def need_columns(table: pd.DataFrame, columns: Iterable[str], path: Path) -> None:
    """Check that a table has some columns.

    Raises
    ------
    DataError
        If one is missing; it says which, and which there are.
    """
    missing = [column for column in columns if column not in table.columns]
    if missing:
        found = some(map(str, table.columns), shown=12)
        raise DataError(f"{path} lacks the column {', '.join(missing)}; it has: {found}")


def as_numbers(
    table: pd.DataFrame,
    columns: Sequence[str],
    path: Path,
    *,
    key: str,
    above: float | None = None,
    whole: bool = False,
) -> pd.DataFrame:
    """Columns of a table as finite numbers that are not negative.

    Parameters
    ----------
    table
        With the columns and the key.
    columns
        To convert.
    path
        Of the table, for the message.
    key
        Column that names a row for a person.
    above
        Largest number that is too small; by default only negative numbers are.
    whole
        Whether the numbers count something.

    Returns
    -------
    Table of the columns, ``float64``.

    Raises
    ------
    DataError
        If a value is missing, no number, too small, or no count where it must be; it says in which rows.
    """
    numbers = table[list(columns)].apply(numbers_of).astype(float)
    bad = ~np.isfinite(numbers) | (numbers < 0 if above is None else numbers <= above)
    if whole:
        bad |= numbers % 1 != 0
    if not bad.any(axis=None):
        return numbers
    column = next(c for c in columns if bad[c].any())
    rows = [f"{k} ({v})" for k, v in table.loc[bad[column], [key, column]].itertuples(index=False)]
    need = "whole numbers" if whole else "numbers"
    need += " from 0 on" if above is None else f" above {above:g}"
    raise DataError(f"{path}: {column} must hold {need}, it does not for {key} {some(rows)}")


def numbers_of(column: pd.Series) -> pd.Series:
    """A column as numbers; what is none, or has more digits than one, is missing."""
    try:
        return pd.to_numeric(column, errors="coerce")
    except OverflowError:
        return pd.to_numeric(column.where(column.astype(str).str.len() < 300), errors="coerce")


def refuse_repeats(names: pd.Series, path: Path, *, repeated: pd.Series | None = None) -> None:
    """Check that a name occurs once.

    Parameters
    ----------
    names
        For the message.
    path
        Of the table.
    repeated
        Which rows repeat another one, where that is not a matter of the names.

    Raises
    ------
    DataError
        If one occurs twice; it says which.
    """
    repeated = names.duplicated() if repeated is None else repeated
    if repeated.any():
        raise DataError(
            f"{path} names {some(dict.fromkeys(names[repeated]))} more than once; keep one row each"
        )


def image_places(names: pd.Series) -> pd.DataFrame:
    """Subject, frame and slice that the names of images tell.

    Parameters
    ----------
    names
        Names or paths such as ``x/245-frame003-slice004.png`` or ``17_slice000_frame001-mask.png``.

    Returns
    -------
    Columns Id (text), frame and slice (``Int64``) with the index of ``names``; missing where a name
    is not understood.
    """
    names = names.astype(str)
    places = names.str.extract(_FRAME_FIRST)
    others = places["Id"].isna()
    if others.any():
        places.loc[others] = names[others].str.extract(_SLICE_FIRST)[list(places.columns)]
    numbers = {c: pd.to_numeric(places[c]).astype("Int64") for c in ("frame", "slice")}
    return places[["Id"]].assign(**numbers)


def filled(values: pd.Series, default: str) -> pd.Series:
    """Text with something for what is missing, or says so, such as ``NA``."""
    return values.mask(values.isin(NOTHING)).fillna(default)


def some(names: Iterable[str], *, shown: int = SHOWN) -> str:
    """The first few names, and how many more there are."""
    names = [name if len(name) <= _MOST_LETTERS else f"{name[:_MOST_LETTERS]}..." for name in names]
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
