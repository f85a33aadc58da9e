"""``cmrseg evaluate contours``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmrseg.cli.console import note, show_table, warn_of_problems
from cmrseg.cli.out_folder import out_folder
from cmrseg.metrics.registry import CONTOURS, shown_in


def contours(
    predicted: Annotated[
        Path, typer.Argument(help="Folder that `cmrseg predict` wrote: <study>/seg.nii.gz, used_images.tsv.")
    ],
    contours: Annotated[
        Path,
        typer.Argument(
            help="Contours of one study, a folder or file: text (IM-0001-0059-icontour-manual.txt), cvi42 "
            "(.cvi42wsx), QMass (.con), Segment (.mat), DICOM RTSTRUCT or SEG. Of several: a folder with "
            "<study>/ or <study>.cvi42wsx for each."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the tables, contours as truth.nii.gz, figures and report.html; in runs/ by "
            "default."
        ),
    ] = None,
    study: Annotated[
        str | None, typer.Option(help="The study that the contours belong to, if there are several.")
    ] = None,
    curated: Annotated[
        Path | None, typer.Option(help="Folder that `cmrseg curate` wrote, if it is another one.")
    ] = None,
    dicom: Annotated[
        Path | None,
        typer.Option(help="DICOM folder that was curated; for cvi42, and for images that were resampled."),
    ] = None,
    first_pixel: Annotated[
        int, typer.Option(min=0, max=1, help="Coordinate of the first pixel: 1 for contours from MATLAB.")
    ] = 0,
) -> None:
    """Dice, volumes and EF of masks against contours; displaced contours are noticed and left out."""
    from cmrseg.evaluation.contour_studies import ContourOptions
    from cmrseg.evaluation.contours_report import volume_table
    from cmrseg.workflows.evaluate import contours as run

    out = out_folder(out, "contours", predicted)
    options = ContourOptions(study, curated, dicom, first_pixel)
    result = run(predicted, contours, out, options=options)
    summary = result.evaluation.summary
    overall = summary[(summary["group"] == "all") & summary["metric"].isin(shown_in(CONTOURS))]
    columns = ["structure", "metric", "mean", "sd", "n", "unit"]
    show_table("contoured images, per frame", columns, overall[columns].values.tolist())
    table = volume_table(result)
    show_table("volumes and function", list(table.columns), table.values.tolist(), digits=1)
    for sentence in result.evaluation.notes:
        note(sentence)
    note(f"contours as masks: {out}; report: {out / 'report.html'}")
    if result.evaluation.problems:
        warn_of_problems(len(result.evaluation.problems), out / "problems.tsv")
        raise typer.Exit(1)
