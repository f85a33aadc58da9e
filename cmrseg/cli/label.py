"""``cmrseg label``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmrseg.cli.console import note, progress_bar, show_table, warn_of_problems
from cmrseg.cli.zoo.get import ready

_COLUMNS = ("study", "EDV_ml", "ESV_ml", "EF_percent", "ED_frame", "ES_frame")
_SHOWN = 20  # studies on the screen; all are in summary.csv


def label(
    data: Annotated[Path, typer.Argument(help="Data set, such as a folder of `cmrseg curate`.")],
    teacher: Annotated[
        str,
        typer.Option(help="'embedded', a model's name or file, precomputed:DIR or monai:BUNDLE_DIR."),
    ],
    out: Annotated[Path | None, typer.Option(help="Folder for masks and tables; DATA by default.")] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="Scheme of precomputed masks, such as acdc or LV=1,MYO=2; ukbb by default."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Keep finished studies.")] = False,
    fast: Annotated[bool, typer.Option("--fast", help="One pass instead of averaging flips.")] = False,
) -> None:
    """Let a teacher label all frames of a data set, so that a student can be trained on them."""
    from cmrseg.predict import Options
    from cmrseg.workflows.label import label as run
    from cmrseg.workflows.label import problems_name
    from cmrseg.zoo.manifest import read_manifest

    options = Options(flips=not fast, resume=resume)
    if teacher in read_manifest():  # not embedded, precomputed:DIR, monai:DIR or a file
        ready(teacher)
    if out is None:
        note(f"results: {data}, beside the images, where training finds them (another folder: --out)")
    with progress_bar("labelling") as progress:
        result = run(data, teacher=teacher, out=out, labels=labels, options=options, progress=progress)
    for sentence in result.notes:
        note(sentence)
    table = result.summary[list(_COLUMNS)].astype(object)
    rows = table.where(table.notna(), float("nan")).values.tolist()
    show_table("Pseudo-labels", [c.removesuffix("_frame") for c in _COLUMNS], rows[:_SHOWN])
    if len(rows) > _SHOWN:
        note(f"and {len(rows) - _SHOWN} more")
    where = out or data
    note(f"masks and tables of {len(result.summary)} studies: {where}")
    if result.problems:
        warn_of_problems(len(result.problems), where / problems_name(data, where))
        raise typer.Exit(1)
