"""How scores change from one method to another: every subject a point, the mean with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from cmrseg.report.figures import GREY, blank_figure

BETTER, WORSE, SAME = "#0072B2", "#D55E00", GREY
_SPREAD = 0.12  # of the points about their line
Row = tuple[Sequence[float], tuple[float, float]]


def change_figure(panels: Mapping[str, Mapping[str, Row]], *, label: str) -> Figure:
    """Changes of subjects, one panel per method and one line per structure.

    Parameters
    ----------
    panels
        By method and structure the change of every subject, and the 95 % interval of their mean (``nan``
        where it is unknown).
    label
        Of the axis, with what a change is measured in.

    Returns
    -------
    Figure whose panels share the axis; blue points gain, orange ones lose, the bar is the mean.

    Raises
    ------
    ValueError
        If there is no panel.
    """
    if not panels:
        raise ValueError("panels must hold at least one method, got none")
    lines = max(map(len, panels.values()))
    figure = blank_figure(6.0, 0.5 + len(panels) * (0.55 + 0.45 * lines))
    axes = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for ax, (method, rows) in zip(axes, panels.items(), strict=True):
        for place, (changes, interval) in enumerate(rows.values()):
            values = np.asarray(changes, float)
            offsets = _SPREAD * np.sin(2.4 * np.arange(values.size))
            colours = np.select([values > 0, values < 0], [BETTER, WORSE], SAME)
            ax.scatter(values, place + offsets, s=14, c=colours, alpha=0.7, linewidths=0)
            ax.plot(interval, (place, place), color="black", lw=1.6)
            ax.plot([values.mean()], [place], color="black", marker="|", ms=11, mew=1.6)
        ax.axvline(0, color="#BBBBBB", lw=0.8, zorder=0)
        ax.set_yticks(range(len(rows)), list(rows))
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_title(method, fontsize=9, loc="left")
    axes[-1].set_xlabel(label)
    return figure
