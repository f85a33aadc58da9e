"""``cmrseg curate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmrseg.cli.console import complain, names_of, note, progress_steps, show_table

if TYPE_CHECKING:
    import pandas as pd

    from cmrseg.contours.run import ContourRun

_SHOWN_STUDIES = 20


def curate(
    source: Annotated[
        Path,
        typer.Argument(
            help="Folder tree with DICOM files or .zip or .tar.gz archives of them, or one archive; or the "
            "MATLAB files of LVQuan18 or LVQuan19."
        ),
    ],
    target: Annotated[Path, typer.Argument(help="Folder for STUDY/sa.nii.gz, the tables and report.html.")],
    rules: Annotated[
        Path | None, typer.Option(help="rules.toml of the data set; see data_curation/.")
    ] = None,
    series: Annotated[
        str, typer.Option(help="Use these series (numbers, descriptions or UIDs: 5,6,7) instead of choosing.")
    ] = "",
    names: Annotated[
        Path | None,
        typer.Option(help="Your pseudonyms: a CSV file with the columns id (PatientID) and name."),
    ] = None,
    keep_ids: Annotated[
        bool, typer.Option("--keep-ids", help="Call studies by their PatientID; paths are told as they are.")
    ] = False,
    contours: Annotated[
        Path | None,
        typer.Option(
            help="Contours that people drew, which become STUDY/truth.nii.gz: a folder or file of Sunnybrook "
            "text, cvi42 (.cvi42wsx), QMass (.con), Segment (.mat), DICOM RTSTRUCT or SEG."
        ),
    ] = None,
    first_pixel: Annotated[
        int, typer.Option(min=0, max=1, help="Coordinate of the first pixel in text contours: 1 for MATLAB.")
    ] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a dask scheduler, such as tcp://host:8786.")
    ] = None,
) -> None:
    """Turn DICOM files into clean short-axis cines, and contours on them into masks to train on.

    What an earlier call finished is kept. Names, ids and dates of patients are neither written nor shown.
    """
    from cmrseg.curation.privacy import load_names
    from cmrseg.curation.rules import Rules, load_rules
    from cmrseg.curation.run import Options
    from cmrseg.workflows import curate as workflow

    options = Options(
        rules=load_rules(rules) if rules else Rules(),
        series=names_of(series),
        names=tuple(load_names(names).items()) if names else (),
        keep_ids=keep_ids,
        jobs=jobs,
        scheduler=scheduler,
    )
    drawn = None
    with progress_steps() as progress:
        if contours is None:
            run = workflow.curate(source, target, options=options, progress=progress)
        else:
            run, drawn = workflow.curate_with_contours(
                source, target, contours, options=options, first_pixel=first_pixel, progress=progress
            )
    for sentence in run.notes:
        note(sentence)
    show_table("studies", ("study", "status", "x y z t", "spacing (mm)", "problems"), _rows(run.studies))
    for study, reason in run.studies.loc[run.studies["reason"] != "", ["study", "reason"]].values[
        :_SHOWN_STUDIES
    ]:
        note(f"{study}: {reason}")
    if drawn is not None:
        _show_contours(drawn)
    note(f"tables, log and report of {len(run.studies)} studies: {target / 'report.html'}")
    if run.failed or run.unreadable:
        complain(
            f"{run.failed} study(s) failed, {run.unreadable} file(s) could not be read; "
            f"see {target / 'problems.tsv'}{where_files_are(target)}"
        )
    complaints = drawn.complaints if drawn else []
    for sentence in complaints:
        complain(sentence)
    if run.failed or run.unreadable or complaints:
        raise typer.Exit(1)


def _show_contours(drawn: ContourRun) -> None:
    """What became of contours."""
    for sentence in drawn.notes:
        note(sentence)
    columns = ("study", "format", "frames", "images", "structures by frame", "left out")
    show_table("contours", columns, drawn.studies.head(_SHOWN_STUDIES).values.tolist())


def where_files_are(target: Path) -> str:
    """Where a person finds the file that a number means."""
    from cmrseg.curation.private_files import FILES, PRIVATE

    path = target / PRIVATE / FILES
    return f" ({path} tells which file a number means)" if path.exists() else ""


def _rows(studies: pd.DataFrame) -> list[list[object]]:
    """The first studies, narrow enough for a terminal."""
    return [
        [
            study.study,
            study.status,
            f"{study.x} x {study.y} x {study.slices} x {study.phases}" if study.reason == "" else "–",
            f"{study.dx:.2f} x {study.dy:.2f} x {study.dz:.2f}".replace("nan", "?")
            if study.reason == ""
            else "–",
            study.problems,
        ]
        for study in studies.head(_SHOWN_STUDIES).itertuples()
    ]
