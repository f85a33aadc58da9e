"""Numbers that Ankenbrand et al. (2021) print, beside ours: python benchmarks/published_numbers.py OUT.

OUT is what ``published_tables.sh`` wrote. Where a number stands is in ``published_numbers.tsv``: a table of
OUT, which of its rows (column=value; ...) and the column. A number agrees if ours rounds to what is printed;
where it cannot, ``note`` says why.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd

NUMBERS = Path(__file__).with_name("published_numbers.tsv")
COLUMNS = ("number", "where", "paper", "ours", "agrees", "note")


def compare(read: Callable[[str], pd.DataFrame], numbers: Path = NUMBERS) -> pd.DataFrame:
    """The printed numbers beside ours.

    Parameters
    ----------
    read
        Gives a table by its name, such as ``ef/summary.csv``.
    numbers
        Table with number, where, paper (text), table, rows, column and note.

    Returns
    -------
    `COLUMNS`; agrees tells whether ours rounds to the text of the paper.
    """
    rows = []
    for printed in pd.read_csv(numbers, sep="\t", dtype=str, keep_default_na=False).itertuples():
        value = _value(read(printed.table), printed.rows, printed.column)
        digits = len(printed.paper.partition(".")[2])
        exact, rounded = _as_text(value, digits + 2 if digits else 0), _as_text(value, digits)
        agrees = rounded == printed.paper
        rows.append((printed.number, printed.where, printed.paper, exact, agrees, printed.note))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _as_text(value: object, digits: int) -> str:
    """A number with some digits, a text as it is."""
    return value if isinstance(value, str) else f"{float(value):.{digits}f}"


def _value(table: pd.DataFrame, rows: str, column: str) -> object:
    """The only value of a column in the chosen rows, or the number or absolute mean of all that are known."""
    for condition in rows.split(";"):
        name, _, value = condition.partition("=")
        table = table[table[name].astype(str) == value]
    what, _, name = column.rpartition(" of ")
    if what:
        known = table[name].abs().dropna()
        return len(known) if what == "count" else known.mean()
    if len(table) != 1:
        raise ValueError(f"{len(table)} rows where {rows}; one is needed")
    return table[column].iloc[0]


def main(out: Path) -> int:
    """Print the comparison; 1 if a number that should come out does not."""
    tables: dict[str, pd.DataFrame] = {}
    table = compare(lambda name: tables.setdefault(name, pd.read_csv(out / name)))
    shown = table.assign(agrees=table["agrees"].map({True: "yes", False: "no"}))
    cells = [list(COLUMNS), *shown.to_numpy().tolist()]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    unexpected = table[~table["agrees"] & (table["note"] == "")]
    print(f"{table['agrees'].sum()} of {len(table)} numbers come out, {len(unexpected)} unexpectedly do not")
    return int(len(unexpected) > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
