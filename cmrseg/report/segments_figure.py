"""Bull's-eye plots of the segments of the American Heart Association."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from cmrseg.metrics.segments import LEVELS, SEGMENTS
from cmrseg.report.figures import GREY, blank_figure

_MISSING = "#EEEEEE"
_WALLS = {90: "anterior", 180: "septum", 270: "inferior", 0: "lateral"}
_RIM = len(LEVELS) + 1.0


@dataclass(frozen=True)
class _Plot:
    """What one bull's eye shows; the colours mean the same in every study, so that studies compare."""

    column: str
    title: str
    unit: str
    colours: str
    ticks: tuple[float, ...]
    digits: int

    @property
    def norm(self) -> Normalize:
        """Value to colour, from the first to the last tick."""
        return Normalize(self.ticks[0], self.ticks[-1])


# viridis and PuOr are told apart by colour-blind readers; orange is a wall that thins.
_PLOTS = (
    _Plot("ed_mm", "Wall thickness at ED", "mm", "viridis", (3, 6, 9, 12, 15), 1),
    _Plot("thickening_percent", "Systolic thickening", "%", "PuOr", (-100, -50, 0, 50, 100), 0),
)


def segments_figure(segments: pd.DataFrame) -> Figure:
    """Wall thickness at end-diastole and thickening of the 16 segments, seen from the apex.

    Parameters
    ----------
    segments
        Table of `cmrseg.metrics.segments.aha_segments`.

    Returns
    -------
    Figure with two bull's eyes, basal segments outside; segments without a value are hatched, and so is the
    apical cap, which is not measured.

    Raises
    ------
    ValueError
        If a segment is missing from the table.

    References
    ----------
    Cerqueira et al., Circulation 105:539 (2002), doi:10.1161/hc0402.102975.
    """
    table = segments.set_index("segment")
    missing = [number for number in range(1, len(SEGMENTS) + 1) if number not in table.index]
    if missing:
        raise ValueError(f"segments must have a row for each of 1 to {len(SEGMENTS)}, got none for {missing}")
    figure = blank_figure(7.2, 3.9)
    axes = figure.subplots(1, len(_PLOTS), subplot_kw={"projection": "polar"})
    for ax, plot in zip(axes, _PLOTS, strict=True):
        _bulls_eye(ax, table.loc[range(1, len(SEGMENTS) + 1), plot.column].to_numpy(float), plot)
        colours = ScalarMappable(plot.norm, plot.colours)
        bar = figure.colorbar(colours, ax=ax, orientation="horizontal", shrink=0.6, aspect=30, extend="both")
        bar.set_ticks(plot.ticks)
        bar.ax.tick_params(labelsize=8)
        bar.set_label(plot.unit, fontsize=8)
    figure.supxlabel(
        "seen from the apex, basal segments outside; hatched: not measured", fontsize=7, color=GREY
    )
    return figure


def wall_motion_hint(segments: pd.DataFrame) -> str:
    """Which segments thin in systole, or thicken least: where a reader should look first.

    Parameters
    ----------
    segments
        Table of `cmrseg.metrics.segments.aha_segments`.

    Returns
    -------
    A sentence; empty if no segment has a thickening or there is but one frame. It names no disease: a contour
    that is wrong at one of the two phases looks the same.
    """
    known = segments.dropna(subset=["thickening_percent"]).sort_values("thickening_percent")
    if not known["thickening_percent"].any():
        return ""
    thin = known[known["thickening_percent"].round() < 0]
    told = known.head(1) if thin.empty else thin
    named = ", ".join(f"{s.segment} {s.name} ({s.thickening_percent:+.0f} %)" for s in told.itertuples())
    found = f"none thins in systole, {named} thickens least" if thin.empty else f"thinner in systole: {named}"
    return (
        f"Of {len(known)} segments {found}. A hint where to look, not a finding: wrong contours do the same."
    )


def _bulls_eye(ax: PolarAxes, values: np.ndarray, plot: _Plot) -> None:
    """One plot, as the ventricle is seen from the apex; angle 0 is the lateral wall."""
    ax.set_title(plot.title, fontsize=10, fontweight="bold", pad=8)
    ax.set_ylim(0, _RIM)
    ax.set_axis_off()
    ax.bar(0, 1, width=2 * np.pi, color=_MISSING, hatch="////", edgecolor="white", lw=0)
    for number, value in enumerate(values, start=1):
        _draw_segment(ax, number, value, plot)
    for angle, wall in _WALLS.items():
        turn = {180: 90, 0: -90}.get(angle, 0)
        ax.text(
            np.deg2rad(angle),
            _RIM + 0.35,
            wall,
            ha="center",
            va="center",
            rotation=turn,
            fontsize=8,
            color=GREY,
        )


def _draw_segment(ax: PolarAxes, number: int, value: float, plot: _Plot) -> None:
    """One segment with its value and number."""
    angle, width, inner = _place(number)
    known = np.isfinite(value)
    colour = colormaps[plot.colours](plot.norm(value)) if known else _MISSING
    ax.bar(angle, 1, width=width, bottom=inner, color=colour, edgecolor="white", lw=1.2,
           hatch=None if known else "////")  # fmt: skip
    dark = known and np.dot(colour[:3], (0.299, 0.587, 0.114)) < 0.5
    text = f"{value:.{plot.digits}f}" if known else "n/a"
    ax.text(
        angle, inner + 0.5, text, ha="center", va="center", fontsize=9, color="white" if dark else "black"
    )


def _place(number: int) -> tuple[float, float, float]:
    """Middle angle, width and inner radius of a segment."""
    level = LEVELS.index(SEGMENTS[number - 1][1])
    ring = [n for n, (_, name) in enumerate(SEGMENTS, start=1) if name == LEVELS[level]]
    width = 2 * np.pi / len(ring)
    return np.pi / 2 + (number - ring[0]) * width, width, float(len(LEVELS) - level)
