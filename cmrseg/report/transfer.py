"""The files of `cmrseg study subsets`: what transfer gains, and how many subjects to contour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cmrseg.data.subsets import ESED, FULL
from cmrseg.evaluation import evaluate_masks
from cmrseg.io.atomic import write_table, write_text
from cmrseg.problems import problem_table
from cmrseg.report.curves import curve_section, run_section
from cmrseg.report.evaluation import software, write_figure
from cmrseg.report.html import MISSING, Picture, Section, Table, render_report
from cmrseg.report.planning import START_NAMES, planning_figure
from cmrseg.report.predictions import pick_by_dice, prediction_figure
from cmrseg.studies.curves import is_random, read_training_log, run_table, with_smoothed
from cmrseg.studies.planning import (
    BASE,
    MEAN,
    READER,
    gain_table,
    is_whole,
    ordered_starts,
    planning_table,
    reader_table,
)
from cmrseg.studies.recommendation import WITHIN, Recommendation, recommendation
from cmrseg.studies.transfer import LOG_FILE, TransferStudy, transfer_study
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
        ``curves.csv``, ``planning.png``, ``fig5.png``, ``fig6.png``, ``fig6_raw.png`` and ``report.html``,
        and with a second reader ``reader.csv``.
    within
        Tolerated loss of the mean Dice, see `cmrseg.studies.recommendation.recommendation`.
    settings
        Further parameters of `transfer_study`.
    """
    setup = setup or TransferSetup()
    study = transfer_study(data, out, setup=setup, **settings)
    report = StudyReport(study, planning_table(study.scores), recommendation(study.scores, within=within))
    write_study_report(report, out, {"data": data, **_told(setup), "within": within})
    return report


def write_study_report(report: StudyReport, out: Path, settings: Mapping[str, object]) -> Path:
    """Write the tables, figures and the page of a study; the page tells the settings."""
    study = report.study
    gains = gain_table(study.scores)
    reader = None if study.reader is None else reader_table(study.reader)
    log = with_smoothed(read_training_log(out / LOG_FILE))
    runs = run_table(log)
    _write_tables(out, planning=report.table, gain=gains, reader=reader, runs=runs, curves=log)
    sections = [
        _planning_section(report.table, reader),
        _dice_section(report.table, reader),
        _gain_section(gains),
        _prediction_section(study, out),
        curve_section(log),
        run_section(runs),
        _problem_section(study),
    ]
    for picture in (picture for section in sections for picture in section.pictures):
        write_figure(picture.figure, out / f"{picture.name}.png")
    title, told = "Transfer-learning study", {**settings, **software()}
    page = render_report(title, sections, provenance=told, summary=report.answer.text)
    return write_text(page, out / "report.html")


def _write_tables(out: Path, **tables: pd.DataFrame | None) -> None:
    """Write tables by their names, and remove those that an earlier call left and that are no more."""
    for name, table in tables.items():
        if table is None:
            (out / f"{name}.csv").unlink(missing_ok=True)
        else:
            write_table(table, out / f"{name}.csv")


def dice_table(table: pd.DataFrame) -> pd.DataFrame:
    """The planning table as a reader wants it: one row per start and training set.

    Parameters
    ----------
    table
        From `cmrseg.studies.planning.planning_table`.

    Returns
    -------
    Columns start, training set, one per structure (expected Dice) and mean (95 % CI) as text.
    """
    structures = [name for name in table["structure"].unique() if name != MEAN]
    rows = []
    for _, part in table.groupby(["start", "subset"], sort=False):
        row = part.set_index("structure").loc[MEAN]
        dice = part.set_index("structure")["mean"].reindex(structures)
        rows.append((row["start"], _training_set(row), *dice, _with_interval(row, "mean")))
    return pd.DataFrame(rows, columns=["start", "training set", *structures, "mean (95 % CI)"])


def _training_set(row: pd.Series) -> str:
    """What was contoured, in words."""
    if row["start"] in (BASE, READER):
        return MISSING
    if is_whole(row["subset"]):
        subjects = "1 subject" if row["subjects"] == 1 else f"{row['subjects']} subjects"
        return f"all {subjects}" if row["subset"] == FULL else subjects
    if is_random(row["subset"]):
        return f"{row['images']} random images"
    return f"{row['images']} images: {'ED and ES' if row['subset'] == ESED else row['subset']}"


def _with_interval(row: pd.Series, name: str) -> str:
    """An estimate with its interval; with one test subject there is none."""
    if pd.isna(row["low"]):
        return f"{row[name]:.3f}"
    return f"{row[name]:.3f} ({row['low']:.3f} to {row['high']:.3f})"


def _told(setup: TransferSetup) -> dict[str, object]:
    """What a study was given, as far as something was."""
    given = {**vars(setup), **vars(setup.options)}
    del given["options"]
    given = {k: ", ".join(map(str, v)) if isinstance(v, tuple) else v for k, v in given.items()}
    return {key: value for key, value in given.items() if value is not None}


def _planning_section(table: pd.DataFrame, reader: pd.DataFrame | None) -> Section:
    """Dice against the number of contoured subjects."""
    names = [START_NAMES[start] for start in ordered_starts(table["start"]) if start != BASE]
    text = (
        f"Every start ({'; '.join(names)}) is trained on all training subjects and on some of these, until "
        "all have seen as many images; then all segment the same test subjects, and so does the base model "
        "as it is (base)."
    )
    caption = (
        "Dice of the test subjects (mean per volume) against the number of contoured training subjects; bars "
        "are 95 % bootstrap intervals over the test subjects."
    )
    if (table["n_seeds"] > 1).any():
        caption += " Small open markers are the lowest and the highest seed."
    if reader is not None:
        caption += " The grey band is a second reader against the same truth."
    picture = Picture(planning_figure(table, reader), caption, "planning")
    return Section("How many subjects to contour", [text], pictures=[picture])


def _dice_section(table: pd.DataFrame, reader: pd.DataFrame | None) -> Section:
    """The same and the other training sets in numbers."""
    shown = table if reader is None else pd.concat([table, reader])
    text = "Expected Dice, and its mean over the structures with the 95 % interval over the test subjects."
    return Section("Dice of the test subjects", [text], [Table(dice_table(shown), "More in planning.csv")])


def _gain_section(gains: pd.DataFrame) -> Section:
    """What transfer gains."""
    if gains.empty:
        return Section("What transfer gains")
    rows = gains[gains["structure"] == MEAN]
    shown = pd.DataFrame(
        {
            "start": rows["start"],
            "over": rows["over"],
            "training set": [_training_set(row) for _, row in rows.iterrows()],
            "gain (95 % CI)": [_with_interval(row, "gain") for _, row in rows.iterrows()],
        }
    )
    text = (
        "Dice (mean over structures) above that of another start with the same training set, paired over the "
        "test subjects; an interval above 0 is a clear gain."
    )
    return Section("What transfer gains", [text], [Table(shown, "Each structure in gain.csv")])


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
