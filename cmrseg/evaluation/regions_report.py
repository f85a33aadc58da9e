"""What is told of the regions of a heart: base, middle and apex."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from cmrseg.evaluation.regions import ENDS, RegionEvaluation, interpolated
from cmrseg.metrics.regions import MIDDLE, REGIONS
from cmrseg.report.figures import blank_figure
from cmrseg.report.html import Picture, Section, Table
from cmrseg.report.write import Report, problem_section

METHOD_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
_RULE = (
    "Slices whose truth shows a heart are base, middle and apex by where their centre lies: the first 20 %, "
    "60 % and the last 20 %, frame by frame; the base is the end where the heart is larger."
)
_TABLE1 = (
    "Mean (and sd) of the Dice of slices in %. A star marks p < 0.01 of Welch's t test against the middle. A "
    "structure that is absent from truth and prediction counts as 1, as in the paper; without such "
    "slices the second table. Slices of one heart are not independent: the gap to the middle has a 95 % "
    "interval over subjects in table1.csv."
)
_TABLE3 = (
    "Difference of the mean (and of the sd) from the first method, in points; positive is better: a higher "
    "mean, a lower sd. A star marks p < 0.01 of the paired t test; the interval is over subjects."
)
_FUNCTION = "Mean error (predicted minus true) and mean absolute error over the subjects with ED and ES."
_VOLUMES = (
    "Mean error that a region alone causes: its slices as predicted, all others true. non-cardiac are slices "
    "without a contour, in which a mask is too much."
)


def regions_report(found: RegionEvaluation, provenance: Mapping[str, object]) -> Report:
    """What is told of base, middle and apex: Tables 1 and 3, the curve between them, what a region costs."""
    curves = interpolated(found.slices)
    sections = [
        Section("Dice by region", [_RULE, _TABLE1], _region_tables(found.table1)),
        Section("From base to apex", pictures=[_curve_picture(curves)]),
        *_gain_sections(found.table3),
        Section("EDV, ESV and EF", [_FUNCTION], [Table(found.function.round(2), "Errors")]),
        Section("What a region costs", [_VOLUMES], [Table(found.volumes.round(2), "Volumes and EF")]),
        problem_section(found.problems, [p.study for p in found.problems], what="subject"),
    ]
    tables = {"slices.csv": found.slices, "table1.csv": found.table1, "volumes.csv": found.volumes}
    tables["function.csv"] = found.function
    tables |= {"curves.csv": curves} | ({} if found.table3.empty else {"table3.csv": found.table3})
    summary = _headline(found.table1)
    return Report("Base, middle, apex", sections, provenance, summary, tables, found.problems)


def paper_table(table: pd.DataFrame, columns: tuple[str, str] = ("mean", "sd")) -> pd.DataFrame:
    """Table 1 in the paper's layout: a row per method and structure, a column per region.

    Parameters
    ----------
    table
        `RegionEvaluation.table1`.
    columns
        Names of the mean and its sd.
    """
    mean, sd = columns
    star = table["star"] if mean == "mean" else ""
    said = table[mean].map("{:.2f}".format) + star + table[sd].map(" ({:.2f})".format)
    wide = table.assign(said=said).pivot_table(
        index=["method", "structure"], columns="region", values="said", aggfunc="first", sort=False
    )
    return wide.reindex(columns=list(REGIONS)).reset_index()


def gains_in_paper(table: pd.DataFrame) -> pd.DataFrame:
    """Table 3 in the paper's layout: base and apex, with the interval over subjects."""
    said = (
        table["mean"].map("{:+.2f}".format)
        + table["star"]
        + table["sd"].map(" ({:+.2f})".format)
        + [f" [{low:+.2f}, {high:+.2f}]" for low, high in zip(table["low"], table["high"], strict=True)]
    )
    wide = table.assign(said=said).pivot_table(
        index=["method", "structure"], columns="region", values="said", aggfunc="first", sort=False
    )
    return wide.reindex(columns=[ENDS[0], MIDDLE, ENDS[1]]).reset_index()


def _region_tables(table: pd.DataFrame) -> list[Table]:
    """Table 1 as published, and without slices that lack a structure in truth and prediction."""
    return [
        Table(paper_table(table), "Table 1"),
        Table(paper_table(table, ("mean_present", "sd_present")), "Without slices that lack the structure"),
    ]


def _gain_sections(table: pd.DataFrame) -> list[Section]:
    """Table 3 where there is something to compare."""
    return [] if table.empty else [Section("Gains", [_TABLE3], [Table(gains_in_paper(table), "Table 3")])]


def _curve_picture(curves: pd.DataFrame) -> Picture:
    text = "Dice from base (0) to apex (100), interpolated to 101 points; mean and one sd over volumes."
    return Picture(curve_figure(curves), text, "regions")


def curve_figure(curves: pd.DataFrame) -> Figure:
    """Dice from base to apex: a panel per structure, a colour per method, a band of one sd.

    Parameters
    ----------
    curves
        From `cmrseg.evaluation.regions.interpolated`.
    """
    structures = list(curves["structure"].unique())
    figure = blank_figure(1.2 + 3.1 * len(structures), 3.6)
    axes = figure.subplots(1, len(structures), sharey=True, squeeze=False)[0]
    methods = list(curves["method"].unique())
    for ax, structure in zip(axes, structures, strict=True):
        for number, method in enumerate(methods):
            part = curves[(curves["structure"] == structure) & (curves["method"] == method)]
            colour = METHOD_COLOURS[number % len(METHOD_COLOURS)]
            ax.plot(part["percent"], part["mean"], color=colour, label=method)
            low, high = (part["mean"] - part["sd"]).clip(0), (part["mean"] + part["sd"]).clip(upper=100)
            ax.fill_between(part["percent"], low, high, color=colour, alpha=0.15, lw=0)
        ax.set(title=structure, xlabel="base to apex (%)", xlim=(0, 100), ylim=(0, 100))
    axes[0].set_ylabel("Dice (%)")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, fontsize=8, frameon=False, loc="outside upper right", ncols=len(names))
    return figure


def _headline(table: pd.DataFrame) -> str:
    """The paragraph for a reader in a hurry."""
    first = table[table["method"] == table["method"].iloc[0]]
    said = [
        f"{structure} "
        + " / ".join(f"{mean:.1f}{star}" for mean, star in zip(p["mean"], p["star"], strict=True))
        for structure, p in first.groupby("structure", sort=False)
    ]
    return f"Dice at base / middle / apex (%), {first['method'].iloc[0]}: {', '.join(said)}."
