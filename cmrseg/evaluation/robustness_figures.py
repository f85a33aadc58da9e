"""Figures of the sweeps: Dice over the level, and what the distorted images look like."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter, NullLocator

from cmrseg.cine import Cine
from cmrseg.data.distortions import Distortion, distort, distort_mask
from cmrseg.evaluation.robustness import Segment, Volumes
from cmrseg.evaluation.robustness_card import amount, structures_in, swept, title
from cmrseg.labels import STRUCTURES, Label
from cmrseg.report.figures import COLOURS, GREY, Example, blank_figure, draw_contours, heart_box

_UNMARKED = {  # levels whose numbers would touch their neighbours
    "rotation": (-45, -20, 20, 45),
    "zoom": (0.85, 1.2),
    "contrast": (0.85, 1.2),
}


def robustness_figure(summary: pd.DataFrame, *, columns: int = 4) -> Figure:
    """Dice over the level, a panel per sweep.

    Parameters
    ----------
    summary
        As for `robustness_sentences`.
    columns
        Panels per row.

    Returns
    -------
    Figure; the vertical line marks the untouched images.
    """
    sweeps = swept(summary)
    columns = min(columns, len(sweeps))
    rows = math.ceil(len(sweeps) / columns)
    figure = blank_figure(2.7 * columns, 2.5 * rows + 0.4)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for ax in axes[len(sweeps) :]:
        ax.set_axis_off()
    for i, (ax, d) in enumerate(zip(axes, sweeps, strict=False)):
        _draw_sweep(ax, summary[summary["sweep"] == d.name], d)
        if i % columns == 0:
            ax.set_ylabel("Dice")
    axes[0].set_ylim(min(0.5, summary["low"].min() - 0.02), 1.01)
    figure.legend(handles=_legend(summary), loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    return figure


def distortion_figure(volumes: Volumes, segment: Segment, distortions: Sequence[Distortion]) -> Figure:
    """One image untouched and at the mildest, a middle and the strongest level of every distortion.

    Parameters
    ----------
    volumes
        The image is the slice of the first frame with the largest LV.
    segment
        From a cine to a mask.
    distortions
        One row each.

    Returns
    -------
    Figure with the truth solid and the prediction dashed, both as they lie on the distorted image.
    """
    figure = blank_figure(8.0, 2.05 * len(distortions) + 0.4)
    axes = figure.subplots(len(distortions), 4, squeeze=False)
    z = int((volumes.truth.array[..., 0] == Label.LV).sum(axis=(0, 1)).argmax())
    for row, d in zip(axes, distortions, strict=True):
        for ax, level in zip(row, (d.untouched, *_three_levels(d)), strict=True):
            image = distort(volumes.image, d, level)
            masks = distort_mask(volumes.truth, d, level), segment(image)
            _draw_image(ax, image, masks, z)
            ax.set_title("untouched" if level == d.untouched else amount(d, level), fontsize=8)
        row[0].set_ylabel(title(d), fontsize=9)
    lines = [Line2D([], [], color=COLOURS[s], label=s.name) for s in STRUCTURES]
    lines += [
        Line2D([], [], color="black", ls=ls, label=name)
        for ls, name in (("-", "truth"), ("--", "prediction"))
    ]
    figure.legend(handles=lines, loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    return figure


def _three_levels(d: Distortion) -> tuple[float, float, float]:
    """The mildest, a middle and the strongest level."""
    scale = math.log if d.log else float
    levels = sorted(set(d.levels) - {d.untouched}, key=lambda v: abs(scale(v) - scale(d.untouched)))
    return levels[0], levels[len(levels) // 2], levels[-1]


def _draw_sweep(ax: Axes, rows: pd.DataFrame, d: Distortion) -> None:
    """Curves of one sweep."""
    ax.axvline(d.untouched, color="#BBBBBB", lw=1, zorder=0)
    for structure in STRUCTURES:
        part = rows[rows["structure"] == structure.name].sort_values("level")
        colour = COLOURS[structure]
        ax.fill_between(part["level"], part["low"], part["high"], color=colour, alpha=0.15, lw=0)
        ax.plot(part["level"], part["mean"], color=colour, lw=1.4, marker=".", ms=4)
        if d.move is not None:
            ax.plot(part["level"], part["ceiling"], color=colour, lw=1, ls="dotted")
    if d.log:
        ax.set_xscale("log")
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_minor_formatter(NullFormatter())
    shown = [level for level in d.levels if level not in _UNMARKED.get(d.name, ())]
    ax.set_xticks(shown, [f"{level:g}" for level in shown])
    ax.tick_params(labelsize=7)
    ax.set_xlabel(f"{d.what}" if d.unit == "gamma" else f"{d.what} ({d.unit})", fontsize=8)
    ax.set_title(title(d), fontsize=9)
    ax.grid(axis="y", color="#EEEEEE")


def _legend(summary: pd.DataFrame) -> list[Line2D | Patch]:
    """What lines and bands are."""
    lines = [Line2D([], [], color=COLOURS[Label[s]], marker=".", label=s) for s in structures_in(summary)]
    return [
        *lines,
        Patch(color=GREY, alpha=0.2, lw=0, label="10th to 90th percentile"),
        Line2D([], [], color=GREY, ls="dotted", label="truth there and back"),
        Line2D([], [], color="#BBBBBB", label="untouched"),
    ]


def _draw_image(ax: Axes, image: Cine, masks: tuple[Cine, Cine], z: int) -> None:
    """One slice, cropped around the heart, with truth and prediction."""
    picture, truth, predicted = (cine.array[:, :, z, 0] for cine in (image, *masks))
    box = heart_box(Example(picture, np.zeros_like(truth), truth, "", "", z))
    low, high = np.percentile(picture, (1, 99))
    ax.imshow(picture[box].T, cmap="gray", vmin=low, vmax=max(high, low + 1e-6))
    draw_contours(ax, truth[box])
    draw_contours(ax, predicted[box], style="dashed")
    ax.set(xticks=[], yticks=[])
