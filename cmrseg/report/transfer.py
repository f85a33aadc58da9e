"""The files of `cmrseg study subsets`: what transfer gains, and how many subjects to contour."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cmrseg.data.subsets import FULL
from cmrseg.evaluation import evaluate_masks
from cmrseg.io.atomic import write_table, write_text
from cmrseg.problems import problem_table
from cmrseg.report.curves import curve_section, run_section
from cmrseg.report.evaluation import software, write_figure
from cmrseg.report.html import Picture, Section, Table, render_report
from cmrseg.report.planning import planning_figure
from cmrseg.report.predictions import pick_by_dice, prediction_figure
from cmrseg.studies.curves import read_training_log, run_table, with_smoothed
from cmrseg.studies.planning import MEAN, gain_table, ordered_starts, planning_table, reader_table
from cmrseg.studies.recommendation import WITHIN, Recommendation, recommendation
from cmrseg.studies.transfer import BASE, LOG_FILE, TransferStudy, transfer_study
from cmrseg.studies.transfer_plan import TransferSetup


@dataclass(frozen=True)
class StudyReport:
    """What a study answers.

    Attributes
    ----------
    study
        Its runs, scores and problems.
    table
        ``planning.csv``: expected Dice of every start and subset.
    answer
        How many subjects to contour.
    """

    study: TransferStudy
    table: pd.DataFrame
    answer: Recommendation


def study_and_report(
    data: Path, out: Path, *, setup: TransferSetup | None = None, within: float = WITHIN, **settings: Any
) -> StudyReport:
    """`cmrseg.studies.transfer.transfer_study` with the same parameters, then tables, figures and a report.

    Parameters
    ----------
    data, out, setup
        As for `transfer_study`. ``out`` also gets ``planning.csv``, ``gain.csv``, ``runs.csv``,
        ``curves.csv``, ``planning.png``, ``fig5.png``, ``fig6.png``, ``fig6_raw.png`` and ``report.html``.
    within
        Tolerated loss of the mean Dice, see `cmrseg.studies.recommendation.recommendation`.
    settings
        Further parameters of `transfer_study`.
    """
    setup = setup or TransferSetup()
    study = transfer_study(data, out, setup=setup, **settings)
    report = StudyReport(study, planning_table(study.scores), recommendation(study.scores, within=within))
    write_study_report(report, out, setup)
    return report


def write_study_report(report: StudyReport, out: Path, setup: TransferSetup) -> Path:
    """Write the tables, figures and the page of a study."""
    study = report.study
    gains = gain_table(study.scores)
    log = with_smoothed(read_training_log(out / LOG_FILE, out / "subsets.tsv"))
    runs = run_table(log)
    tables = {"planning.csv": report.table, "gain.csv": gains, "runs.csv": runs, "curves.csv": log}
    for name, table in tables.items():
        write_table(table, out / name)
    sections = [
        _planning_section(report),
        _gain_section(gains),
        _prediction_section(study, out),
        curve_section(log),
        run_section(runs),
        _problem_section(study),
    ]
    for picture in (picture for section in sections for picture in section.pictures):
        write_figure(picture.figure, out / f"{picture.name}.png")
    settings = {**vars(setup), **vars(setup.options)}
    page = render_report(
        "Transfer-learning study",
        sections,
        provenance={**{key: value for key, value in settings.items() if value is not None}, **software()},
        summary=report.answer.text,
    )
    return write_text(page, out / "report.html")


def _planning_section(report: StudyReport) -> Section:
    """Dice against the number of contoured subjects."""
    reader = report.study.reader
    band = None if reader is None else reader_table(reader)
    figure = planning_figure(report.table, band)
    caption = (
        "Dice of the test subjects (mean per volume) against the number of contoured training subjects; bars "
        "are 95 % bootstrap intervals over the test subjects, open markers single seeds."
    )
    tables = [Table(report.table, "Expected Dice (planning.csv)")]
    if band is not None:
        tables.append(Table(band, "The second reader"))
    return Section("How many subjects", tables=tables, pictures=[Picture(figure, caption, "planning")])


def _gain_section(gains: pd.DataFrame) -> Section:
    """What transfer gains."""
    mean = gains[gains["structure"] == MEAN]
    caption = "Gain of the mean Dice over structures, paired over the test subjects (all in gain.csv)"
    return Section("What transfer gains", tables=[Table(mean, caption)])


def _prediction_section(study: TransferStudy, out: Path) -> Section:
    """Fig. 5: the same test images as every start segments them, trained on all subjects."""
    folders = {run.start: run.folder for run in reversed(study.done) if run.subset == FULL}
    folders[BASE] = out / BASE
    starts = ordered_starts(pd.Series(list(folders)))
    found = {start: evaluate_masks(folders[start] / "test", study.plan.test) for start in starts}
    examples = pick_by_dice(found, by=starts[-1])
    if not examples[BASE]:
        return Section("Predictions")
    caption = (
        f"Mid-ventricular test images with high, middle and low Dice of {starts[-1]}, as the models of the "
        "first seed segment them that were trained on all subjects."
    )
    return Section("Predictions", pictures=[Picture(prediction_figure(examples), caption, "fig5")])


def _problem_section(study: TransferStudy) -> Section:
    """What could not be used."""
    if not study.problems:
        return Section("Problems")
    return Section("Problems", tables=[Table(problem_table(list(study.problems)), "problems.tsv")])
