"""``cmrseg predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmrseg.cli.console import note, progress_bar, show_table, warn_of_problems
from cmrseg.cli.zoo.get import ready


def predict(
    source: Annotated[Path, typer.Argument(help="Data set, folder of NIfTI or PNG files, or one file.")],
    out: Annotated[Path, typer.Argument(help="Folder for the masks and tables.")],
    model: Annotated[
        str | None, typer.Option(help="Name of the zoo or model file; the embedded model by default.")
    ] = None,
    split: Annotated[str, typer.Option(help="Only these splits, such as val,test.")] = "",
    fast: Annotated[bool, typer.Option("--fast", help="One pass instead of averaging flips.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Keep masks that are already there.")] = False,
) -> None:
    """Segment cines and single frames; masks come back on the grid of the input."""
    from cmrseg.predict import DEFAULT_MODEL, Options
    from cmrseg.predict import predict as run

    splits = tuple(s for s in split.split(",") if s)
    model = ready(model or DEFAULT_MODEL)
    with progress_bar("segmenting") as progress:
        result = run(
            source,
            out,
            model=model,
            splits=splits,
            options=Options(flips=not fast, resume=resume),
            progress=progress,
        )
    for sentence in result.notes:
        note(sentence)
    columns = ["study", "EDV_ml", "ESV_ml", "EF_percent", "MYO_mass_g"]
    show_table("LV function", columns, result.summary[columns].head(20).values.tolist())
    note(f"masks and tables of {len(result.summary)} studies: {out}")
    if result.problems:
        warn_of_problems(len(result.problems), out / "problems.tsv")
        raise typer.Exit(1)
