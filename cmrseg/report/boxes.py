"""Box plots that compare methods: the paper's Fig. 1 and Fig. 2, and the Dice of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cmrseg.report.figures import GREY, blank_figure

BLUE, VERMILION = "#0072B2", "#D55E00"  # of Okabe and Ito
HEADROOM = 1.5
MAX_LETTERS = 20


def error_figure(errors: Mapping[str, Sequence[float]], *, label: str) -> Figure:
    """Box plots of absolute errors by method, the lowest median as a dashed line.

    The axis ends at 1.5 times the highest whisker, as that of the paper's figure is restricted; the points
    above it are counted at the top.

    Parameters
    ----------
    errors
        Absolute errors of every method in the order to show.
    label
        Of the axis, with the unit.

    Returns
    -------
    Figure with one box per method; whiskers reach the last value within 1.5 interquartile ranges.

    Raises
    ------
    ValueError
        If there is no method.

    References
    ----------
    Ankenbrand et al. (2020), doi:10.1101/2020.06.15.20131656, Fig. 1 and Fig. 2.
    """
    if not errors:
        raise ValueError("errors must hold at least one method, got none")
    values = {name: np.asarray(v, float) for name, v in errors.items()}
    figure = blank_figure(max(3.2, 1.1 + 1.15 * len(values)), 3.6)
    ax = figure.subplots()
    tops = _draw_boxes(ax, values, colour=BLUE)
    limit = HEADROOM * max(tops) or 1.0
    ax.set_ylim(0, limit)
    for position, v in enumerate(values.values()):
        if above := int((v > limit).sum()):
            place: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": 7, "color": GREY}
            ax.annotate(f"{above} above", (position, 1.005), xycoords=("data", "axes fraction"), **place)
    lowest = min(float(np.median(v)) for v in values.values())
    ax.axhline(lowest, color=VERMILION, lw=1, ls="dashed", zorder=3)
    line = Line2D([], [], color=VERMILION, lw=1, ls="dashed", label=f"lowest median, {lowest:.2f}")
    figure.legend(handles=[line], fontsize=8, frameon=False, loc="outside upper right")
    ax.set_ylabel(label)
    return figure


def score_figure(panels: Mapping[str, Mapping[str, Sequence[float]]], *, label: str) -> Figure:
    """Box plots of scores from 0 to 1: one panel per structure, one box per method or set.

    Parameters
    ----------
    panels
        Scores by structure, and in it by what a box is called.
    label
        Of the axis.

    Returns
    -------
    Figure whose panels share the axis.

    Raises
    ------
    ValueError
        If there is no panel.
    """
    if not panels:
        raise ValueError("panels must hold at least one structure, got none")
    boxes = max(map(len, panels.values()))
    figure = blank_figure(max(4.2, 0.6 + len(panels) * (0.4 + 0.75 * boxes)), 3.8)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, (title, scores) in zip(axes, panels.items(), strict=True):
        _draw_boxes(ax, {name: np.asarray(v, float) for name, v in scores.items()}, colour=BLUE, upright=True)
        ax.set_title(title, fontsize=10)
    axes[0].set_ylim(-0.02, 1.02)
    axes[0].set_ylabel(label)
    return figure


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Names without the beginning and end that all of them share, cut between words only.

    A name stands alone, or nothing would be left of one: then all stay as they are.
    """
    words = [name.split("_") for name in names]
    if len(words) < 2:
        return {name: name for name in names}
    start = _shared(words)
    end = _shared([w[start:][::-1] for w in words])
    short = ["_".join(w[start : len(w) - end]) for w in words]
    useful = all(short) and len(set(short)) == len(short)
    return dict(zip(names, short if useful else names, strict=True))


def _shared(words: Sequence[Sequence[str]]) -> int:
    """With how many equal words all names begin."""
    columns = zip(*words, strict=False)  # ends with the shortest name
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))


def _draw_boxes(
    ax: Axes, values: Mapping[str, np.ndarray], *, colour: str, upright: bool = False
) -> list[float]:
    """One box per name; returns where the upper whiskers end."""
    drawn = ax.boxplot(
        list(values.values()),
        positions=range(len(values)),
        widths=0.55,
        patch_artist=True,
        boxprops={"facecolor": colour, "alpha": 0.35, "edgecolor": colour},
        medianprops={"color": "black"},
        whiskerprops={"color": colour},
        capprops={"color": colour},
        flierprops={
            "marker": "o",
            "markersize": 2,
            "markerfacecolor": GREY,
            "markeredgewidth": 0,
            "alpha": 0.5,
        },
    )
    names = ["\n".join(_lines(name)) for name in values]
    ax.set_xticks(range(len(values)), names, fontsize=8, rotation=90 if upright else 0)
    return [float(cap.get_ydata()[0]) for cap in drawn["caps"][1::2]]


def _lines(name: str) -> list[str]:
    """A long name on several lines, broken after underscores."""
    return [
        line.replace("_ ", "_") for line in wrap(name.replace("_", "_ "), MAX_LETTERS, break_long_words=False)
    ]
