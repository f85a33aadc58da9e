"""``cmrseg study table``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmrseg.cli.console import names_of, note, show_table, training_listener, warn_of_problems
from cmrseg.cli.out_folder import out_folder
from cmrseg.cli.train import Data
from cmrseg.cli.training_options import takes_training_options
from cmrseg.cli.zoo.get import ready
from cmrseg.training.options import TrainOptions


@takes_training_options(
    "file", "imagenet", "random", "epochs", "batch_size", "labels", "seed", "weights", "class_weights",
    "checkpointing",
)  # fmt: skip
def table(
    data: Data,
    options: TrainOptions,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the comparison; what is there is kept; in runs/ by default."),
    ] = None,
    models: Annotated[
        str, typer.Option(metavar="A,B", help="Names, model files or folders of runs to compare.")
    ] = "",
    recipes: Annotated[str, typer.Option(metavar="A,B", help="Recipes that are trained first.")] = "",
    split: Annotated[str, typer.Option(help="Subjects of these splits are compared.")] = "val,test",
) -> None:
    """Compare models: Dice and Hausdorff distance at ED and ES, tests, clinical parameters, costs.

    The table of Patravali et al. 2017, with all pieces and as one heart. A stopped comparison goes on when
    the same command is given again.
    """
    from cmrseg.evaluation.phases import poster_table
    from cmrseg.experiments.comparison import ComparisonSetup
    from cmrseg.workflows.experiments import table as compare

    setup = ComparisonSetup(
        tuple(ready(name) for name in names_of(models)), names_of(recipes), options, names_of(split)
    )
    out = out_folder(out, "table", data, resume=True)  # the same command goes on
    with training_listener() as listener:
        found = compare(data, out, setup, listener=listener)
    for pieces in found.evaluations:
        shown = poster_table(found.phases(pieces))
        show_table(f"{found.which}, pieces: {pieces}", list(shown.columns), shown.values.tolist())
    for sentence in found.notes:
        note(sentence)
    note(f"report: {out / 'report.html'}")
    if found.problems:
        warn_of_problems(len(found.problems), out / "problems.tsv")
        raise typer.Exit(1)
