"""``cmrseg study search``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmrseg.cli.console import note, show_table, training_listener, warn_of_problems
from cmrseg.cli.train import BatchSize, Data, Epochs, Labels, Seed

Start = Annotated[str, typer.Option("--from", help="Recipe that the search starts from.")]


def search(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder of the search; runs that are there are kept.")],
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
    by: Annotated[str, typer.Option(help="What decides: ef_abs_error or dice.")] = "ef_abs_error",
    config: Annotated[Path | None, typer.Option(help="train.toml with further settings.")] = None,
    imagenet: Annotated[
        Path | None, typer.Option(help="File of ImageNet weights (torchvision keys).")
    ] = None,
    random: Annotated[bool, typer.Option("--random", help="Start from random weights.")] = False,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    labels: Labels = None,
    seed: Seed = None,
) -> None:
    """Search for the best recipe, one part after the other.

    The best recipe of a step goes on to the next, as in Ankenbrand et al. 2021. A stopped search goes on when
    the same command is given again.
    """
    from cmrseg.report.search import search_and_report
    from cmrseg.studies.search import PAPER_STEPS, SearchSetup, Step
    from cmrseg.training.config import RunOptions

    weights = "random" if random else str(imagenet) if imagenet else None
    options = RunOptions(epochs=epochs, batch_size=batch_size, seed=seed, start=weights, labels=labels)
    training = {"confidence": confidence} if confidence else {}
    setup = SearchSetup(config, options, training, truth, by)
    steps = [
        Step(part.strip(), _split(choices)) for part, _, choices in (s.partition("=") for s in step or [])
    ]
    if (recipes and steps) or (random and imagenet):
        raise ValueError("name either --recipes or --step, and either --random or --imagenet")
    if recipes:
        steps = [Step("recipe", _split(recipes))]
    with training_listener() as listener:
        run = search_and_report(
            data,
            out,
            start=start,
            steps=steps or PAPER_STEPS,
            setup=setup,
            listener=listener,
        )
    columns = ["step", "recipe", "mean", "sd", "median", "iqr", "n"]
    show_table(f"{by} of the validation subjects", columns, run.table[columns].values.tolist())
    note(f"best recipe: {run.best}; report: {out / 'report.html'}")
    if run.problems:
        warn_of_problems(len(run.problems), out / "problems.tsv")
        raise typer.Exit(1)


def _split(text: str) -> tuple[str, ...]:
    """Names between commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
