"""``cmrseg predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmrseg.cli.console import complain, note, progress_bar, progress_steps, show_table, warn_of_problems
from cmrseg.cli.zoo.get import ready

if TYPE_CHECKING:
    from cmrseg.analysis.facts import StudyFacts
    from cmrseg.predict import Options
    from cmrseg.report.studies import ReportRun
    from cmrseg.report.study_run import ReportOptions

_SHOWN_STUDIES = 20
_DICOM = "Studies with a report"


def predict(
    source: Annotated[
        Path,
        typer.Argument(
            help="DICOM folder, file or archive; data set; folder of NIfTI or PNG files; one file."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="Folder for masks, tables and reports.")],
    model: Annotated[
        str | None, typer.Option(help="Name of the zoo or model file; the embedded model by default.")
    ] = None,
    split: Annotated[str, typer.Option(help="Only these splits, such as val,test.")] = "",
    fast: Annotated[bool, typer.Option("--fast", help="One pass instead of averaging flips.")] = False,
    runtime: Annotated[
        str, typer.Option(help="What computes the network: auto, torch or openvino.")
    ] = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep masks that are already there; DICOM studies always go on.")
    ] = False,
    report: Annotated[
        bool,
        typer.Option("--report", help="Write a report of every cine of a data set, as of DICOM studies."),
    ] = False,
    height_cm: Annotated[
        float | None,
        typer.Option(min=30, max=260, help="Of the patient, for indexed values.", rich_help_panel=_DICOM),
    ] = None,
    weight_kg: Annotated[
        float | None, typer.Option(min=1, max=400, help="Of the patient.", rich_help_panel=_DICOM)
    ] = None,
    heart_rate: Annotated[
        float | None,
        typer.Option(min=20, max=300, help="Beats per minute, for cardiac output.", rich_help_panel=_DICOM),
    ] = None,
    series: Annotated[
        str, typer.Option(help="Use these series (numbers, descriptions or UIDs).", rich_help_panel=_DICOM)
    ] = "",
    keep_ids: Annotated[
        bool,
        typer.Option(
            "--keep-ids",
            help="Call studies by their PatientID and write the patient into DICOM segmentations.",
            rich_help_panel=_DICOM,
        ),
    ] = False,
) -> None:
    """Segment cines and single frames; masks come back on the grid of the input.

    A DICOM source needs nothing else: each study gets a report with a viewer, volumes and checks, contours
    and DICOM segmentations. Height, weight and heart rate are those of the headers where they are not given.
    """
    from cmrseg.curation.run import Options as CurationOptions
    from cmrseg.predict import DEFAULT_MODEL, Options
    from cmrseg.report.studies import is_dicom_source
    from cmrseg.report.study_run import ReportOptions

    options = Options(flips=not fast, resume=resume, runtime=runtime)
    model = ready(model or DEFAULT_MODEL)
    splits = tuple(s for s in split.split(",") if s)
    is_dicom = is_dicom_source(source)
    if is_dicom and splits:
        raise typer.BadParameter("DICOM studies have no splits", param_hint="--split")
    if is_dicom or report:
        chosen = tuple(name.strip() for name in series.split(",") if name.strip())
        curation = CurationOptions(series=chosen, keep_ids=keep_ids)
        facts = _facts(height_cm, weight_kg, heart_rate)
        _predict_and_report(source, out, model, splits, ReportOptions(options, curation, facts))
    elif series or keep_ids or height_cm or weight_kg or heart_rate:
        raise typer.BadParameter(
            f"{source} holds no DICOM files; these options are for studies with a report"
        )
    else:
        _predict_images(source, out, model, splits, options)


def _facts(height_cm: float | None, weight_kg: float | None, heart_rate: float | None) -> StudyFacts:
    """What the user says of the patient."""
    from cmrseg.analysis.facts import StudyFacts

    told = {
        "height_m": height_cm and height_cm / 100, "weight_kg": weight_kg, "heart_rate_bpm": heart_rate,
    }  # fmt: skip
    return StudyFacts(**{name: value for name, value in told.items() if value is not None})


def _predict_and_report(
    source: Path, out: Path, model: str, splits: tuple[str, ...], options: ReportOptions
) -> None:
    """Reports of whole cines."""
    from cmrseg.report.studies import INDEX, predict_and_report

    with progress_steps() as progress:
        run = predict_and_report(source, out, model=model, splits=splits, options=options, progress=progress)
    for sentence in run.notes:
        note(sentence)
    _show_cohort(run)
    for study, reason in run.failed.items():
        note(f"{study}: {reason}")
    told = ", ".join(f"{step} {seconds:.1f}" for step, seconds in run.seconds.items())
    note(f"seconds: {told}")
    if len(run.studies) == 1:
        note(f"report: {out / run.studies[0] / 'report.html'}")
    note(f"all studies: {out / INDEX}")
    if len(run.problems):
        warn_of_problems(len(run.problems), out / "problems.tsv")
    if not len(run.cohort) and not run.failed:
        complain(f"no study has been read; {run.unreadable} image(s) are damaged, see {out / 'problems.tsv'}")
    if run.failed:
        complain(f"{len(run.failed)} study(s) have no numbers; the reasons are above and in {out / INDEX}")
    if run.failed or run.unreadable:
        raise typer.Exit(1)


def _show_cohort(run: ReportRun) -> None:
    """Numbers and checks of the first studies of this run."""
    rows = run.cohort[run.cohort["study"].isin(run.studies)].head(_SHOWN_STUDIES)
    columns = ["study", "EDV_ml", "ESV_ml", "EF_percent", "MYO_mass_g", "RV_EDV_ml", "level"]
    if len(rows):
        show_table("function", columns, rows[columns].values.tolist(), digits=1)
    for study, reasons in rows[["study", "reasons"]].values.tolist():
        for reason in filter(None, reasons.split(" | ")):
            note(f"{study}: {reason}")


def _predict_images(source: Path, out: Path, model: str, splits: tuple[str, ...], options: Options) -> None:
    """Masks and tables of a data set."""
    from cmrseg.predict import predict as run

    with progress_bar("segmenting") as progress:
        result = run(source, out, model=model, splits=splits, options=options, progress=progress)
    for sentence in result.notes:
        note(sentence)
    columns = ["study", "EDV_ml", "ESV_ml", "EF_percent", "MYO_mass_g"]
    show_table("LV function", columns, result.summary[columns].head(_SHOWN_STUDIES).values.tolist())
    note(f"masks and tables of {len(result.summary)} studies: {out}")
    if result.problems:
        warn_of_problems(len(result.problems), out / "problems.tsv")
        raise typer.Exit(1)
