"""What a data set is like: Table I of a paper, and the sentences of its methods section.

Nothing of it leads to a person: it holds counts and statistics over patients, the age of fewer than five
patients is not told, and ages above 90 count as 90.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cmrseg.curation.facts import SEXES
from cmrseg.curation.survey import Facts
from cmrseg.io.atomic import write_table, write_text
from cmrseg.io.in_use import works_in

COLUMNS = ("quantity", "unit", "group", "n", "percent", "mean", "sd", "min", "max")
FEWEST_PATIENTS = 5  # whose ages are told
OLDEST_YEARS = 90.0
AGE_GROUPS = {"0-17": (0, 18), "18-30": (18, 31), "31-50": (31, 51), "51 and older": (51, math.inf)}
NOT_TOLD = "not told"
NUMBERS = {  # column of the facts -> quantity, unit
    "echo_ms": ("echo time", "ms"),
    "repetition_ms": ("repetition time", "ms"),
    "flip_deg": ("flip angle", "degrees"),
    "bandwidth_hz": ("bandwidth", "Hz/pixel"),
    "thickness_mm": ("slice thickness", "mm"),
    "gap_mm": ("gap between slices", "mm"),
    "x": ("columns of the matrix", "pixels"),
    "y": ("rows of the matrix", "pixels"),
    "dx": ("pixel size along x", "mm"),
    "dy": ("pixel size along y", "mm"),
    "slices": ("slices", ""),
    "phases": ("phases", ""),
    "heart_rate_bpm": ("heart rate", "beats/min"),
}
SEQUENCE = [quantity for quantity, _ in NUMBERS.values()][:6]
TABLE, TEXT = "description.csv", "methods.txt"


@works_in("out", "data describe")
def write_description(table: pd.DataFrame, text: str, out: Path) -> None:
    """Write ``description.csv`` and ``methods.txt``."""
    write_table(table, out / TABLE)
    write_text(text + "\n", out / TEXT)


def describe(facts: Facts) -> pd.DataFrame:
    """Table I of a data set.

    Parameters
    ----------
    facts
        From `read_facts`.

    Returns
    -------
    Columns `COLUMNS`. A row of a group (such as female) has n and percent; a row of numbers has the n of
    examinations (of patients, for the age) that tell them, mean, sd (n - 1), min and max.

    References
    ----------
    Ankenbrand et al. (2020), doi:10.1101/2020.06.15.20131656, Table I.
    """
    table = facts.table
    patients = table.drop_duplicates("subject")
    rows = [_row("examinations", n=len(table)), _row("patients", n=len(patients))]
    rows += _groups("sex", patients["sex"].map(SEXES).fillna(NOT_TOLD), [*SEXES.values(), NOT_TOLD])
    rows += _ages(patients["age_years"])
    rows += _groups("vendor", table["vendor"].replace("", NOT_TOLD))
    fields = table["field_t"].map("{:g} T".format).where(table["field_t"].notna(), NOT_TOLD)
    rows += _groups("field strength", fields)
    rows += [_numbers(quantity, unit, table[column]) for column, (quantity, unit) in NUMBERS.items()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(quantity: str, unit: str = "", group: str = "", n: int = 0, percent: float = math.nan) -> tuple:
    """A row without statistics."""
    return (quantity, unit, group, n, percent, *[math.nan] * 4)


def _groups(quantity: str, values: pd.Series, order: Sequence[str] = ()) -> list[tuple]:
    """How many belong to which group; without an order, the largest group first."""
    counts = values.value_counts()
    names = [name for name in order or counts.index if name in counts]
    return [_row(quantity, "", name, int(counts[name]), 100 * counts[name] / len(values)) for name in names]


def _ages(years: pd.Series) -> list[tuple]:
    """Statistics and groups of the age; nothing but their number of too few patients."""
    known = years.dropna()
    if len(known) < FEWEST_PATIENTS:
        return [_row("age", "years", n=len(known))]
    groups = pd.Series("", index=known.index)
    for name, (low, high) in AGE_GROUPS.items():
        groups[(known >= low) & (known < high)] = name
    return [
        _numbers("age", "years", known.clip(upper=OLDEST_YEARS)),
        *_groups("age group", groups, list(AGE_GROUPS)),
    ]


def _numbers(quantity: str, unit: str, values: pd.Series) -> tuple:
    """Statistics of the values that are known."""
    known = values.dropna().astype(float)
    statistics = (known.mean(), known.std(), known.min(), known.max())
    return (quantity, unit, "", len(known), math.nan, *statistics)


def methods_text(table: pd.DataFrame) -> str:
    """Sentences for the methods section of a paper.

    Parameters
    ----------
    table
        From `describe`.
    """
    sentences = [_who(table), _where(table), _how(table), _geometry(table)]
    return " ".join(sentence for sentence in sentences if sentence)


def _who(table: pd.DataFrame) -> str:
    """How many examinations of whom."""
    examinations, patients = (_count(table, name) for name in ("examination", "patient"))
    sex = _of(table, "sex")
    told = [f"{row.n} {row.group}" for row in sex.itertuples() if row.group != NOT_TOLD]
    if told and (lost := sex.loc[sex["group"] == NOT_TOLD, "n"].sum()):
        told.append(f"sex not told of {lost}")
    inside = "; ".join(filter(None, [", ".join(told), _value(table, "age")]))
    return f"The data set holds {examinations} of {patients}{f' ({inside})' if inside else ''}."


def _count(table: pd.DataFrame, name: str) -> str:
    """A number of examinations or patients."""
    n = int(_of(table, f"{name}s")["n"].iloc[0])
    return f"{n} {name}{'s' * (n != 1)}"


def _where(table: pd.DataFrame) -> str:
    """Scanners."""
    named = {"at": _shares(table, "field strength"), "on scanners of": _shares(table, "vendor")}
    told = [f"{how} {what}" for how, what in named.items() if what]
    return f"The images were acquired {' '.join(told)}." if told else ""


def _shares(table: pd.DataFrame, quantity: str) -> str:
    """Groups with their numbers of examinations, the largest first."""
    rows = _of(table, quantity)
    rows = rows[rows["group"] != NOT_TOLD]
    alone = len(_of(table, quantity)) == 1
    return _list([r.group if alone else f"{r.group} (n = {r.n})" for r in rows.itertuples()])


def _how(table: pd.DataFrame) -> str:
    """Parameters of the sequence."""
    told = [value for name in SEQUENCE if (value := _value(table, name))]
    return f"Parameters of the short-axis cines by their headers: {_list(told)}." if told else ""


def _geometry(table: pd.DataFrame) -> str:
    """Matrix, pixels, slices, phases, heart rate."""
    matrix, pixels = (
        [_range(table, name) for name in names]
        for names in (
            ("columns of the matrix", "rows of the matrix"),
            ("pixel size along x", "pixel size along y"),
        )
    )
    told = [f"a matrix of {' x '.join(matrix)} (columns x rows)"] if all(matrix) else []
    told += [f"pixels of {' x '.join(pixels)} mm"] if all(pixels) else []
    told += [f"{span} {name}" for name in ("slices", "phases") if (span := _range(table, name))]
    sentence = f"They had {_list(told)}. " if told else ""
    rate = _value(table, "heart rate").removeprefix("heart rate ")
    return (sentence + (f"The heart rate was {rate}." if rate else "")).strip()


def _list(parts: Sequence[str]) -> str:
    """Parts with commas, and an "and" before the last."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def _of(table: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """Rows of a quantity."""
    return table[table["quantity"] == quantity]


def _range(table: pd.DataFrame, quantity: str) -> str:
    """Smallest and largest value, one number where they are equal, empty where none is known."""
    row = _of(table, quantity).iloc[0]
    if pd.isna(row["min"]):
        return ""
    low, high = (f"{row[end]:.4g}" for end in ("min", "max"))
    return low if low == high else f"{low} to {high}"


def _value(table: pd.DataFrame, quantity: str) -> str:
    """A quantity as a paper tells it: the value, or mean, sd and range; of how many where not of all."""
    row, span = _of(table, quantity).iloc[0], _range(table, quantity)
    if not span:
        return ""
    unit = f" {row['unit']}"
    varies = " to " in span
    value = f"{row['mean']:.3g} ± {row['sd']:.2g}{unit} ({span})" if varies else f"{span}{unit}"
    everybody = int(_of(table, "patients" if quantity == "age" else "examinations")["n"].iloc[0])
    known = f" [n = {row['n']}]" if row["n"] < everybody else ""
    return f"{quantity} {value}{known}"
