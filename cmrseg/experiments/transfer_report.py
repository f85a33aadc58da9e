"""What is told of a study of transfer learning: what transfer gains, and how many subjects to contour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cmrseg.data.subsets import ESED, FULL
from cmrseg.experiments.curves import is_random, run_table
from cmrseg.experiments.curves_report import curve_section, run_section
from cmrseg.experiments.planning import (
    BASE,
    MEAN,
    READER,
    gain_table,
    is_whole,
    ordered_starts,
    reader_table,
)
from cmrseg.experiments.planning_figure import START_NAMES, planning_figure
from cmrseg.experiments.predictions import pick_by_dice, prediction_figure
from cmrseg.experiments.recommendation import Recommendation
from cmrseg.experiments.transfer import TransferExperiment
from cmrseg.experiments.transfer_plan import TransferSetup
from cmrseg.problems import problem_table
from cmrseg.report.html import MISSING, Picture, Section, Table
from cmrseg.report.write import Report


@dataclass(frozen=True)
class TransferAnswer:
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

    study: TransferExperiment
    table: pd.DataFrame
    answer: Recommendation


def transfer_report(
    found: TransferAnswer, log: pd.DataFrame, out: Path, provenance: Mapping[str, object]
) -> Report:
    """What is told of a study of transfer learning.

    Parameters
    ----------
    found
        Runs, scores and the answer.
    log
        Combined log of the runs, smoothed.
    out
        Folder of the study, with the predictions.
    provenance
        Data and settings.
    """
    study, runs = found.study, run_table(log)
    gains = gain_table(study.scores)
    reader = None if study.reader is None else reader_table(study.reader)
    sections = [
        _planning_section(found.table, reader),
        _dice_section(found.table, reader),
        _gain_section(gains),
        _prediction_section(study, out),
        curve_section(log),
        run_section(runs),
        _problem_section(study),
    ]
    tables = {
        "planning.csv": found.table,
        "gain.csv": gains,
        "reader.csv": reader,
        "runs.csv": runs,
        "curves.csv": log,
    }
    return Report(
        "Transfer-learning study", sections, provenance, found.answer.text, tables=tables, figures="."
    )


def dice_table(table: pd.DataFrame, *, per_image: bool = False) -> pd.DataFrame:
    """The planning table as a reader wants it: one row per start and training set.

    Parameters
    ----------
    table
        From `cmrseg.experiments.planning.planning_table`.
    per_image
        Whether all images count alike, as published, instead of volumes of subjects.

    Returns
    -------
    Columns start, training set, one per structure (expected Dice), and mean (95 % CI) as text; per image the
    mean has no interval.
    """
    structures = [name for name in table["structure"].unique() if name != MEAN]
    rows = []
    for _, part in table.groupby(["start", "subset"], sort=False):
        row = part.set_index("structure").loc[MEAN]
        dice = part.set_index("structure")["dice_image" if per_image else "mean"].reindex(structures)
        mean = row["dice_image"] if per_image else _with_interval(row, "mean")
        rows.append((row["start"], _training_set(row), *dice, mean))
    mean_name = "mean" if per_image else "mean (95 % CI)"
    return pd.DataFrame(rows, columns=["start", "training set", *structures, mean_name])


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


def said_of(setup: TransferSetup) -> dict[str, object]:
    """What a study was given, as far as something was."""
    given = {**vars(setup), **setup.options.said()}
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
    tables = [Table(dice_table(shown), "Per volume, mean of the subjects; more in planning.csv")]
    if shown["dice_image"].notna().any():
        caption = "Per 2D image, all images alike, absent from both masks as 1 (as published)"
        tables.append(Table(dice_table(shown, per_image=True), caption))
    return Section("Dice of the test subjects", [text], tables)


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


def _prediction_section(study: TransferExperiment, out: Path) -> Section:
    """Fig. 5: the same test images as every start segments them, trained on all subjects."""
    folders = {run.start: run.folder for run in reversed(study.done) if run.subset == FULL}
    folders[BASE] = out / BASE
    starts = ordered_starts(pd.Series(list(folders)))
    found = {start: study.evaluation(folders[start]) for start in starts}
    examples = pick_by_dice(found, by=starts[-1])
    if not examples[BASE]:
        return Section("Predictions")
    caption = (
        f"Mid-ventricular test images with high, middle and low Dice of {starts[-1]}, as the models of the "
        "first seed segment them that were trained on all subjects."
    )
    return Section("Predictions", pictures=[Picture(prediction_figure(examples), caption, "fig5")])


def _problem_section(study: TransferExperiment) -> Section:
    """What could not be used."""
    if not study.problems:
        return Section("Problems")
    return Section("Problems", tables=[Table(problem_table(list(study.problems)), "problems.tsv")])
