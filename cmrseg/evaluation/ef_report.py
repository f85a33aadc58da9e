"""What is told of ejection fractions: Table II and Fig. 1 of the paper from pixel counts or volumes."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from cmrseg.evaluation.ef import EfEvaluation
from cmrseg.report.boxes import error_figure, short_names
from cmrseg.report.figures import bland_altman_figure
from cmrseg.report.html import Picture, Section, Table
from cmrseg.report.write import Report, problem_section

TABLE_COLUMNS = ("method", "mean", "sd", "median", "iqr", "n", "no LV")
AGREEMENT = "bland_altman_EF"
FIGURE_CAPTION = (
    "Absolute difference of predicted and true EF; the dashed line is the lowest median. The axis is "
    "restricted, what lies above it is counted at the top."
)


def ef_report(found: EfEvaluation, *, rotated: bool, provenance: Mapping[str, object]) -> Report:
    """What is told of ejection fractions: Table II, Fig. 1, agreement.

    Parameters
    ----------
    found
        What was found.
    rotated
        Whether only originals count that have a rotated version.
    provenance
        What was evaluated.
    """
    sections = [
        _error_section(found, rotated),
        _agreement_section(found),
        problem_section(found.problems, _studies(found), what="examination"),
    ]
    return Report(
        "Ejection fraction against true volumes",
        sections,
        provenance,
        _headline(found),
        tables={"ef.csv": found.examinations, "summary.csv": found.summary},
        problems=found.problems,
        forget=(f"{AGREEMENT}_*",),
    )


def table_two(found: EfEvaluation) -> pd.DataFrame:
    """Table II: statistics of the absolute EF error in points, the best method first.

    Parameters
    ----------
    found
        An evaluation.

    Returns
    -------
    Columns method, mean, sd, median, iqr, n, and no LV: the number of examinations without any predicted
    LV, which count as 100 points.

    References
    ----------
    Ankenbrand et al. (2020), doi:10.1101/2020.06.15.20131656, Table II.
    """
    rows = found.summary[found.summary["metric"] == "ef_abs_error"].rename(columns={"group": "method"})
    return rows.assign(**{"no LV": rows["method"].map(found.without_lv)})[list(TABLE_COLUMNS)]


def _error_section(found: EfEvaluation, rotated: bool) -> Section:
    """Table II and Fig. 1."""
    which = (
        "Evaluated are the originals that have a rotated version (_rot90)."
        if rotated
        else "The rotated version of an examination (_rot90) replaces its original."
    )
    text = [
        "Of pixel counts, end-diastole and end-systole are the frames of the largest and the smallest LV. "
        f"Errors are in percentage points of EF. {which} An examination without "
        "any predicted LV counts as 100 points.",
        *(f"{note[:1].upper()}{note[1:]}." for note in found.notes),
    ]
    names = short_names(found.methods)
    figure = error_figure(
        {names[m]: found.errors(m) for m in found.methods}, label="|predicted - true EF| (points)"
    )
    table = table_two(found)
    statistics = ["mean", "sd", "median", "iqr"]
    table[statistics] = table[statistics].map("{:.2f}".format)
    others = found.summary[found.summary["metric"] != "ef_abs_error"].drop(columns="structure")
    tables = [
        Table(table, "Absolute EF error in points (Table II)"),
        Table(others, "Signed errors, predicted minus true"),
    ]
    return Section("EF errors", text, tables, [Picture(figure, FIGURE_CAPTION, "ef_error")])


def _agreement_section(found: EfEvaluation) -> Section:
    """Bland-Altman plot of every method."""
    pictures, names = [], short_names(found.methods)
    for number, method in enumerate(found.methods, start=1):
        part = found.examinations[found.examinations["method"] == method]
        figure = bland_altman_figure(part["EF_percent"], part["true_EF_percent"], name="EF", unit="%")
        caption = f"Bland-Altman plot of EF, {names[method]}."
        pictures.append(Picture(figure, caption, f"{AGREEMENT}_{number}"))
    return Section("Agreement", pictures=pictures)


def _studies(found: EfEvaluation) -> tuple[str, ...]:
    """What could not be evaluated, each once."""
    return tuple(sorted({problem.study for problem in found.problems}))


def _headline(found: EfEvaluation) -> str:
    """The paragraph for a reader in a hurry."""
    best = table_two(found).iloc[0]
    error = f"{best['mean']:.2f} ± {best['sd']:.2f} points (n = {best['n']})"
    return f"Best of {len(found.methods)} method(s): {best['method']}, absolute EF error {error}."
