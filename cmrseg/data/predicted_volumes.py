"""Predicted volumes of examinations, in the tables that `cmrseg` and ukbb_cardiac write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.data.tables import need_columns, numbers_of, read_published
from cmrseg.problems import DataError, Problem

_LEFT_OUT = "left out"
_OURS = ("study", "EDV_ml", "ESV_ml", "EF_percent")
_UKBB = ("LVEDV (mL)", "LVESV (mL)", "LVEF (%)")
_UNNAMED = "Unnamed: 0"


def read_predicted_volumes(path: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Predicted volumes of examinations; rows that cannot be used become problems.

    Parameters
    ----------
    path
        ``summary.csv`` of `cmrseg label` and `cmrseg predict` (study, EDV_ml, ESV_ml, EF_percent), or
        ``ukbb_ventricular_volumes.csv`` of ukbb_cardiac (Id in the first column, LVEDV (mL), LVESV (mL),
        LVEF (%)). Without a column of EF it follows from the volumes.

    Returns
    -------
    Columns Id, EDV, ESV (ml) and EF (percent, missing where the file leaves it out) in the order of Ids.

    Raises
    ------
    DataError
        If the table cannot be read, is of neither form, or has no usable row.
    """
    table = read_published(path, text=("Id", "study", _UNNAMED))
    names = _form(table, path)
    given = table.reindex(columns=names).set_axis(["Id", "EDV", "ESV", "EF"], axis=1)
    given["Id"] = given["Id"].str.strip()
    numbers = given[["EDV", "ESV", "EF"]].apply(numbers_of).astype(float)
    if names[3] not in table:
        numbers["EF"] = 100 * (1 - numbers["ESV"] / numbers["EDV"].where(numbers["EDV"] > 0))
    reasons = _reasons(given, numbers)
    problems = [
        Problem(given["Id"].fillna("")[i], what, _LEFT_OUT, path.name, info)
        for i, (what, info) in reasons.items()
    ]
    usable = given[["Id"]].join(numbers).drop(index=list(reasons))
    if usable.empty:
        raise DataError(f"{path} has no usable row: {problems[0].study}: {problems[0].problem}")
    return usable.sort_values("Id", ignore_index=True), problems


def is_volume_table(table: pd.DataFrame) -> bool:
    """Whether a table has the columns of predicted volumes."""
    return set(_UKBB[:2]) <= set(table.columns) or set(_OURS[:3]) <= set(table.columns)


def _form(table: pd.DataFrame, path: Path) -> list[str]:
    """Columns of Id, EDV, ESV and EF in a table of predicted volumes."""
    if set(_UKBB[:2]) <= set(table.columns):
        first = table.columns[0]
        if first not in (_UNNAMED, "Id"):
            raise DataError(
                f"{path}: the first column must hold the Ids and be called Id or nothing, got '{first}'"
            )
        return [first, *_UKBB]
    if set(_UKBB) & set(table.columns):
        need_columns(table, _UKBB[:2], path)
    need_columns(table, _OURS[:3], path)
    return list(_OURS)


def _reasons(given: pd.DataFrame, numbers: pd.DataFrame) -> dict[int, tuple[str, str]]:
    """Rows that cannot be used: what is wrong, and what the file says."""
    volumes = numbers[["EDV", "ESV"]]
    unreadable = given["EF"].notna() & ~np.isfinite(numbers["EF"])
    checks = (
        (given["Id"].isna() | (given["Id"] == ""), "no Id"),
        (given["Id"].duplicated(keep=False), "Id occurs more than once"),
        (~np.isfinite(volumes).all(axis=1), "no predicted volumes"),
        ((volumes < 0).any(axis=1), "negative predicted volume"),
        (unreadable, "EF is no number"),
    )
    reasons: dict[int, tuple[str, str]] = {}
    for bad, what in checks:
        for i in given.index[bad]:
            row = given.loc[i]
            reasons.setdefault(i, (what, f"row {i + 1}: EDV {row['EDV']}, ESV {row['ESV']}, EF {row['EF']}"))
    return dict(sorted(reasons.items()))
