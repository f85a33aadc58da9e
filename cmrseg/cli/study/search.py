"""``cmrseg study search``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmrseg.cli.console import names_of, note, show_table, training_listener, warn_of_problems
from cmrseg.cli.out_folder import out_folder
from cmrseg.cli.predict import AsPublished
from cmrseg.cli.train import Data
from cmrseg.cli.training_options import takes_training_options
from cmrseg.training.options import TrainOptions

Start = Annotated[str, typer.Option("--from", help="Recipe that the search starts from.")]


@takes_training_options(
    "file", "imagenet", "random", "epochs", "batch_size", "labels", "seed", "weights", "structures",
    "class_weights", "neighbours", "neighbours_in",
)  # fmt: skip
def search(
    data: Data,
    options: TrainOptions,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the search; runs that are there are kept; in runs/ by default."),
    ] = None,
    start: Start = "r34_CE_p5_s1",
    step: Annotated[
        list[str] | None,
        typer.Option(
            help="A part and its choices: loss=CE,DICE,focal. Repeat it; the paper's steps by default."
        ),
    ] = None,
    recipes: Annotated[str, typer.Option(help="Compare these recipes instead: a,b,c.")] = "",
    confidence: Annotated[
        Path | None, typer.Option(help="Folder of `cmrseg confidence`, for the sets p5, p10, p15.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="True volumes; else the EF of the masks is true.")
    ] = None,
    by: Annotated[
        str, typer.Option(help="What decides: ef_abs_error, dice, or abs_error of numbers.")
    ] = "ef_abs_error",
    on: Annotated[
        str,
        typer.Option(
            help="Examinations that score all recipes: all (with a truth; the default with --truth) or "
            "validation (the official ones, or else the validation split)."
        ),
    ] = "",
    folds: Annotated[
        int,
        typer.Option(min=0, help="Cross-validation of --recipes that answer indices, with so many folds."),
    ] = 0,
    as_published: AsPublished = False,
) -> None:
    """Search for the best recipe, one part after the other.

    The best recipe of a step goes on to the next, as in Ankenbrand et al. 2021. With --folds, every recipe
    answers every subject, as in Gessert and Schlaefer 2019; `cmrseg study ensemble` goes on from there. A
    stopped search goes on when the same command is given again.
    """
    if folds:
        if step or confidence or truth or on or as_published or by != "ef_abs_error":
            raise ValueError("--folds takes --recipes and the options of training; leave the others out")
        _in_folds(data, out, names_of(recipes), folds, options)
        return
    from cmrseg.experiments.search import PAPER_STEPS, SearchSetup, Step
    from cmrseg.workflows.experiments import search as search_recipes

    setup = SearchSetup(options, confidence, truth, by, on, as_published)
    steps = [
        Step(part.strip(), names_of(choices)) for part, _, choices in (s.partition("=") for s in step or [])
    ]
    if recipes and steps:
        raise ValueError("name either --recipes or --step, not both")
    if recipes:
        steps = [Step("recipe", names_of(recipes))]
    out = out_folder(out, "search", data, resume=True)  # the same command goes on
    with training_listener() as listener:
        run = search_recipes(
            data, out, start=start, steps=steps or PAPER_STEPS, setup=setup, listener=listener
        )
    columns = ["step", "recipe", "mean", "sd", "median", "iqr", "n"]
    show_table(f"{by} of the examinations ({run.which})", columns, run.table[columns].values.tolist())
    for sentence in run.sentences:
        note(sentence)
    note(f"best recipe: {run.best}; report: {out / 'report.html'}")
    if run.problems:
        warn_of_problems(len(run.problems), out / "problems.tsv")
        raise typer.Exit(1)


def _in_folds(
    data: Path, out: Path | None, recipes: tuple[str, ...], folds: int, options: TrainOptions
) -> None:
    """Networks for indices, every subject answered by models that have not seen it."""
    from cmrseg.evaluation.indices import paper_table
    from cmrseg.experiments.folds import FoldSetup
    from cmrseg.workflows.experiments import search_in_folds

    setup = FoldSetup(recipes, folds, options)
    out = out_folder(out, "search", data, resume=True)  # the same command goes on
    with training_listener() as listener:
        run = search_in_folds(data, out, setup, listener=listener)
    table = paper_table(run.evaluation.errors)
    show_table("mean absolute error ± SD", list(table.columns), table.values.tolist())
    note(f"report: {out / 'report.html'}; next: cmrseg study ensemble {out}")
    if run.evaluation.problems:
        warn_of_problems(len(run.evaluation.problems), out / "problems.tsv")
        raise typer.Exit(1)
