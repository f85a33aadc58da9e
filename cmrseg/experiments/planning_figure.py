"""The planning figure: Dice against the number of contoured subjects, for every start."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cmrseg.experiments.planning import BASE, is_whole, ordered_starts
from cmrseg.labels import STRUCTURES
from cmrseg.report.figures import GREY, blank_figure

# Okabe and Ito's colours that no structure has, each with a marker for readers who see no colours.
START_STYLES = {"R": ("#0072B2", "s"), "TL": ("#E69F00", "^"), "TL2": ("#CC79A7", "o"), BASE: ("black", "D")}
START_NAMES = {
    BASE: "base model as it is",
    "R": "R: random weights",
    "TL": "TL: ImageNet weights",
    "TL2": "TL2: base model, fine-tuned",
}
_BAND = "#999999"
_DODGE, _BESIDE = 0.2, 0.09
_ROOM = 0.03


def planning_figure(table: pd.DataFrame, reader: pd.DataFrame | None = None) -> Figure:
    """Dice against the number of contoured subjects: one panel per structure, one line per start.

    Parameters
    ----------
    table
        Of `cmrseg.experiments.planning.planning_table`; sets of whole subjects and the base model are drawn.
    reader
        From `cmrseg.experiments.planning.reader_table`: a second reader's Dice, drawn as a band.

    Returns
    -------
    Figure; bars are 95 % intervals over test subjects, small open markers the lowest and the highest seed.
    The numbers of subjects stand at equal distances, so that 1 and 3 can be told apart beside 12.

    Raises
    ------
    ValueError
        If the table holds no set of whole subjects.
    """
    shown = table[(table["start"] == BASE) | table["subset"].map(is_whole)]
    if shown["subset"].map(is_whole).sum() == 0:
        raise ValueError("table must hold at least one set of whole subjects (full, v6, ...), got none")
    structures = [s.name for s in STRUCTURES if s.name in set(shown["structure"])]
    places = {n: i for i, n in enumerate(sorted(set(shown["subjects"])))}
    figure = blank_figure(1.0 + 2.2 * len(structures), 3.4)
    axes = figure.subplots(1, len(structures), sharey=True, squeeze=False)[0]
    for ax, structure in zip(axes, structures, strict=True):
        _draw_panel(ax, shown[shown["structure"] == structure], places)
        if reader is not None:
            _draw_reader(ax, reader[reader["structure"] == structure])
        ax.set_title(structure, fontsize=10)
        ax.set_xlabel("contoured subjects")
    _limit(axes[0], shown, reader)
    axes[0].set_ylabel("Dice of the test subjects")
    handles = _legend(ordered_starts(shown["start"]), reader, shown)
    figure.legend(handles=handles, fontsize=8, frameon=False, loc="outside lower center", ncols=len(axes))
    return figure


def _draw_panel(ax: Axes, rows: pd.DataFrame, places: Mapping[int, int]) -> None:
    """All starts for one structure, a little beside each other so that no bar hides another."""
    trained = [s for s in ordered_starts(rows["start"]) if s != BASE]
    shifts = {s: (i - (len(trained) - 1) / 2) * _DODGE for i, s in enumerate(trained)}
    for start, part in rows.groupby("start", sort=False):
        x = part["subjects"].map(places) + shifts.get(start, 0.0)
        _draw_start(ax, start, x, part)
    ax.set_xticks(list(places.values()), [str(n) for n in places])
    ax.set_xlim(-0.5, len(places) - 0.5)
    ax.grid(axis="y", color="#EEEEEE", lw=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def _draw_start(ax: Axes, start: str, x: pd.Series, part: pd.DataFrame) -> None:
    """Line and intervals of one start, seeds beside them; the base model's level is a dotted line."""
    colour, marker = START_STYLES.get(start, (GREY, "v"))
    line = {"color": colour, "marker": marker, "ms": 4.5, "lw": 1.4, "label": start}
    below, above = part["mean"] - part["low"], part["high"] - part["mean"]
    ax.errorbar(x, part["mean"], yerr=[below, above], capsize=2.5, elinewidth=1.2, zorder=3, **line)
    if start == BASE:
        ax.axhline(part["mean"].iloc[0], color=colour, lw=0.8, ls="dotted", zorder=1)
    several = part["n_seeds"] > 1
    for column in ("seed_low", "seed_high"):
        ends = part.loc[several, column]
        ax.scatter(
            x[several] + _BESIDE, ends, s=9, facecolors="white", edgecolors=colour, linewidths=0.8, zorder=4
        )


def _draw_reader(ax: Axes, rows: pd.DataFrame) -> None:
    """Mean of the second reader as a line, its interval as a band."""
    for row in rows.itertuples():
        ax.axhline(row.mean, color=_BAND, lw=1, zorder=0)
        if pd.notna(row.low):
            ax.axhspan(row.low, row.high, color=_BAND, alpha=0.25, lw=0, zorder=0)


def _limit(ax: Axes, shown: pd.DataFrame, reader: pd.DataFrame | None) -> None:
    """An axis from just below the lowest value; it ends at 1, the best Dice there is."""
    tables = [shown] if reader is None else [shown, reader]
    values = pd.concat([t.loc[t["structure"] != "mean", ["low", "mean", "seed_low"]] for t in tables])
    ax.set_ylim(max(0.0, values.min(axis=None) - _ROOM), 1.0)


def _legend(starts: list[str], reader: pd.DataFrame | None, shown: pd.DataFrame) -> list[Line2D | Patch]:
    """What colours, bars, markers and the band mean."""
    handles: list[Line2D | Patch] = []
    for start in starts:
        colour, marker = START_STYLES.get(start, (GREY, "v"))
        name = START_NAMES.get(start, start)
        handles.append(Line2D([], [], color=colour, marker=marker, ms=4.5, lw=1.4, label=name))
    n = int(shown["n_test"].max())
    if shown["low"].notna().any():
        bar = f"95 % interval over {n} test subjects"
        handles.append(Line2D([], [], color=GREY, marker="|", ms=9, mew=1.2, lw=0, label=bar))
    if (shown["n_seeds"] > 1).any():
        seeds = "lowest and highest seed"
        style = {"mfc": "white", "mec": GREY, "mew": 0.8, "lw": 0}
        handles.append(Line2D([], [], marker="o", ms=3, label=seeds, **style))
    if reader is not None and not reader.empty:
        handles.append(Patch(color=_BAND, alpha=0.4, lw=0, label="second reader"))
    return handles
