"""Numbers of a study against normal ranges by sex and age: only those whose convention is ours.

Notes
-----
Ranges come from a table, one row per sex, ages and quantity. The one that is shipped holds what could be
checked in its source, the abstract of Petersen et al. (2017), whose readers left papillary muscles in the
cavity (Kawel-Boehm et al. 2020, table 1), as our masks do. A table of one's own takes its place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.data.tables import need_columns, numbers_of
from cmrseg.examination.facts import PatientFacts
from cmrseg.io.tables import read_table
from cmrseg.problems import DataError

COLUMNS = (
    "sex", "age_from", "age_to", "ventricle", "quantity", "per", "unit", "low", "high", "papillary", "source",
)  # fmt: skip
AGAINST_COLUMNS = ("ventricle", "quantity", "value", "unit", "low", "high", "against", "group", "source")
BUILT_IN = "petersen2017"
PEOPLE = {"F": "women", "M": "men"}
OURS = "cavity"  # where papillary muscles and trabeculae are in our masks
_INDEXED = "m2"


@dataclass(frozen=True)
class Range:
    """What is normal for one quantity, one sex and some ages.

    Attributes
    ----------
    sex
        ``F`` or ``M``.
    age_from, age_to
        First and last year, in whole years.
    ventricle, quantity
        As in ``numbers.csv``.
    per
        ``m2`` for values indexed to body surface area, else empty.
    unit
        Of the limits.
    low, high
        Limits; a value on one of them is within.
    papillary
        ``cavity`` or ``mass``: what papillary muscles were counted to.
    source
        Where the limits stand, with the page.
    """

    sex: str
    age_from: float
    age_to: float
    ventricle: str
    quantity: str
    per: str
    unit: str
    low: float
    high: float
    papillary: str
    source: str


@dataclass(frozen=True)
class NormalRanges:
    """The ranges of one table.

    Attributes
    ----------
    name
        Of the table.
    ranges
        Its rows.
    """

    name: str
    ranges: tuple[Range, ...]


def load_ranges(table: str | Path) -> NormalRanges:
    """Ranges of a table.

    Parameters
    ----------
    table
        `BUILT_IN`, or a file with the columns `COLUMNS`.

    Raises
    ------
    DataError
        If it cannot be read, lacks a column, or a row makes no sense.
    """
    shipped = str(table) == BUILT_IN
    path = Path(str(files("cmrseg.examination") / "ranges" / f"{BUILT_IN}.csv")) if shipped else Path(table)
    read = read_table(path, str, keep_default_na=False)
    need_columns(read, COLUMNS, path)
    if read.empty:
        raise DataError(f"{path} holds no rows; a range a row is needed")
    numbers = {name: numbers_of(read[name]).astype(float) for name in ("age_from", "age_to", "low", "high")}
    rows = read[list(COLUMNS)].assign(**numbers).to_dict("records")
    found = [_range(row, f"{path}, row {n}") for n, row in enumerate(rows, start=1)]
    return NormalRanges(path.stem, tuple(found))


def _range(row: dict, where: str) -> Range:
    """A row that makes sense."""
    found = Range(**row)
    if found.sex not in PEOPLE or found.papillary not in ("cavity", "mass"):
        told = f"{found.sex}, {found.papillary}"
        raise DataError(f"{where}: sex is F or M and papillary is cavity or mass, not {told}")
    if found.per not in ("", _INDEXED):
        raise DataError(f"{where}: per is m2 or empty, not {found.per}")
    if not (found.low < found.high and 0 <= found.age_from <= found.age_to):
        raise DataError(f"{where}: low must be below high, and age_from not above age_to")
    if not found.source:
        raise DataError(f"{where} names no source; limits without one are not used")
    return found


def against_ranges(numbers: pd.DataFrame, facts: PatientFacts, normal: NormalRanges) -> pd.DataFrame:
    """Which numbers are below, within and above what is normal.

    Parameters
    ----------
    numbers
        Table of `cmrseg.examination.function.function_table`.
    facts
        Sex and age of the patient.
    normal
        The ranges.

    Returns
    -------
    `AGAINST_COLUMNS`, a row per known number that has a range: of the patient's sex and age, with our
    convention and unit. ``against`` is below, within or above.
    """
    age = math.floor(facts.age_years) if math.isfinite(facts.age_years) else math.nan
    fitting = [
        r
        for r in normal.ranges
        if r.sex == facts.sex and r.age_from <= age <= r.age_to and r.papillary == OURS
    ]
    table = numbers.set_index(["ventricle", "quantity"])
    rows = []
    for r in fitting:
        value, unit = ("indexed", "indexed_unit") if r.per else ("value", "unit")
        if (r.ventricle, r.quantity) not in table.index:
            continue
        found = table.loc[(r.ventricle, r.quantity)]
        if found[unit] != r.unit or not np.isfinite(found[value]):
            continue
        against = "below" if found[value] < r.low else "above" if found[value] > r.high else "within"
        group = f"{PEOPLE[r.sex]}, {r.age_from:g} to {r.age_to:g} years"
        rows.append((r.ventricle, r.quantity, found[value], r.unit, r.low, r.high, against, group, r.source))
    return pd.DataFrame(rows, columns=list(AGAINST_COLUMNS))


def why_none(facts: PatientFacts, normal: NormalRanges) -> str:
    """Why no number has a range, for a sentence."""
    if facts.sex not in PEOPLE or math.isnan(facts.age_years):
        return "no sex and age in the headers or by --sex and --age"
    if all(r.papillary != OURS for r in normal.ranges):
        return f"in all of {normal.name} papillary muscles count to the mass, in our masks to the cavity"
    return f"{normal.name} has no range for this sex and age and the numbers that are known"
