"""Figures that compare readers: volume differences of all images (the paper's Fig. 4) and agreement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cmrseg.evaluation.reader_counts import PAIRS
from cmrseg.metrics.agreement import bland_altman
from cmrseg.report.boxes import BLUE, HEADROOM
from cmrseg.report.figures import GREY, blank_figure

NO_IMAGE = "#D0D0D0"
MAX_SUBJECTS, MAX_FRAMES = 10, 110
MIN_FRAMES = 7  # narrower maps have no room for their title
FEW_FRAMES = 3
MARKED_ML = 5.0
INTERVALS_AT = (0.975, 0.955, 0.935)  # bias, lower and upper limit: side by side where they overlap
ROOM = 0.1  # for them, of the width of the points


def volume_maps(slices: pd.DataFrame, *, unit: str) -> list[Figure]:
    """Difference of the LV volume of every image: one column per subject, one row per pair, phase by slice.

    All maps share one colour scale that is symmetric about 0 and reaches the largest difference; images that
    differ by more than 5 ml carry a point.

    Parameters
    ----------
    slices
        Columns pair, subject, frame, slice, structure and difference (second minus first of the pair).
    unit
        Of the differences.

    Returns
    -------
    Figures of at most 10 subjects each; none without LV.

    References
    ----------
    Ankenbrand et al. (2020), doi:10.1101/2020.06.15.20131656, Fig. 4.
    """
    lv = slices[slices["structure"] == "LV"]
    if lv.empty:
        return []
    limit = float(lv["difference"].abs().max()) or 1.0
    return [_map_figure(lv, subjects, limit, unit) for subjects in _pages(lv)]


def agreement_figure(
    measurements: pd.DataFrame, pairs: dict[str, tuple[str, str]], *, name: str, unit: str
) -> Figure:
    """Bland-Altman plots of one measurement, one panel per pair on one scale.

    Parameters
    ----------
    measurements
        One row per subject, one column per rater.
    pairs
        Raters of every pair; differences are second minus first.
    name, unit
        Of the measurement, such as ``LV EDV`` and ``ml``.
    """
    figure = blank_figure(4.6, 0.2 + 2.3 * len(pairs))
    axes = figure.subplots(len(pairs), 1, squeeze=False, sharex=True, sharey=True)[:, 0]
    tops = []
    for ax, (first, second) in zip(axes, pairs.values(), strict=True):
        both = measurements[[second, first]].dropna().to_numpy(float)
        tops.append(_draw_agreement(ax, *both.T, unit=unit))
        ax.set_ylabel(f"{second} - {first} ({unit})")
    axes[0].set_ylim(-max(tops), max(tops))
    low, high = axes[0].get_xlim()
    axes[0].set_xlim(low, high + ROOM * (high - low))
    axes[-1].set_xlabel(f"mean {name} of both ({unit})")
    return figure


def _draw_agreement(ax: Axes, second: np.ndarray, first: np.ndarray, *, unit: str) -> float:
    """One Bland-Altman plot with confidence intervals at its right edge; returns how far it reaches."""
    agreement, difference = bland_altman(second, first), second - first
    ax.scatter((first + second) / 2, difference, s=16, color=GREY, alpha=0.8, linewidths=0, zorder=3)
    ax.axhline(0, color="#BBBBBB", lw=0.8, zorder=0)
    title = f"bias {agreement.bias.value:+.1f} {unit}"
    if agreement.n > 1:
        title += f", limits {agreement.lower.value:+.1f} to {agreement.upper.value:+.1f} {unit}"
    ax.set_title(f"{title} (n = {agreement.n})", fontsize=9)
    lines = [(agreement.bias, "solid"), (agreement.lower, "dashed"), (agreement.upper, "dashed")]
    for place, (line, style) in zip(INTERVALS_AT, lines, strict=True):
        ax.axhline(line.value, color=BLUE, lw=1, ls=style)
        bar = [[line.value - line.low], [line.high - line.value]]
        ax.errorbar(place, line.value, bar, transform=ax.get_yaxis_transform(), color=BLUE, lw=1, capsize=2)
    reach = np.abs([*difference, agreement.lower.value, agreement.upper.value])
    return HEADROOM * float(np.nanmax(reach)) or 1.0


def _pages(lv: pd.DataFrame) -> Iterator[list[str]]:
    """Subjects of every figure."""
    page, width = [], 0
    for subject, frames in lv.groupby("subject")["frame"].nunique().items():
        if page and (len(page) == MAX_SUBJECTS or width + max(frames, MIN_FRAMES) > MAX_FRAMES):
            yield page
            page, width = [], 0
        page, width = [*page, subject], width + max(frames, MIN_FRAMES)
    yield page


def _map_figure(lv: pd.DataFrame, subjects: Sequence[str], limit: float, unit: str) -> Figure:
    """Maps of some subjects."""
    pairs = list(dict.fromkeys(lv["pair"]))
    frames = lv.groupby("subject")["frame"].nunique().loc[list(subjects)].clip(lower=MIN_FRAMES)
    figure = blank_figure(min(11.0, 1.8 + 0.13 * frames.sum()), 0.7 + 2.1 * len(pairs))
    axes = figure.subplots(
        len(pairs), len(subjects), squeeze=False, width_ratios=frames.tolist(), sharex="col"
    )
    norm = TwoSlopeNorm(0, -limit, limit)
    for i, pair in enumerate(pairs):
        for j, subject in enumerate(subjects):
            _draw_map(axes[i, j], lv[lv["subject"] == subject], pair, norm)
            if unit == "ml":
                _mark(axes[i, j])
            axes[i, j].set_title(subject if i == 0 else "", fontsize=9)
        axes[i, 0].set_ylabel(f"{' - '.join(PAIRS[pair][::-1])}\nslice")
    for ax in axes[-1]:
        ax.set_xlabel("phase")
    figure.colorbar(axes[0, 0].images[0], ax=axes, label=f"difference of LV volume ({unit})", shrink=0.8)
    return figure


def _draw_map(ax: Axes, subject: pd.DataFrame, pair: str, norm: TwoSlopeNorm) -> None:
    """One map: phases from left to right, slices from below, on the same grid for every pair."""
    frames = sorted(subject["frame"].unique())
    slices = range(subject["slice"].min(), subject["slice"].max() + 1)
    chosen = subject[subject["pair"] == pair]
    table = chosen.pivot_table(index="slice", columns="frame", values="difference")
    values = np.ma.masked_invalid(table.reindex(index=slices, columns=frames).to_numpy(float))
    ax.set_facecolor(NO_IMAGE)
    extent = (-0.5, len(frames) - 0.5, slices[0] - 0.5, slices[-1] + 0.5)
    look = {"cmap": "RdBu_r", "norm": norm, "interpolation": "nearest"}
    ax.imshow(values, origin="lower", extent=extent, aspect="auto", **look)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    step = 1 if len(frames) <= FEW_FRAMES else -(-len(frames) // 6)
    ax.set_xticks(range(0, len(frames), step), frames[::step])


def _mark(ax: Axes) -> None:
    """A point on every image that differs by more than 5 ml."""
    values, low = ax.images[0].get_array(), ax.images[0].get_extent()[2] + 0.5
    slices, frames = np.nonzero(np.abs(values).filled(0) > MARKED_ML)
    ax.scatter(frames, slices + low, s=4, color="black", linewidths=0)
