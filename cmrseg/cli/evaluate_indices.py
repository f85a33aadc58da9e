"""``cmrseg evaluate indices``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmrseg.cli.console import names_of, note, progress_bar, show_table, warn_of_problems
from cmrseg.cli.evaluate_regions import named_methods
from cmrseg.cli.out_folder import out_folder


def indices(
    predicted: Annotated[
        Path, typer.Argument(help="Folder with indices.csv that `cmrseg predict` wrote, or with masks.")
    ],
    truth: Annotated[Path, typer.Argument(help="Data set with masks, or with indices.csv.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the tables, the figure and report.html; in runs/ by default."),
    ] = None,
    also: Annotated[
        list[Path] | None,
        typer.Option(help="Another such folder to compare with; may be given several times."),
    ] = None,
    masks: Annotated[
        bool,
        typer.Option(
            "--masks/--no-masks",
            help="Also measure masks of the default model, made in OUT/masks, unless a folder holds some.",
        ),
    ] = True,
    labels: Annotated[
        str | None, typer.Option(help="Label scheme of the truth, where the layout does not tell.")
    ] = None,
    split: Annotated[str, typer.Option(help="Only these splits, such as val,test.")] = "",
) -> None:
    """Areas, dimensions, wall thickness and phase straight from images, beside those of masks."""
    from cmrseg.evaluation.indices import paper_table
    from cmrseg.evaluation.indices_report import significance
    from cmrseg.workflows.evaluate import indices as run

    out = out_folder(out, "indices", predicted)
    methods = named_methods([predicted, *(also or [])])
    with progress_bar("segmenting") as progress:
        found = run(
            truth, methods, out, labels=labels, splits=names_of(split), masks=masks, progress=progress
        )
    table = paper_table(found.errors)
    show_table("mean absolute error ± SD", list(table.columns), table.values.tolist())
    if told := significance(found.tests):
        note(told)
    note(f"report: {out / 'report.html'}")
    if found.problems:
        warn_of_problems(len(found.problems), out / "problems.tsv")
        raise typer.Exit(1)
