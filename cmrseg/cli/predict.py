"""``cmrseg predict``."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmrseg.cli.console import (
    complain,
    err,
    names_of,
    note,
    progress_bar,
    progress_steps,
    show_table,
    warn_of_problems,
)
from cmrseg.cli.curate import where_files_are
from cmrseg.cli.zoo.get import ready

if TYPE_CHECKING:
    from cmrseg.examination.facts import PatientFacts
    from cmrseg.predict import Options
    from cmrseg.workflows.examination import ReportOptions
    from cmrseg.workflows.predict import Made, ReportRun
    from cmrseg.zoo.resolved import ResolvedModel

AsPublished = Annotated[
    bool,
    typer.Option(
        "--as-published",
        help="Masks as the paper's: one pass over the whole image, nothing averaged, no piece removed.",
    ),
]
_SHOWN_STUDIES = 20
_DICOM = "Studies with a report"


def predict(
    source: Annotated[
        Path,
        typer.Argument(
            help="DICOM folder, file, archive or folder of archives; data set; folder of NIfTI or PNG files; "
            "one file."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="Folder for masks, tables and reports.")],
    model: Annotated[
        str | None, typer.Option(help="Name of the zoo or model file; the default model.")
    ] = None,
    split: Annotated[str, typer.Option(help="Only these splits, such as val,test.")] = "",
    fast: Annotated[bool, typer.Option("--fast", help="One pass instead of averaging flips.")] = False,
    as_published: AsPublished = False,
    pieces: Annotated[
        str | None,
        typer.Option(
            help="What stays of a mask: heart (one; the default), largest (piece of a structure), all."
        ),
    ] = None,
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
    sex: Annotated[
        str | None, typer.Option(help="Of the patient, F or M, for --normal-ranges.", rich_help_panel=_DICOM)
    ] = None,
    age: Annotated[
        float | None,
        typer.Option(min=0, max=120, help="Years, for --normal-ranges.", rich_help_panel=_DICOM),
    ] = None,
    normal_ranges: Annotated[
        str | None,
        typer.Option(
            metavar="TABLE",
            help="Compare the numbers with normal ranges by sex and age, which the report then tells: "
            "petersen2017 (EF and mass index of the LV, 45 to 74 years) or a table of one's own.",
            rich_help_panel=_DICOM,
        ),
    ] = None,
    second: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Another model, such as a 3D one: a check compares its masks with those of the first.",
            rich_help_panel=_DICOM,
        ),
    ] = None,
    series: Annotated[
        str, typer.Option(help="Use these series (numbers, descriptions or UIDs).", rich_help_panel=_DICOM)
    ] = "",
    rules: Annotated[
        Path | None,
        typer.Option(help="rules.toml of the data set, as for cmrseg curate.", rich_help_panel=_DICOM),
    ] = None,
    keep_ids: Annotated[
        bool,
        typer.Option(
            "--keep-ids",
            help="Call studies by their PatientID and write the patient into DICOM segmentations.",
            rich_help_panel=_DICOM,
        ),
    ] = False,
    jobs: Annotated[
        int, typer.Option(min=1, help="Processes that make reports.", rich_help_panel=_DICOM)
    ] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Address of a dask scheduler, such as tcp://host:8786.", rich_help_panel=_DICOM),
    ] = None,
) -> None:
    """Segment cines and single frames; masks come back on the grid of the input.

    A DICOM source needs nothing else: each study gets a report with a viewer, volumes and checks, contours
    and DICOM segmentations. Height, weight, heart rate, sex and age are those of the headers where they are
    not given; sex and age are used for normal ranges alone.
    """
    from cmrseg.curation.rules import Rules, load_rules
    from cmrseg.curation.run import Options as CurationOptions
    from cmrseg.examination.normal_ranges import load_ranges
    from cmrseg.predict import DEFAULT_MODEL, prediction_options
    from cmrseg.workflows.cines import is_dicom_source
    from cmrseg.workflows.examination import ReportOptions

    options = prediction_options(as_published=as_published)
    options = replace(
        options,
        flips=options.flips and not fast,
        pieces=pieces or options.pieces,
        resume=resume,
        runtime=runtime,
    )
    resolved = ready(model or DEFAULT_MODEL)
    splits = names_of(split)
    is_dicom = is_dicom_source(source)
    if is_dicom and splits:
        raise typer.BadParameter("DICOM studies have no splits", param_hint="--split")
    if is_dicom or report:
        chosen = names_of(series)
        found = load_rules(rules) if rules else Rules()
        curation = CurationOptions(found, chosen, keep_ids=keep_ids, jobs=jobs, scheduler=scheduler)
        facts = _facts(height_cm, weight_kg, heart_rate, sex, age)
        normal = load_ranges(normal_ranges) if normal_ranges else None
        other = ready(second) if second else None
        _predict_examinations(
            source, out, resolved, splits, ReportOptions(options, curation, facts, normal, other)
        )
    elif any((series, rules, keep_ids, height_cm, weight_kg, heart_rate, sex, age, normal_ranges)) or (
        jobs > 1 or scheduler or second
    ):
        raise typer.BadParameter(
            "the source holds no DICOM files; options of studies with a report need --report"
        )
    else:
        _predict_images(source, out, resolved, splits, options)


def _facts(
    height_cm: float | None,
    weight_kg: float | None,
    heart_rate: float | None,
    sex: str | None,
    age: float | None,
) -> PatientFacts:
    """What the user says of the patient."""
    from cmrseg.examination.facts import PatientFacts

    if sex is not None and sex.upper() not in ("F", "M"):
        raise ValueError(f"--sex is F or M, not '{sex}'")
    told = {
        "sex": sex and sex.upper(), "age_years": age,
        "height_m": height_cm and height_cm / 100, "weight_kg": weight_kg, "heart_rate_bpm": heart_rate,
    }  # fmt: skip
    return PatientFacts(**{name: value for name, value in told.items() if value is not None})


def _predict_examinations(
    source: Path, out: Path, model: ResolvedModel, splits: tuple[str, ...], options: ReportOptions
) -> None:
    """Reports of whole cines."""
    from cmrseg.workflows.predict import INDEX
    from cmrseg.workflows.predict import predict_examinations as run_all

    lines: set[str] = set()
    each = partial(_tell_study, lines=lines)
    with progress_steps() as progress:
        run = run_all(source, out, model=model, splits=splits, options=options, progress=progress, each=each)
    for sentence in run.notes:
        note(sentence)
    _show_cohort(run)
    for study in sorted(run.failed.keys() - lines):
        note(f"{study}: {run.failed[study]}")
    told = ", ".join(f"{step} {seconds:.1f}" for step, seconds in run.seconds.items())
    note(f"seconds: {told}")
    if len(run.studies) == 1:
        note(f"report: {out / run.studies[0] / 'report.html'}")
    note(f"all studies: {out / INDEX}")
    if len(run.problems):
        warn_of_problems(len(run.problems), out / "problems.tsv")
    if not len(run.cohort) and not run.failed:
        told = f"see {out / 'problems.tsv'}{where_files_are(out)}"
        complain(f"no study has been read; {run.unreadable} image(s) are damaged, {told}")
    if run.failed:
        complain(f"{len(run.failed)} study(s) have no numbers; the reasons are above and in {out / INDEX}")
    if run.failed or run.unreadable:
        raise typer.Exit(1)


def _tell_study(made: Made, *, lines: set[str]) -> None:
    """A line for every study where no bar tells of them, such as in the log of a cluster's job."""
    if not err.is_terminal:
        ef = f"EF {made.ef_percent:.1f} %, checks {made.level}"
        note(f"{made.study}: {made.problem.extra_info if made.problem else ef}")
        lines.add(made.study)


