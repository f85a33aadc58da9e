"""Fig. 6 of the paper: Dice against images seen, for every start and subset."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cmrseg.data.subsets import ESED, FULL
from cmrseg.experiments.curves import RUN, is_random, structures_in, with_smoothed
from cmrseg.report.figures import GREY, blank_figure

# Of Okabe and Ito, from many images to few; that of ED + ES is no size.
SIZE_COLOURS = ("#000000", "#0072B2", "#009E73", "#D55E00", "#E69F00", "#56B4E9")
ESED_COLOUR = "#CC79A7"
DOTTED = (0, (1, 1.2))
TITLES = {"R": "R: random weights", "TL": "TL: ImageNet", "TL2": "TL²: pretrained on cine"}
DEPTH = 0.2  # of the Dice axis: the paper compares 0.75 to 0.92, but R and TL begin near 0
THOUSAND = 1000


def learning_figure(log: pd.DataFrame, *, curve: str = "smooth") -> Figure:
    """Dice against images seen: one row of panels per structure, one column per start.

    The colour tells the number of images, a dotted line that they are random ones. Of several seeds the line
    is the mean and the band the range. The Dice axis shows the upper part, where runs differ; a curve that
    begins below it enters from there.

    Parameters
    ----------
    log
        See `cmrseg.experiments.curves.read_training_log`.
    curve
        ``smooth`` (`cmrseg.experiments.curves.smooth`), ``loess`` as the paper drew it
        (`cmrseg.experiments.curves.loess`), or ``dice``, which is raw.

    Returns
    -------
    Figure whose panels share the axis of images, and in a row the Dice axis.

    References
    ----------
    Ankenbrand et al. (2020), doi:10.1101/2020.06.15.20131656, Fig. 6.
    """
    log = with_smoothed(log)
    structures, starts = structures_in(log), list(log["start"].unique())
    colours = _colours(log)
    figure = blank_figure(1.2 + 3.3 * len(starts), 1.3 + 2.7 * len(structures))
    axes = figure.subplots(len(structures), len(starts), sharex=True, sharey="row", squeeze=False)
    for row, structure in zip(axes, structures, strict=True):
        column = f"{curve}_{structure}"
        for ax, start in zip(row, starts, strict=True):
            _draw_curves(ax, log[log["start"] == start], column, colours)
        row[0].set_ylabel(f"{structure} Dice (validation)")
        row[0].set_ylim(*_dice_limits(log, column))
    for ax, start in zip(axes[0], starts, strict=True):
        ax.set_title(TITLES[start], fontsize=10)
    for ax in axes[-1]:
        ax.set_xlabel("images seen (thousands)")
        ax.set_xlim(0, log["images_seen"].max() / THOUSAND * 1.01)
    figure.legend(
        handles=_legend(log, colours),
        loc="outside lower center",
        ncols=4 if len(starts) > 1 else 2,
        fontsize=8,
        frameon=False,
    )
    return figure


def _draw_curves(ax: Axes, log: pd.DataFrame, column: str, colours: dict[str, str]) -> None:
    """The curves of one start, few images first so that the full set lies on top."""
    width = 0.8 if column.startswith("dice") else 1.5
    log = log.dropna(subset=column)
    for subset in log["subset"].unique()[::-1]:
        seen, seeds = _on_one_grid(log[log["subset"] == subset], column)
        style: dict[str, Any] = {"color": colours[subset], "ls": DOTTED if is_random(subset) else "solid"}
        ax.plot(seen / THOUSAND, seeds.mean(axis=0), lw=width, **style)
        if len(seeds) > 1:
            band = seeds.min(axis=0), seeds.max(axis=0)
            ax.fill_between(seen / THOUSAND, *band, color=colours[subset], alpha=0.15, lw=0)
    ax.grid(color="#E5E5E5", lw=0.6)
    ax.set_axisbelow(True)


def _on_one_grid(log: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Images seen at which any seed was validated, where all have values, and these (interpolated)."""
    spans = log.groupby("seed")["images_seen"].agg(["min", "max"])
    seen = np.unique(log["images_seen"].clip(spans["min"].max(), spans["max"].min()))
    seeds = [np.interp(seen, run["images_seen"], run[column]) for _, run in log.groupby("seed")]
    return seen, np.array(seeds)


def _dice_limits(log: pd.DataFrame, column: str) -> tuple[float, float]:
    """Ends of the Dice axis: from 0.2 below the best run, or below the worst one's best value."""
    peaks = log.groupby(RUN)[column].max()
    low = min(peaks.max() - DEPTH, peaks.min() - 0.05)
    return max(0.0, math.floor(low * 20) / 20), min(1.0, peaks.max() + 0.015)


def _colours(log: pd.DataFrame) -> dict[str, str]:
    """One colour per size; random images have that of the subset of whole subjects that they match."""
    sizes = [s for s in log.sort_values("images", ascending=False)["subset"].unique() if _matched(s) != ESED]
    order = list(dict.fromkeys(map(_matched, sizes)))
    colours = {size: SIZE_COLOURS[i % len(SIZE_COLOURS)] for i, size in enumerate(order)}
    return {s: colours.get(_matched(s), ESED_COLOUR) for s in log["subset"].unique()}


def _matched(subset: str) -> str:
    """The subset of as many images that is not random: v7 of r7, esed of r_esed."""
    if not is_random(subset):
        return subset
    return subset[2:] if subset.startswith("r_") else f"v{subset[1:]}"


def _legend(log: pd.DataFrame, colours: dict[str, str]) -> list[Line2D]:
    """Colours with their numbers of images, then the two line styles."""
    images = log.sort_values("images", ascending=False).groupby("subset", sort=False)["images"].first()
    named = [s for s in images.index if not is_random(s) or _matched(s) not in images]
    handles = [
        Line2D([], [], color=colours[s], lw=2, label=f"{_long_name(_matched(s))} ({images[s]} images)")
        for s in named
    ]
    if any(map(is_random, images.index)):
        if len(handles) % 2:  # both styles stand in a column of their own
            handles.append(Line2D([], [], ls="none", label=" "))
        handles.append(Line2D([], [], color=GREY, lw=1.5, label="whole subjects; ED + ES"))
        handles.append(Line2D([], [], color=GREY, lw=1.5, ls=DOTTED, label="as many random images"))
    return handles


def _long_name(subset: str) -> str:
    """What a subset is called in a legend."""
    if found := re.fullmatch(r"v(\d+)", subset):
        return f"{found[1]} subject{'s' * (found[1] != '1')}"
    return {FULL: "full set", ESED: "ED + ES of all"}.get(subset, subset)
