"""What a paper prints of its learning curves, beside what a log says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from cmrseg.data.tables import filled, need_columns, read_published, refuse_repeats, some
from cmrseg.experiments.curves import QUANTITIES, seed_table
from cmrseg.problems import DataError

PRINTED = ("starting_point", "peak", "plateau")
PAPER_COLUMNS = ("start", "subset", "structure", *PRINTED, "sentence")
_NUMBER = re.compile(r"\d+(\.\d+)?")


def read_printed(path: Path) -> pd.DataFrame:
    """Read the numbers that a paper prints, as text.

    Parameters
    ----------
    path
        Table with the columns `PAPER_COLUMNS`; plateau may be a range such as ``50000-60000``.

    Raises
    ------
    DataError
        If it cannot be read, lacks a column, names a row twice, or a value is neither number nor range.
    """
    table = read_published(path, text=PAPER_COLUMNS)
    need_columns(table, PAPER_COLUMNS, path)
    names = table["start"] + " " + table["subset"] + " " + table["structure"]
    refuse_repeats(names, path)
    table = table.assign(**{c: filled(table[c], "") for c in PAPER_COLUMNS})
    for column in PRINTED:
        bad = [v for v in table[column] if v and not all(map(_NUMBER.fullmatch, v.split("-")))]
        if bad:
            raise DataError(f"{path}: {column} must hold numbers or ranges such as 40-50, not {some(bad)}")
    return table


def beside(runs: pd.DataFrame, printed: pd.DataFrame) -> pd.DataFrame:
    """What a log says beside what a paper prints.

    Parameters
    ----------
    runs
        See `cmrseg.experiments.curves.run_table`; of several seeds the mean counts.
    printed
        See `read_printed`.

    Returns
    -------
    One row per printed number: columns start, subset, structure, quantity, paper (text), log, difference
    (log minus paper; from the nearer end of a range, 0 inside) and agrees: whether the log rounds to what is
    printed, or lies in the range. A printed peak has a row beside the raw peak and one beside that of every
    smoothed curve. Numbers of runs that the log does not hold are left out.
    """
    ours = seed_table(runs).set_index(["start", "subset", "structure"])
    rows = []
    for number in printed.to_dict("records"):
        names = (number["start"], number["subset"], number["structure"])
        for quantity in QUANTITIES:
            text = number["peak" if quantity.endswith("_peak") else quantity]
            if text and names in ours.index and pd.notna(ours.loc[names, quantity]):
                rows.append((*names, quantity, text, *_compared(float(ours.loc[names, quantity]), text)))
    columns = ["start", "subset", "structure", "quantity", "paper", "log", "difference", "agrees"]
    return pd.DataFrame(rows, columns=columns)


def _compared(value: float, text: str) -> tuple[float, float, bool]:
    """A number, its distance from a printed number or range, and whether both agree."""
    ends = [float(part) for part in text.split("-")]
    difference = value - float(np.clip(value, ends[0], ends[-1]))
    if len(ends) > 1:
        return value, difference, difference == 0
    return value, difference, f"{value:.{len(text.partition('.')[2])}f}" == text
