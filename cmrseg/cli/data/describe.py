"""``cmrseg data describe``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmrseg.cli.console import note, progress_steps, show_table

if TYPE_CHECKING:
    import pandas as pd


def describe(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Folder that `cmrseg curate` wrote, or DICOM files: a folder or an archive."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder for description.csv and methods.txt; else only shown.")
    ] = None,
) -> None:
    """Table I of a data set: patients, scanners, sequence and geometry, and a text for a methods section.

    No name, id or date of a patient is shown; the age of fewer than 5 patients is not told, and ages above 90
    count as 90.
    """
    from cmrseg.curation.description import TABLE, TEXT, describe, methods_text, write_description
    from cmrseg.curation.survey import read_facts

    with progress_steps() as progress:
        facts = read_facts(data, progress=progress)
    table = describe(facts)
    text = methods_text(table)
    show_table("what the data are like", ("quantity", "n", "%", "mean ± sd", "range"), _rows(table))
    for sentence in facts.notes:
        note(sentence)
    note(text)
    if out is not None:
        write_description(table, text, out)
        note(f"written: {out / TABLE}, {out / TEXT}")


def _rows(table: pd.DataFrame) -> list[list[str]]:
    """The table as a reader wants it; what nothing is known of is left out."""
    table = table[(table["n"] > 0)]
    return [[_name(row), str(row.n), *_numbers(row)] for row in table.itertuples()]


def _name(row: object) -> str:
    """What a row is about."""
    return f"{row.quantity}{f': {row.group}' if row.group else ''}{f' ({row.unit})' if row.unit else ''}"


def _numbers(row: object) -> tuple[str, str, str]:
    """Share, mean and range of a row, as far as it has them."""
    percent = f"{row.percent:.0f}" if row.percent == row.percent else ""
    if row.mean != row.mean:
        return percent, "", ""
    spread = f" ± {row.sd:.2f}" if row.sd == row.sd else ""
    low, high = f"{row.min:.5g}", f"{row.max:.5g}"
    return percent, f"{row.mean:.2f}{spread}", low if low == high else f"{low} to {high}"
