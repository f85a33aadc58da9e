"""What is told of a search for ensembles."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from cmrseg.evaluation.indices import paper_table
from cmrseg.evaluation.indices_report import significance
from cmrseg.experiments.ensembles import AVERAGE, OPTIMAL, STAR, EnsembleStudy
from cmrseg.metrics.index_errors import GROUPS, PHASE, UNITS
from cmrseg.report.figures import blank_figure
from cmrseg.report.html import Picture, Section, Table
from cmrseg.report.write import Report

_TABLE = (
    f"{AVERAGE} is the mean of all configurations, {OPTIMAL} that of the subset with the least error, of "
    "every group its own. Their errors are those of the subjects that chose: too good. Rows with a star "
    "are chosen by one half of the subjects of every fold and measured on the other."
)
_SIZES = "Least error that so many members can have, on the subjects that chose them."
_TESTS = (
    "Optimal minus average: negative, choosing is better. The interval is over subjects; p of Wilcoxon's "
    "signed-rank test over images, as in the paper, and over the means of subjects, which counts."
)


def ensembles_report(found: EnsembleStudy, provenance: Mapping[str, object]) -> Report:
    """What is told of ensembles: table 1, who is in them, tests, and the error by number of members."""
    table, tests = paper_table(found.evaluation.errors), found.evaluation.tests
    sections = [
        Section("Errors", [_TABLE, *found.notes], [Table(table, "Table 1")]),
        Section("Members", tables=[Table(members_in_words(found.members), "Members of the best ensembles")]),
        Section("Does choosing help?", [_TESTS], [Table(tests.round(4), "Tests")]),
        Section("How many?", pictures=[Picture(_figure(found.sizes), _SIZES, "members")]),
    ]
    tables = {
        "table1.csv": table, "errors.csv": found.evaluation.errors, "tests.csv": tests,
        "members.csv": found.members, "sizes.csv": found.sizes,
    }  # fmt: skip
    starred = tests[tests["first"] == f"{AVERAGE}{STAR}"]
    summary = f"On subjects that did not choose: {significance(starred)}" if len(starred) else ""
    return Report("Ensembles", sections, provenance, summary, tables, ())


def members_in_words(members: pd.DataFrame) -> pd.DataFrame:
    """A row per ensemble and group, with its members in one cell."""
    grouped = members.groupby(["ensemble", "group"], sort=False)["method"]
    return grouped.agg([("members", "size"), ("methods", ", ".join)]).reset_index()


def _figure(sizes: pd.DataFrame) -> Figure:
    """Least error against the number of members, a panel per group."""
    groups = [group for group in (*GROUPS, PHASE) if group in set(sizes["group"])]
    figure = blank_figure(3.2 * len(groups), 2.8)
    for ax, group in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups, strict=True):
        part = sizes[sizes["group"] == group]
        share = 100 if group == PHASE else 1
        ax.plot(part["members"], part["error"] * share, "o-", ms=3)
        ax.set_ylim(bottom=0)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set(
            xlabel="members",
            ylabel=f"{'error rate' if group == PHASE else 'MAE'} ({UNITS[group]})",
            title=group,
        )
    return figure
