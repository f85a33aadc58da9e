"""``cmrseg evaluate regions``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmrseg.cli.console import names_of, note, show_table, warn_of_problems
from cmrseg.cli.out_folder import out_folder


def regions(
    truth: Annotated[Path, typer.Argument(help="Data set with masks; its contours tell the regions.")],
    predicted: Annotated[
        list[Path],
        typer.Argument(
            metavar="BASELINE [OTHER...]",
            help="Folders of predicted masks; the first is compared with the others.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the tables, the figure and report.html; in runs/ by default."),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Label scheme of the truth, where the layout does not tell.")
    ] = None,
    split: Annotated[str, typer.Option(help="Only these splits, such as val,test.")] = "",
) -> None:
    """Dice, volumes and EF of base, middle and apex, and what other methods gain there."""
    from cmrseg.evaluation.regions_report import gains_in_paper, paper_table
    from cmrseg.workflows.evaluate import regions as run

    out = out_folder(out, "regions", truth)
    found = run(truth, named_methods(predicted), out, labels=labels, splits=names_of(split))
    for title, table in (
        ("Dice (%)", paper_table(found.table1)),
        ("gain (points)", gains_in_paper(found.table3)),
    ):
        if not table.empty:
            show_table(title, list(table.columns), table.values.tolist())
    note(f"report: {out / 'report.html'}")
    if found.problems:
        warn_of_problems(len(found.problems), out / "problems.tsv")
        raise typer.Exit(1)


def named_methods(folders: list[Path]) -> dict[str, Path]:
    """Methods by the names of their folders, by the whole path where two have one name."""
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    if len(set(names)) < len(names):
        raise ValueError(f"{names[0]} is named twice as a method; name it once")
    return dict(zip(names, folders, strict=True))
