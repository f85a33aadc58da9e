"""True volumes of examinations, in the tables that people have.

An examination may have been split (``123_a`` and ``123_b``) or rotated (``1001_rot90``); the truth knows it
under its own Id only, which spreadsheets and folders spell in their own ways (``1``, ``001``, ``1.0``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from cmrseg.data.tables import (
    as_numbers,
    filled,
    is_table,
    need_columns,
    numbers_of,
    read_published,
    refuse_repeats,
    some,
    table_stem,
)
from cmrseg.problems import DataError, Problem, existing_folder

TRUTH_COLUMNS = ("Id", "set", "ESV_ml", "EDV_ml", "EF_percent")
ROTATED = "_rot90"
KNOWN_FORMS = "Id, Systole, Diastole or Id, Volume (Kaggle), or study, EDV_ml, ESV_ml"
_TEXT = ("Id", "study", "set")
_LEFT_OUT, _TWICE = "left out", "true volumes occur more than once"


@dataclass(frozen=True)
class TrueVolumes:
    """True volumes of the examinations of which they can be used.

    Attributes
    ----------
    table
        Columns `TRUTH_COLUMNS`.
    problems
        Rows that cannot be used, with the reason.
    notes
        Which tables of a folder were skipped, as they hold something else.
    """

    table: pd.DataFrame
    problems: list[Problem]
    notes: list[str]


class _Part(NamedTuple):
    """One table with its columns for Id, end-systolic and end-diastolic volume; problems of its form."""

    table: pd.DataFrame
    path: Path
    names: tuple[str, str, str]
    problems: list[Problem]


def read_true_volumes(path: Path) -> pd.DataFrame:
    """True volumes of examinations.

    Parameters
    ----------
    path
        Table with Id, Systole, Diastole (Kaggle's train and validate), Kaggle's ``solution.csv`` (Id such
        as ``1000_Diastole``, Volume), a table with study, EDV_ml, ESV_ml such as the ``summary.csv`` of
        `cmrseg predict`, or a folder of these, of which other tables are skipped; all in ml.

    Returns
    -------
    Columns `TRUTH_COLUMNS`: Id as text; the set, which is a column ``set`` of the table, ``test`` for
    Kaggle's solution, and the name of the file otherwise; volumes in ml and the EF in percent.

    Raises
    ------
    DataError
        If a table cannot be read or is of no known form, an Id occurs twice, or a volume is missing, no
        number, or (at end-diastole) not positive.

    References
    ----------
    Ankenbrand et al. (2020), doi:10.1101/2020.06.15.20131656; Data Science Bowl Cardiac Challenge Data,
    https://www.kaggle.com/c/second-annual-data-science-bowl/data.
    """
    parts, _ = _read_all(path)
    if problem := next((problem for part in parts for problem in part.problems), None):
        raise DataError(f"{path}: {problem.study}: {problem.problem}")
    truth = pd.concat([_checked(*part[:3]) for part in parts], ignore_index=True)
    refuse_repeats(truth["Id"], path)
    return truth


def usable_true_volumes(path: Path) -> TrueVolumes:
    """True volumes of examinations, of which some may be unusable: those become problems.

    Parameters
    ----------
    path
        As for `read_true_volumes`.

    Returns
    -------
    The usable examinations, the others with the reason, and what was skipped.

    Raises
    ------
    DataError
        If a table cannot be read, none is of a known form, no examination is usable, or two tables name one.
    """
    parts, notes = _read_all(path)
    tables, problems = [], []
    for table, file, names, unread in parts:
        bad = _unusable(table, file, names)
        tables.append(_checked(table.drop(index=list(bad)), file, names))
        problems += [*unread, *bad.values()]
    truth = pd.concat(tables, ignore_index=True)
    if truth.empty:
        raise DataError(f"{path} holds no usable true volumes: {problems[0].study}: {problems[0].problem}")
    refuse_repeats(truth["Id"], path)
    return TrueVolumes(truth, problems, notes)


def true_volumes_for(ids: Iterable[str], truth: pd.DataFrame) -> pd.DataFrame:
    """The truth of examinations, found under the Id of the whole, unrotated examination where need be.

    Parameters
    ----------
    ids
        Such as ``7``, ``123_a`` or ``1001_rot90``, in any spelling, see `known_names`.
    truth
        As `read_true_volumes` returns it.

    Returns
    -------
    One row per Id in their order: Id as given, true_Id, set, ESV_ml, EDV_ml and EF_percent; all but
    the first are missing where the truth does not know the examination.
    """
    ids = list(ids)
    true_ids = known_names(ids, truth["Id"])
    found = truth.set_index("Id").reindex(true_ids).reset_index(drop=True)
    found.insert(0, "Id", ids)
    found.insert(1, "true_Id", true_ids)
    return found


def examination_names(examination: str) -> Iterator[str]:
    """What a table may call an examination: its Id, without ``_rot90``, without ``_a`` or ``_b``."""
    yield examination
    original = examination.removesuffix(ROTATED)
    yield original
    yield re.sub(r"_[a-z]$", "", original)


def known_names(ids: Iterable[str], known: Iterable[str]) -> list[str | None]:
    """What a table calls examinations: as they are called, or else as numbers, in whatever spelling.

    Parameters
    ----------
    ids
        Such as ``7``, ``007``, ``123_a`` or ``1001_rot90``.
    known
        Names of the table.

    Returns
    -------
    The name in the table by Id; None where there is none, or where only the spelling tells two apart.
    """
    known = list(dict.fromkeys(known))
    spellings = pd.Series(known, index=map(_unspelled, known), dtype=object)
    loose = spellings[~spellings.index.duplicated(keep=False)].to_dict()
    exact = dict(zip(known, known, strict=True))
    found = []
    for i in ids:
        names = list(examination_names(i))
        candidates = [*map(exact.get, names), *(loose.get(_unspelled(name)) for name in names)]
        found.append(next((name for name in candidates if name is not None), None))
    return found


def _unspelled(name: str) -> str:
    """A number without leading zeros and the ``.0`` of a spreadsheet; other names as they are."""
    number = re.fullmatch(r"0*([0-9]+)(\.0*)?", name.strip())
    return number[1] if number else name


def rotated_originals(ids: Iterable[str]) -> set[str]:
    """Examinations that have a ``_rot90`` version among the Ids."""
    ids = set(ids)
    return {i.removesuffix(ROTATED) for i in ids if i.endswith(ROTATED)} & ids


def _read_all(path: Path) -> tuple[list[_Part], list[str]]:
    """The table of a file, or those of a folder that hold true volumes, with notes on the others."""
    if not path.is_dir():
        table = read_published(path, text=_TEXT)
        if not _is_truth(table):
            found = some(map(str, table.columns), shown=12)
            raise DataError(
                f"{path} holds no true volumes that are understood: needed are {KNOWN_FORMS}; it has: {found}"
            )
        return [_part(table, path)], []
    files = [file for file in sorted(existing_folder(path, "truth").iterdir()) if is_table(file)]
    if not files:
        raise DataError(f"truth folder {path} holds no table (.csv or .tsv)")
    tables = {file: read_published(file, text=_TEXT) for file in files}
    parts = [_part(table, file) for file, table in tables.items() if _is_truth(table)]
    others = [file.name for file, table in tables.items() if not _is_truth(table)]
    if not parts:
        raise DataError(
            f"no table of truth folder {path} holds true volumes that are understood: needed are "
            f"{KNOWN_FORMS}; it has: {some(others)}"
        )
    notes = [f"skipped in the truth folder, without true volumes: {some(others)}"] if others else []
    return parts, notes


def _is_truth(table: pd.DataFrame) -> bool:
    """Whether a table has one of the known forms, if perhaps not all of its columns."""
    columns = set(table.columns)
    kaggle = bool({"Systole", "Diastole"} & columns)
    return kaggle or {"Id", "Volume"} <= columns or {"study", "EDV_ml", "ESV_ml"} <= columns


def _part(table: pd.DataFrame, path: Path) -> _Part:
    """A table of a known form."""
    names = ("Id", "Systole", "Diastole")
    problems: list[Problem] = []
    if {"Id", "Volume"} <= set(table.columns):
        table, problems = _read_solution(table, path)
    elif {"study", "EDV_ml", "ESV_ml"} <= set(table.columns):
        names = ("study", "ESV_ml", "EDV_ml")
    need_columns(table, names, path)
    return _Part(table, path, names, problems)


def _read_solution(table: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Kaggle's solution: two rows per examination, the phase in the Id; and the rows that are not so."""
    parts = table["Id"].str.strip().str.extract(r"^(?P<Id>.+)_(?P<phase>Diastole|Systole)$")
    wrong = parts["Id"].isna()
    twice = set(parts.loc[parts.duplicated() & ~wrong, "Id"])
    problems = [
        Problem(i, "Id does not end in _Diastole or _Systole", _LEFT_OUT, path.name)
        for i in table.loc[wrong, "Id"].fillna("")
    ]
    problems += [Problem(i, _TWICE, _LEFT_OUT, path.name) for i in sorted(twice)]
    parts = parts.assign(Volume=table["Volume"])[~wrong & ~parts["Id"].isin(twice)]
    phases = ("Systole", "Diastole")
    volumes = {phase: parts[parts["phase"] == phase].set_index("Id")["Volume"] for phase in phases}
    return pd.DataFrame(volumes).rename_axis("Id").reset_index().assign(set="test"), problems


def _checked(table: pd.DataFrame, path: Path, names: tuple[str, str, str]) -> pd.DataFrame:
    """`TRUTH_COLUMNS` from the columns for Id, end-systolic and end-diastolic volume, all checked."""
    key, *phases = names
    lost = int(table[key].isna().sum())
    if lost:
        raise DataError(f"{path} has {lost} row(s) without {key}; fill them in or delete them")
    ids = table[key].str.strip()
    refuse_repeats(ids, path)
    esv, edv = (
        as_numbers(table, [phase], path, key=key, above=above)[phase]
        for phase, above in zip(phases, (None, 0), strict=True)
    )
    if (esv > edv).any():
        raise DataError(f"{path}: {phases[0]} is larger than {phases[1]} for {key} {some(ids[esv > edv])}")
    sets = filled(table["set"], "") if "set" in table else table_stem(path)
    values = (ids, sets, esv, edv, 100 * (edv - esv) / edv)
    return pd.DataFrame(dict(zip(TRUTH_COLUMNS, values, strict=True))).reset_index(drop=True)


def _unusable(table: pd.DataFrame, path: Path, names: tuple[str, str, str]) -> dict[int, Problem]:
    """Rows of which the volumes cannot be used, by their index."""
    key, systole, diastole = names
    ids = table[key].fillna("").str.strip()
    volumes = table[[systole, diastole]].apply(numbers_of).astype(float)
    checks = (
        (ids == "", "no Id"),
        (ids.duplicated(keep=False), _TWICE),
        (~np.isfinite(volumes).all(axis=1), "no true volumes"),
        ((volumes[systole] < 0) | (volumes[diastole] <= 0), "true volume not above 0"),
        (volumes[systole] > volumes[diastole], "true ESV is larger than EDV"),
    )
    problems: dict[int, Problem] = {}
    for bad, what in checks:
        for i in table.index[bad]:
            info = f"{systole} {table[systole][i]}, {diastole} {table[diastole][i]}"
            problems.setdefault(i, Problem(ids[i], what, _LEFT_OUT, path.name, info))
    return dict(sorted(problems.items()))
