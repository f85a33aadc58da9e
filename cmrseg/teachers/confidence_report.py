"""What is told of confidence sets, with figures that show what they stand for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from cmrseg.report.figures import blank_figure
from cmrseg.report.html import Picture, Section, Table
from cmrseg.report.write import Report, problem_section
from cmrseg.teachers.confidence import CANCELLATION_EF_POINTS, EXTREMES, Confidence

MEASURES = {
    "EF": ("true_LVEF", "true EF (%)"),
    "EDV": ("true_LVEDV", "true EDV (ml)"),
    "ESV": ("true_LVESV", "true ESV (ml)"),
}
SIGNIFICANT = 0.05
HEADROOM = 3.0
_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00")  # of Okabe and Ito
_OUTSIDE = "#AAAAAA"
_EXTREME_NAMES = {
    "EF_below_40": "EF below 40 %",
    "EF_above_70": "EF above 70 %",
    "EDV_below_100_ml": "EDV below 100 ml",
    "EDV_above_250_ml": "EDV above 250 ml",
}
_CANCELLED = {
    "Id": "Id", "set": "set", "ef_error": "EF error (points)", "dia_perc": "EDV error (%)",
    "sys_perc": "ESV error (%)", "predicted_LVEDV": "predicted EDV (ml)", "true_LVEDV": "true EDV (ml)",
}  # fmt: skip
_MAX_ROWS = 20


def confidence_report(found: Confidence, provenance: Mapping[str, object]) -> Report:
    """What is told of confidence sets: the sets, what they stand for, and errors that cancel."""
    sections = [
        _set_section(found),
        _representation_section(found),
        _cancellation_section(found),
        problem_section(found.problems, (), what="examination"),
    ]
    tables = {
        "confidence.tsv": found.table,
        "sets.csv": found.set_table,
        "members.csv": found.member_table,
        "cancellation.csv": found.cancellation,
        "representation.csv": found.representation,
    }
    return Report(
        "Confidence sets", sections, provenance, headline(found), tables=tables, problems=found.problems
    )


def headline(found: Confidence) -> str:
    """The sets in one sentence."""
    table = found.set_table
    known = table["images"].map(" ({} images)".format) if "images" in table else pd.Series("", table.index)
    sets = ", ".join(f"{row.exams} in {row.set}{known[row.Index]}" for row in table.itertuples())
    return f"Of {len(found.counted)} examinations {sets}."


def under_represented(table: pd.DataFrame) -> list[str]:
    """Sentences on the extremes that a set holds fewer of than chance explains.

    Parameters
    ----------
    table
        Of `cmrseg.teachers.confidence.representation`; its first row is of all.
    """
    everything, sentences = table.iloc[0], []
    for extreme in EXTREMES:
        share, probability = f"{extreme}_percent", f"p_{extreme}"
        few = table[(table[probability] < SIGNIFICANT) & (table.index > 0)]
        if not few.empty:
            parts = ", ".join(f"{s} {v:.1f} %" for s, v in zip(few["set"], few[share], strict=True))
            name = _EXTREME_NAMES[extreme]
            sentences.append(f"Fewer examinations with {name}: {parts}; all {everything[share]:.1f} %.")
    return sentences


def deviation_figure(found: Confidence) -> Figure:
    """Deviation at end-systole against that at end-diastole, the sets as squares.

    Both axes end at three times the largest threshold; how many examinations lie outside is said.

    Parameters
    ----------
    found
        What `cmrseg.teachers.confidence.confidence` found.

    References
    ----------
    Ankenbrand et al. (2020), doi:10.1101/2020.06.15.20131656, II.A.2.
    """
    figure = blank_figure(5.2, 5.4)
    ax = figure.subplots()
    limit = HEADROOM * max(found.thresholds)
    colours = _colours(found.sets)
    for part, colour in _layers(found):
        _scatter(ax, 100 * part["dia_perc"], 100 * part["sys_perc"], colour, total=len(found.counted))
    for colour, t in zip(colours.values(), found.thresholds, strict=True):
        ax.add_patch(Rectangle((-t, -t), 2 * t, 2 * t, fill=False, edgecolor=colour, lw=1.3, zorder=4))
    outside = (100 * found.counted[["dia_perc", "sys_perc"]].abs() > limit).any(axis=1).sum()
    for set_limit in (ax.set_xlim, ax.set_ylim):
        set_limit(-limit, limit)
    ax.set_aspect("equal")
    ax.set_title(f"n = {len(found.counted)}, of which {outside} lie outside the axes", fontsize=9)
    ax.set_xlabel("EDV, predicted - true (% of true)")
    ax.set_ylabel("ESV, predicted - true (% of true)")
    _legend(figure, _sized(found))
    return figure


def volume_figure(found: Confidence) -> Figure:
    """Predicted against true volumes, the borders of the sets as lines.

    An examination is of a set when both its points lie between the lines of the set.

    Parameters
    ----------
    found
        What `cmrseg.teachers.confidence.confidence` found.

    Returns
    -------
    Figure with one panel for EDV and one for ESV; the colour is that of the smallest set.
    """
    figure = blank_figure(8.6, 4.6)
    colours = _colours(found.sets)
    for ax, phase in zip(figure.subplots(1, 2), ("EDV", "ESV"), strict=True):
        true, predicted = f"true_LV{phase}", f"predicted_LV{phase}"
        end = 1.05 * found.counted[[true, predicted]].max(axis=None)
        for part, colour in _layers(found):
            _scatter(ax, part[true], part[predicted], colour, total=len(found.counted))
        for colour, t in zip(colours.values(), found.thresholds, strict=True):
            for slope in (1 - t / 100, 1 + t / 100):
                ax.axline((0, 0), slope=slope, color=colour, lw=1)
        ax.set(xlim=(0, end), ylim=(0, end), aspect="equal")
        ax.set(xlabel=f"true {phase} (ml)", ylabel=f"predicted {phase} (ml)")
    _legend(figure, {**_sized(found), "in no set": _OUTSIDE})
    return figure


def distribution_figure(found: Confidence) -> Figure:
    """Distributions of true EF and volumes in every set, against all examinations.

    Parameters
    ----------
    found
        What `cmrseg.teachers.confidence.confidence` found.

    Returns
    -------
    Figure with one panel per measure: the share of the examinations per bin, all in grey.
    """
    figure = blank_figure(8.6, 3.2)
    colours = _colours(found.sets)
    for ax, (column, label) in zip(figure.subplots(1, len(MEASURES)), MEASURES.values(), strict=True):
        values = found.counted[column]
        bins = _bins(values)
        ax.hist(values, bins, weights=_percent(values), color=_OUTSIDE, alpha=0.5)
        for name, part in found.sets.items():
            shares = _percent(part[column])
            ax.hist(part[column], bins, weights=shares, histtype="step", color=colours[name], lw=1.3)
        ax.set_xlabel(label)
    figure.axes[0].set_ylabel("examinations (%)")
    _legend(figure, {"all": _OUTSIDE, **colours})
    return figure


def _set_section(found: Confidence) -> Section:
    """Sets, and the deviations that they are made of."""
    text = [
        "Confidence is the larger of the relative deviations of the predicted from the true volume at "
        "end-diastole and end-systole; a set holds the examinations within its threshold.",
        *(f"{note[:1].upper()}{note[1:]}." for note in found.notes),
    ]
    caption = "Every point is an examination; a square holds those of its set."
    picture = Picture(deviation_figure(found), caption, "deviation")
    sets = found.set_table
    sets["share (%)"] = 100 * sets["exams"] / len(found.counted)
    for part in dict.fromkeys(found.counted["set"]):
        sets[f"of which {part or 'of no set'}"] = [(s["set"] == part).sum() for s in found.sets.values()]
    return Section("Sets", text, [Table(sets, "sets.csv (members.csv lists the examinations)")], [picture])


def _representation_section(found: Confidence) -> Section:
    """Whether the sets stand for all examinations."""
    table = found.representation
    text = [
        "KS is the largest distance between the cumulative distributions of a set and of all examinations "
        "(Kolmogorov-Smirnov statistic). p is the probability that a set of this size, drawn at random, "
        "holds as few examinations of an extreme, or fewer.",
        *(under_represented(table) or ["No set holds fewer extremes than chance explains (p < 0.05)."]),
    ]
    caption = "True EF and volumes: share of the examinations in each set (lines) and of all (grey)."
    picture = Picture(distribution_figure(found), caption, "distribution")
    ks = {f"ks_{measure}": f"KS {measure}" for measure in MEASURES}
    shares: dict[str, str] = {}
    for extreme, name in _EXTREME_NAMES.items():
        shares |= {f"{extreme}_percent": f"{name}, share (%)", f"p_{extreme}": f"{name}, p"}
    tables = [
        Table(table[["set", "exams", *names]].rename(columns=names), caption)
        for names, caption in ((ks, "Distance from all examinations"), (shares, "Extremes"))
    ]
    return Section("What the sets stand for", text, tables, [picture])


def _cancellation_section(found: Confidence) -> Section:
    """Examinations whose EF is right for the wrong reason."""
    table, limit = found.cancellation, max(found.thresholds)
    text = (
        f"{len(table)} examination(s) have an EF within {CANCELLATION_EF_POINTS:g} points of the truth "
        f"although both volumes deviate by more than {limit:g} %: the errors cancel. A right EF alone "
        "does not vouch for labels."
    )
    if table.empty:
        return Section("Right EF from wrong volumes", [text])
    worst = table.sort_values("confidence", ascending=False, kind="stable")[list(_CANCELLED)]
    percent = worst[["dia_perc", "sys_perc"]].mul(100).set_axis(list(_CANCELLED.values())[3:5], axis=1)
    shown = worst.rename(columns=_CANCELLED).assign(**percent).head(_MAX_ROWS)
    caption = f"cancellation.csv, the {len(shown)} that deviate most"
    return Section("Right EF from wrong volumes", [text], [Table(shown, caption)])


def _colours(sets: Iterable[str]) -> dict[str, str]:
    """One colour per set."""
    return dict(zip(sets, cycle(_COLOURS)))


def _bins(values: pd.Series) -> np.ndarray:
    """Edges of the bins of a histogram, more for more examinations, where all values are nearly equal too."""
    low, high = values.min(), values.max()
    if high - low < 1e-6 * max(1.0, abs(high)):  # rounding alone tells them apart
        return np.array([low - 0.5, high + 0.5])
    return np.linspace(low, high, int(np.ceil(2 * len(values) ** (1 / 3))) + 1)  # Rice's rule


def _percent(values: pd.Series) -> np.ndarray:
    """Weights that make a histogram add up to 100."""
    return np.full(len(values), 100 / max(1, len(values)))


def _layers(found: Confidence) -> list[tuple[pd.DataFrame, str]]:
    """Examinations and their colour, the smallest set last: it lies on top."""
    colours = _colours(found.sets)
    return [(found.counted, _OUTSIDE), *((found.sets[name], colours[name]) for name in reversed(found.sets))]


def _sized(found: Confidence) -> dict[str, str]:
    """Colours of the sets by name and size."""
    return {f"{name}: {len(found.sets[name])}": colour for name, colour in _colours(found.sets).items()}


def _scatter(ax: Axes, x: pd.Series, y: pd.Series, colour: str, *, total: int) -> None:
    """Points that are larger where there are few."""
    ax.scatter(x, y, s=np.clip(3000 / max(1, total), 7, 24), color=colour, linewidths=0)


def _legend(figure: Figure, colours: Mapping[str, str]) -> None:
    """What the colours mean, below the panels."""
    handles = [Line2D([], [], color=colour, lw=3, label=name) for name, colour in colours.items()]
    figure.legend(handles=handles, fontsize=8, frameon=False, loc="outside lower center", ncols=len(handles))
