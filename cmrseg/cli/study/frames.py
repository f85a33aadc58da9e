"""``cmrseg study frames``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmrseg.cli.console import note, show_table, warn_of_problems
from cmrseg.cli.out_folder import out_folder

if TYPE_CHECKING:
    import pandas as pd

    from cmrseg.problems import Problem


def frames(
    counts: Annotated[
        Path,
        typer.Argument(help="Pixels per image: file and lv (or lv_pixels); .tsv or .csv, also .xz or .gz."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for esed_frames.tsv, subset_sizes.csv and problems.tsv; in runs/ by default."
        ),
    ] = None,
    subsets: Annotated[
        Path | None, typer.Option(help="Table of subsets, whose sizes are told and whose esed is checked.")
    ] = None,
) -> None:
    """ED and ES frames from the LV pixels of images."""
    from cmrseg.data.phases import ed_es_of_pixels
    from cmrseg.data.subsets import read_subsets
    from cmrseg.evaluation.pixel_counts import read_pixel_counts
    from cmrseg.report.write import write_tables

    out = out_folder(out, "frames", counts)
    images, problems = read_pixel_counts(counts)
    table = read_subsets(subsets) if subsets else None
    found, unclear = ed_es_of_pixels(images)
    problems += unclear
    tables = {"esed_frames.tsv": found}
    show_table("frames of end-systole and end-diastole", list(found), found.values.tolist())
    if table is not None:
        sizes, wrong = _sizes_and_check(table, found)
        tables["subset_sizes.csv"] = sizes
        problems += wrong
    write_tables(tables, problems, out)
    note(f"tables: {', '.join(str(out / name) for name in tables)}")
    if problems:
        warn_of_problems(len(problems), out / "problems.tsv")
        raise typer.Exit(1)


def _sizes_and_check(table: pd.DataFrame, found: pd.DataFrame) -> tuple[pd.DataFrame, list[Problem]]:
    """Show the sizes of the subsets, and say whether esed holds the images of the frames found."""
    from cmrseg.data.subsets import ESED, esed_problems, subset_sizes

    sizes = subset_sizes(table)
    show_table("subsets", list(sizes), sizes.values.tolist())
    if ESED not in table:
        note(f"no column {ESED} to check")
        return sizes, []
    wrong = esed_problems(table, found)
    n = table["Id"].nunique()
    same = f"{n - len(wrong)} of {n}" if wrong else f"all {n}"
    note(f"{ESED} holds exactly the images of these frames for {same} subject(s)")
    return sizes, wrong
