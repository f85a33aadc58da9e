"""``cmrseg confidence``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmrseg.cli.console import note, show_table, warn_of_problems
from cmrseg.cli.out_folder import out_folder


def confidence(
    volumes: Annotated[
        Path,
        typer.Argument(
            help="Predicted volumes: summary.csv of `cmrseg label`, or ukbb_ventricular_volumes.csv of "
            "ukbb_cardiac."
        ),
    ],
    truth: Annotated[
        Path,
        typer.Argument(
            help="True volumes: Kaggle's train.csv, validate.csv or solution.csv, a summary.csv, or a folder "
            "of these."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for confidence.tsv, sets.csv, figures and report.html; in runs/ by default."
        ),
    ] = None,
    thresholds: Annotated[
        str, typer.Option(help="Largest deviation of each set from the true volumes, in percent.")
    ] = "5,10,15",
    images: Annotated[
        Path | None,
        typer.Option(
            help="Table that tells the numbers of images: one row per image (file), or studies.tsv of "
            "`cmrseg curate`, which is found beside VOLUMES."
        ),
    ] = None,
) -> None:
    """Find the examinations whose labels agree with known volumes, to train on them."""
    from cmrseg.teachers.confidence_report import under_represented
    from cmrseg.workflows.confidence import confidence as run

    out = out_folder(out, "confidence", volumes)
    found = run(volumes, truth, out, thresholds=thresholds.split(","), images=images)
    sets = found.set_table
    show_table(
        f"confidence sets of {len(found.counted)} examinations", list(sets), sets.values.tolist(), digits=1
    )
    for sentence in (*found.notes, *under_represented(found.representation)):
        note(sentence.removesuffix("."))
    note(f"{len(found.cancellation)} examination(s) have a right EF although both volumes are wrong")
    note(f"report: {out / 'report.html'}")
    if found.problems:
        warn_of_problems(len(found.problems), out / "problems.tsv")
        raise typer.Exit(1)