def _show_cohort(run: ReportRun) -> None:
    """Numbers and checks of the first studies of this run."""
    rows = run.cohort[run.cohort["study"].isin(run.studies)].head(_SHOWN_STUDIES)
    columns = ["study", "EDV_ml", "ESV_ml", "EF_percent", "MYO_mass_g", "RV_EDV_ml", "level"]
    if len(rows):
        show_table("function", columns, rows[columns].values.tolist(), digits=1)
    for study, reasons in rows[["study", "reasons"]].values.tolist():
        for reason in filter(None, reasons.split(" | ")):
            note(f"{study}: {reason}")


def _predict_images(
    source: Path, out: Path, model: ResolvedModel, splits: tuple[str, ...], options: Options
) -> None:
    """Masks or numbers of a data set."""
    from cmrseg.predict import predict as run
    from cmrseg.tasks.quantification.truth import TABLE

    with progress_bar("segmenting") as progress:
        result = run(source, out, model=model, splits=splits, options=options, progress=progress)
    for sentence in result.notes:
        note(sentence)
    title, table = result.kept.shown
    show_table(title, list(table), table.head(_SHOWN_STUDIES).values.tolist())
    note(f"{result.kept.what} of {len(table)} studies: {out}")
    if TABLE in result.kept.tables:
        _show_curves(source, out, model, splits)
    if result.problems:
        warn_of_problems(len(result.problems), out / "problems.tsv")
        raise typer.Exit(1)


def _show_curves(source: Path, out: Path, model: ResolvedModel, splits: tuple[str, ...]) -> None:
    """Indices over the cycle, beside those of masks."""
    from cmrseg.workflows.quantify import index_curves

    with progress_bar("masks to compare with") as progress:
        found = index_curves(source, out, model, splits=splits, progress=progress)
    if found is not None:
        table = found.differences()
        show_table("mean |network - masks|", list(table), table.values.tolist())
        note(f"curves over the cycle: {out / 'report.html'}")
