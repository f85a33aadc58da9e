"""The files of `cmrseg evaluate ef`: Table II and Fig. 1 of the paper from tables of pixel counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cmrseg.evaluation.ef import EfEvaluation, evaluate_ef
from cmrseg.report.boxes import error_figure, short_names
from cmrseg.report.evaluation import problem_section, write_page, write_tables
from cmrseg.report.figures import bland_altman_figure
from cmrseg.report.html import Picture, Section, Table

TABLE_COLUMNS = ("method", "mean", "sd", "median", "iqr", "n", "no LV")
AGREEMENT = "bland_altman_EF"
FIGURE_CAPTION = (
    "Absolute difference of predicted and true EF; the dashed line is the lowest median. The axis is "
    "restricted, what lies above it is counted at the top."
)


def evaluate_ef_to(
    counts: Sequence[Path],
    truth: Path,
    out: Path,
    *,
    rotated: bool = False,
    dimensions: Path | None = None,
    sort: str = "mean",
) -> EfEvaluation:
    """Evaluate ejection fractions and write all files of the evaluation.

    Parameters
    ----------
    counts, truth, rotated, dimensions, sort
        See `cmrseg.evaluation.ef.evaluate_ef`.
    out
        Folder for ``ef.csv``, ``summary.csv``, ``problems.tsv`` (only if there are any),
        ``figures/*.png`` and ``report.html``.

    Returns
    -------
    What was found.

    Raises
    ------
    DataError
        As `cmrseg.evaluation.ef.evaluate_ef`.
    """
    found = evaluate_ef(counts, truth, rotated=rotated, dimensions=dimensions, sort=sort)
    write_tables({"ef.csv": found.examinations, "summary.csv": found.summary}, found.problems, out)
    sections = [
        _error_section(found, rotated),
        _agreement_section(found),
        problem_section(found.problems, _studies(found), what="examination"),
    ]
    provenance = {
        "counts": ", ".join(map(str, counts)),
        "truth": truth,
        "rotated": rotated,
        "dimensions": dimensions,
    }
    title = "Ejection fraction against true volumes"
    write_page(title, sections, out, provenance=provenance, summary=_headline(found))
    _forget_others(sections, out / "figures")
    return found


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
        "End-diastole and end-systole are the frames of the largest and the smallest predicted LV. Errors "
        f"are in percentage points of EF. {which} An examination without "
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


def _forget_others(sections: Sequence[Section], figures: Path) -> None:
    """Remove the Bland-Altman plots of an earlier run with more methods."""
    drawn = {picture.name for section in sections for picture in section.pictures}
    for file in figures.glob(f"{AGREEMENT}_*.png"):
        if file.stem not in drawn:
            file.unlink()


def _studies(found: EfEvaluation) -> tuple[str, ...]:
    """What could not be evaluated, each once."""
    return tuple(sorted({problem.study for problem in found.problems}))


def _headline(found: EfEvaluation) -> str:
    """The paragraph for a reader in a hurry."""
    best = table_two(found).iloc[0]
    error = f"{best['mean']:.2f} ± {best['sd']:.2f} points (n = {best['n']})"
    return f"Best of {len(found.methods)} method(s): {best['method']}, absolute EF error {error}."
