"""True volumes of examinations, in the tables that people have.

An examination may have been split (``123_a`` and ``123_b``) or turned (``1001_rot90``); the truth knows it
under its own Id only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.data.tables import (
    as_numbers,
    is_table,
    need_columns,
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
_Part = tuple[pd.DataFrame, Path, tuple[str, str, str]]


def read_true_volumes(path: Path) -> pd.DataFrame:
    """True volumes of examinations.

    Parameters
    ----------
    path
        Table with Id, Systole, Diastole (Kaggle's train and validate), Kaggle's ``solution.csv`` (Id such
        as ``1000_Diastole``, Volume), a table with study, EDV_ml, ESV_ml such as the ``summary.csv`` of
        `cmrseg predict`, or a folder of these; all in ml.

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
    parts = [_checked(*part) for part in _read_all(path)]
    truth = pd.concat(parts, ignore_index=True)
    refuse_repeats(truth["Id"], path)
    return truth


def usable_true_volumes(path: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """True volumes of examinations, of which some may be unusable: those become problems.

    Parameters
    ----------
    path
        As for `read_true_volumes`.

    Returns
    -------
    Columns `TRUTH_COLUMNS` of the usable examinations, and the others with the reason.

    Raises
    ------
    DataError
        If a table cannot be read or is of no known form, no examination is usable, or two tables name one.
    """
    parts, problems = [], []
    for table, file, names in _read_all(path):
        bad = _unusable(table, file, names)
        parts.append(_checked(table.drop(index=list(bad)), file, names))
        problems += bad.values()
    truth = pd.concat(parts, ignore_index=True)
    if truth.empty:
        raise DataError(f"{path} holds no usable true volumes: {problems[0].study}: {problems[0].problem}")
    refuse_repeats(truth["Id"], path)
    return truth, problems


def true_volumes_for(ids: Iterable[str], truth: pd.DataFrame) -> pd.DataFrame:
    """The truth of examinations, found under the Id of the whole, unturned examination where need be.

    Parameters
    ----------
    ids
        Such as ``7``, ``123_a`` or ``1001_rot90``.
    truth
        As `read_true_volumes` returns it.

    Returns
    -------
    One row per Id in their order: Id as given, true_Id, set, ESV_ml, EDV_ml and EF_percent; all but
    the first are missing where the truth does not know the examination.
    """
    ids, known = list(ids), set(truth["Id"])
    true_ids = [next((name for name in examination_names(i) if name in known), None) for i in ids]
    found = truth.set_index("Id").reindex(true_ids).reset_index(drop=True)
    found.insert(0, "Id", ids)
    found.insert(1, "true_Id", true_ids)
    return found


def examination_names(examination: str) -> Iterator[str]:
    """What a table may call an examination: its Id, without ``_rot90``, without ``_a`` or ``_b``."""
    yield examination
    upright = examination.removesuffix(ROTATED)
    yield upright
    yield re.sub(r"_[a-z]$", "", upright)


def turned_originals(ids: Iterable[str]) -> set[str]:
    """Examinations that have a ``_rot90`` version among the Ids."""
    ids = set(ids)
    return {i.removesuffix(ROTATED) for i in ids if i.endswith(ROTATED)} & ids


def _read_all(path: Path) -> list[_Part]:
    """The table of a file, or those of a folder."""
    if not path.is_dir():
        return [_read_one(path)]
    files = [file for file in sorted(existing_folder(path, "truth").iterdir()) if is_table(file)]
    if not files:
        raise DataError(f"truth folder {path} holds no table (.csv or .tsv)")
    return [_read_one(file) for file in files]


def _read_one(path: Path) -> _Part:
    """One table with its columns for Id, end-systolic and end-diastolic volume."""
    table = read_published(path, text=_TEXT)
    columns = set(table.columns)
    if {"Id", "Volume"} <= columns:
        table, names = _read_solution(table, path), ("Id", "Systole", "Diastole")
    elif {"study", "EDV_ml", "ESV_ml"} <= columns:
        names = ("study", "ESV_ml", "EDV_ml")
    elif {"Systole", "Diastole"} & columns:
        names = ("Id", "Systole", "Diastole")
    else:
        found = some(map(str, table.columns), shown=12)
        raise DataError(
            f"{path} holds no true volumes that are understood: needed are {KNOWN_FORMS}; it has: {found}"
        )
    need_columns(table, names, path)
    return table, path, names


def _read_solution(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Kaggle's solution: two rows per examination, the phase in the Id."""
    parts = table["Id"].str.extract(r"^(?P<Id>.+)_(?P<phase>Diastole|Systole)$")
    if parts["Id"].isna().any():
        wrong = table.loc[parts["Id"].isna(), "Id"].iloc[0]
        raise DataError(f"{path}: Id must end in _Diastole or _Systole, got '{wrong}'")
    refuse_repeats(table["Id"], path)
    volumes = {
        phase: table["Volume"][parts["phase"] == phase].set_axis(parts.loc[parts["phase"] == phase, "Id"])
        for phase in ("Systole", "Diastole")
    }
    return pd.DataFrame(volumes).rename_axis("Id").reset_index().assign(set="test")


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
    sets = table["set"].fillna("") if "set" in table else table_stem(path)
    values = (ids, sets, esv, edv, 100 * (edv - esv) / edv)
    return pd.DataFrame(dict(zip(TRUTH_COLUMNS, values, strict=True))).reset_index(drop=True)


def _unusable(table: pd.DataFrame, path: Path, names: tuple[str, str, str]) -> dict[int, Problem]:
    """Rows of which the volumes cannot be used, by their index."""
    key, systole, diastole = names
    ids = table[key].fillna("").str.strip()
    volumes = table[[systole, diastole]].apply(pd.to_numeric, errors="coerce").astype(float)
    checks = (
        (ids == "", "no Id"),
        (ids.duplicated(keep=False), "true volumes occur more than once"),
        (~np.isfinite(volumes).all(axis=1), "no true volumes"),
        ((volumes[systole] < 0) | (volumes[diastole] <= 0), "true volume not above 0"),
        (volumes[systole] > volumes[diastole], "true ESV is larger than EDV"),
    )
    problems: dict[int, Problem] = {}
    for bad, what in checks:
        for i in table.index[bad]:
            info = f"{systole} {table[systole][i]}, {diastole} {table[diastole][i]}"
            problems.setdefault(i, Problem(ids[i], what, "left out", path.name, info))
    return dict(sorted(problems.items()))
