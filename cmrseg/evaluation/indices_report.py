"""What is told of predicted indices of the left ventricle."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cmrseg.evaluation.indices import MEAN, SIGNIFICANT, IndexEvaluation, paper_table
from cmrseg.metrics.index_errors import GROUPS, UNITS
from cmrseg.report.figures import blank_figure
from cmrseg.report.html import Picture, Section, Table
from cmrseg.report.write import Report, problem_section

_TABLE = (
    "Mean absolute error ± SD over the images, of whose indices the errors of a group are averaged first, "
    "and Pearson's correlation, mean over the indices of a group; the phase counts as wrong where its "
    "rounded value is. errors.csv has every index, the SD averaged over indices (sd_by_index), and the "
    "correlation of all values of a group at once (pcc_pooled), the other ways that are in use."
)
_MEAN = f"'{MEAN}' answers the same to every image: what knowing nothing costs."
_TESTS = (
    "Second minus first method: negative, the second is better. The interval is over subjects. p of "
    "Wilcoxon's signed-rank test over images, as the paper tests, and over the means of subjects, whose "
    "images are not independent: the latter counts."
)


def indices_report(found: IndexEvaluation, provenance: Mapping[str, object]) -> Report:
    """What is told of indices: table 1, differences between methods, and true against predicted values."""
    tests = [Section("Differences", [_TESTS], [Table(found.tests.round(4), "Tests")])]
    sections = [
        Section("Errors", [_TABLE, _MEAN], [Table(paper_table(found.errors), "Table 1")]),
        *(tests if len(found.tests) else []),
        Section("Predicted and true", pictures=[_picture(found.values)]),
        problem_section(found.problems, [p.study for p in found.problems], what="subject"),
    ]
    tables = {"errors.csv": found.errors, "images.csv": found.images, "values.csv": found.values}
    tables |= {"tests.csv": found.tests if len(found.tests) else None}
    summary = " ".join(filter(None, [_headline(found.errors), significance(found.tests)]))
    return Report("Indices of the left ventricle", sections, provenance, summary, tables, found.problems)


def significance(tests: pd.DataFrame) -> str:
    """Which differences are significant over subjects."""
    sure = tests[tests["p_subjects"] < SIGNIFICANT]
    if tests.empty:
        return ""
    better = sure["second"].where(sure["difference"] < 0, sure["first"])
    rows = zip(better, sure["group"], sure["p_subjects"], strict=True)
    said = [f"{name} is better in {group} (p = {p:.2g})" for name, group, p in rows]
    return f"Over subjects, {'; '.join(said)}." if said else "No difference is significant over subjects."


def _headline(errors: pd.DataFrame) -> str:
    """Errors of the first method."""
    first = errors[errors["method"] == errors["method"].iloc[0]].set_index("name")
    said = [
        f"{group} {first.loc[group, 'mae']:.1f} {UNITS[group]}" for group in GROUPS if group in first.index
    ]
    return f"{first['method'].iloc[0]}: mean absolute error of {', '.join(said)}." if said else ""


def _picture(values: pd.DataFrame) -> Picture:
    """Predicted against true values of one index of every group."""
    caption = "Predicted against true values of all indices of a group; the line is equality."
    return Picture(_figure(values), caption, "indices")


def _figure(values: pd.DataFrame) -> Figure:
    """A panel per group, a colour per method."""
    figure = blank_figure(10, 3.4)
    axes = figure.subplots(1, len(GROUPS))
    methods = [name for name in values["method"].unique() if name != MEAN]
    for ax, (group, names) in zip(axes, GROUPS.items(), strict=True):
        shown = [name for name in names if name in values and f"{name}_true" in values]
        for number, method in enumerate(methods):
            part = values[values["method"] == method]
            true, predicted = (part[[f"{n}{end}" for n in shown]].to_numpy().ravel() for end in ("_true", ""))
            ax.plot(true, predicted, ".", ms=3, alpha=0.5, color=f"C{number}", label=method)
        true = values[[f"{name}_true" for name in shown]].to_numpy(float)
        ends = [np.nanmin(true), np.nanmax(true)] if true.size else [0, 1]
        ax.plot(ends, ends, color="0.4", lw=0.8)
        ax.set(xlabel=f"true {group} ({UNITS[group]})", ylabel="predicted")
    axes[0].legend(fontsize=7, markerscale=3)
    return figure
