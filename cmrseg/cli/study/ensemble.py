"""``cmrseg study ensemble``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmrseg.cli.console import note, show_table
from cmrseg.cli.out_folder import out_folder


def ensemble(
    predictions: Annotated[
        Path,
        typer.Argument(
            metavar="SEARCH",
            help="Folder with values.csv of `cmrseg evaluate indices` (or predictions.csv), and perhaps "
            "folds.csv (subject, fold).",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the tables, the figure and report.html; in runs/ by default."),
    ] = None,
    most: Annotated[
        int, typer.Option(min=2, max=20, help="Configurations to look at, the best of each group.")
    ] = 20,
    seed: Annotated[int, typer.Option(help="Of the halves of the folds.")] = 0,
) -> None:
    """The best of all subsets of configurations to average, per group of indices and for the phase."""
    from cmrseg.evaluation.indices import paper_table
    from cmrseg.experiments.ensembles_report import members_in_words
    from cmrseg.workflows.experiments import ensemble as run

    out = out_folder(out, "ensemble", predictions)
    found = run(predictions, out, most=most, seed=seed)
    for title, table in (
        ("mean absolute error ± SD", paper_table(found.evaluation.errors)),
        ("members", members_in_words(found.members)),
    ):
        show_table(title, list(table.columns), table.values.tolist())
    for sentence in found.notes:
        note(sentence)
    note(f"report: {out / 'report.html'}")
