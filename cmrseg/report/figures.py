"""Figures of reports: overlays, box plots, Bland-Altman plots and learning curves.

Every function returns a `matplotlib.figure.Figure` of its own; no pyplot, no shared state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from cmrseg.labels import STRUCTURES, Label
from cmrseg.metrics.agreement import BlandAltman, bland_altman

# Okabe and Ito's colours, told apart by colour-blind readers too: jfly.uni-koeln.de/color
COLOURS = {Label.LV: "#D55E00", Label.MYO: "#009E73", Label.RV: "#56B4E9"}
PHASE_COLOURS = {"ED": "#0072B2", "ES": "#E69F00", "": "#777777"}
GREY = "#555555"
DPI = 150
CROP_MARGIN = 12
SAME = 1e-6


@dataclass(frozen=True)
class Example:
    """One image with its masks.

    Attributes
    ----------
    image
        Intensities, shape ``(x, y)``.
    predicted, truth
        Masks in `Label` ids, shape ``(x, y)``; ``truth`` is None where there is none.
    subject, phase, slice, dice
        What the title says; ``dice`` is ``nan`` where there is no truth.
    role
        Why the image is shown, such as ``best`` or ``worst``.
    """

    image: Float[np.ndarray, "x y"]
    predicted: UInt8[np.ndarray, "x y"]
    truth: UInt8[np.ndarray, "x y"] | None
    subject: str
    phase: str
    slice: int
    dice: float = float("nan")
    role: str = ""


def png_bytes(figure: Figure, *, dpi: int = DPI) -> bytes:
    """The figure as a PNG file; equal figures give equal bytes."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # names of subjects may hold a $
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def blank_figure(width: float, height: float) -> Figure:
    """Empty figure, size in inches, whose canvas draws without a display."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def overlay_figure(examples: Sequence[Example], *, columns: int = 3) -> Figure:
    """Images with thin contours: truth solid, prediction dashed, one colour per structure.

    Parameters
    ----------
    examples
        At least one image.
    columns
        Images per row.

    Returns
    -------
    Figure with one panel per example, cropped around the heart.

    Raises
    ------
    ValueError
        If there is no example.
    """
    if not examples:
        raise ValueError("examples must hold at least one image, got none")
    columns = min(columns, len(examples))
    rows = [examples[i : i + columns] for i in range(0, len(examples), columns)]
    heights = [max(map(_height_ratio, row)) for row in rows]
    keys = min(5, 3 * columns)  # of the legend, as many in a line as there is room for
    figure = blank_figure(2.6 * columns, sum(0.5 + 2.5 * h for h in heights) + (0.3 if keys == 5 else 0.5))
    axes = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights).ravel()
    for ax in axes:
        ax.set_axis_off()
        ax.set_anchor("N")  # titles of a row stand at one height
    for ax, example in zip(axes, examples, strict=False):
        _draw_example(ax, example)
    figure.legend(
        handles=_contour_legend(examples), loc="outside lower center", ncols=keys, fontsize=8, frameon=False
    )
    return figure


def dice_figure(metrics: pd.DataFrame, phases: dict[tuple[str, int], str]) -> Figure:
    """Box plots of the Dice per volume, by structure and phase, with every volume as a point.

    Parameters
    ----------
    metrics
        Rows with the columns of ``metrics.csv``; those with metric ``dice`` are drawn.
    phases
        Phase of every ``(subject, frame)``.

    Returns
    -------
    Figure with one group of boxes per structure.
    """
    scores = metrics[metrics["metric"] == "dice"]
    keys = zip(scores["subject"], scores["frame"], strict=True)
    scores = scores.assign(phase=[phases.get((s, int(f)), "") for s, f in keys])
    structures = [s.name for s in STRUCTURES if s.name in set(scores["structure"])]
    shown = [p for p in PHASE_COLOURS if p in set(scores["phase"])]
    figure = blank_figure(5.2, 3.2)
    ax = figure.subplots()
    for i, structure in enumerate(structures):
        for j, phase in enumerate(shown):
            chosen = (scores["structure"] == structure) & (scores["phase"] == phase)
            _box(ax, i + (j - (len(shown) - 1) / 2) * 0.3, scores.loc[chosen, "value"].to_numpy(), phase)
    ax.set_xticks(range(len(structures)), structures)
    ax.set_ylabel("Dice per volume")
    ax.set_ylim(min(0.5, scores["value"].min() - 0.02), 1.01)
    handles = [
        Line2D([], [], color=PHASE_COLOURS[p], lw=6, alpha=0.5, label=p or "other frames") for p in shown
    ]
    if handles:
        ax.legend(handles=handles, fontsize=8, frameon=False, loc="lower right")
    return figure


def bland_altman_figure(
    measured: Sequence[float], reference: Sequence[float], *, name: str, unit: str
) -> Figure:
    """Differences against means, with bias and 95 % limits of agreement.

    Parameters
    ----------
    measured, reference
        Two measurements of each subject; pairs with a ``nan`` are left out.
    name, unit
        Of the measurement, such as ``EDV`` and ``ml``.

    Returns
    -------
    Figure; the bands are the 95 % confidence intervals of bias and limits.

    Raises
    ------
    ValueError
        If the lengths differ.

    References
    ----------
    Bland and Altman, Lancet 327:307 (1986), doi:10.1016/S0140-6736(86)90837-8.
    """
    first, second = np.asarray(measured, float), np.asarray(reference, float)
    agreement = bland_altman(first, second)
    figure = blank_figure(4.4, 3.2)
    ax = figure.subplots()
    ax.scatter((first + second) / 2, first - second, s=16, color=GREY, alpha=0.7, linewidths=0)
    ax.axhline(0, color="#BBBBBB", lw=0.8, zorder=0)
    _draw_limits(ax, agreement, unit)
    ax.set_xlabel(f"mean of predicted and true {name} ({unit})")
    ax.set_ylabel(f"predicted - true {name} ({unit})")
    ax.set_title(f"{name}, n = {agreement.n}", fontsize=10)
    return figure


def learning_curve_figure(history: pd.DataFrame) -> Figure:
    """Loss, Dice and learning rate over the epochs.

    Parameters
    ----------
    history
        Columns of ``history.csv``; columns that are missing or empty are left out.

    Returns
    -------
    Figure with three panels over one epoch axis; dotted lines are where a stage begins.
    """
    figure = blank_figure(5.2, 6.0)
    loss, dice, rate = figure.subplots(3, sharex=True, height_ratios=(3, 3, 1.4))
    _curve(loss, history, "train_loss", colour=GREY, label="training")
    _curve(loss, history, "valid_loss", colour="#0072B2", label="validation")
    for structure in STRUCTURES:
        _curve(dice, history, f"dice_{structure.name}", colour=COLOURS[structure], label=structure.name)
    _curve(rate, history, "lr", colour=GREY, label="")
    loss.set_ylabel("loss")
    dice.set_ylabel("validation Dice")
    rate.set_ylabel("learning rate")
    rate.set_yscale("log")
    rate.set_xlabel("epoch")
    rate.xaxis.set_major_locator(MaxNLocator(integer=True))
    for ax in (loss, dice):
        if ax.get_legend_handles_labels()[0]:
            ax.legend(fontsize=8, frameon=False, loc="best")
    _draw_stages((loss, dice, rate), history)
    return figure


def _draw_example(ax: Axes, example: Example) -> None:
    """One image with its contours and title."""
    box = heart_box(example)
    image = example.image[box]
    low, high = np.percentile(image, (1, 99))
    ax.imshow(image.T, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), interpolation="bilinear")
    if example.truth is not None:
        draw_contours(ax, example.truth[box])
    draw_contours(ax, example.predicted[box], style="dashed")
    head = f"{example.role}: {example.subject}" if example.role else example.subject
    score = f"Dice {example.dice:.2f}" if np.isfinite(example.dice) else ""
    parts = [example.phase, f"slice {example.slice}", score]
    ax.set_title(f"{head}\n{', '.join(p for p in parts if p)}", fontsize=8)


def draw_contours(ax: Axes, mask: UInt8[np.ndarray, "x y"], *, style: str = "solid") -> None:
    """Outlines of all structures; that of MYO is the epicardium, because the LV's is the endocardium.

    Parameters
    ----------
    ax
        Shows the image with x to the right and y down.
    mask
        `Label` ids, shape ``(x, y)``.
    style
        Of the lines.
    """
    regions = {Label.MYO: (Label.MYO, Label.LV), Label.RV: (Label.RV,), Label.LV: (Label.LV,)}
    for label, region in regions.items():
        if (mask == label).any():
            inside = np.pad(np.isin(mask, region).T.astype(float), 1)
            grid = (np.arange(n) - 1 for n in inside.shape[::-1])
            ax.contour(*grid, inside, [0.5], colors=COLOURS[label], linewidths=1.0, linestyles=style)


def heart_box(example: Example) -> tuple[slice, slice]:
    """Square around both masks with a margin, the whole image where they are empty."""
    either = example.predicted > 0
    if example.truth is not None:
        either = either | (example.truth > 0)
    if not either.any():
        return slice(None), slice(None)
    spans = [(axis.min(), axis.max() + 1) for axis in np.nonzero(either)]
    half = max(stop - start for start, stop in spans) / 2 + CROP_MARGIN
    centres = [(start + stop) / 2 for start, stop in spans]
    x, y = (slice(max(0, int(c - half)), int(c + half)) for c in centres)
    return x, y


def _height_ratio(example: Example) -> float:
    """Height of a cropped image over its width."""
    width, height = example.image[heart_box(example)].shape
    return height / width


def _contour_legend(examples: Sequence[Example]) -> list[Line2D]:
    """Legend of the structures that are shown and of the two line styles."""
    masks = [m for e in examples for m in (e.predicted, e.truth) if m is not None]
    shown = [s for s in STRUCTURES if any((m == s).any() for m in masks)]
    lines = [Line2D([], [], color=COLOURS[s], label=s.name) for s in shown]
    if any(e.truth is not None for e in examples):
        lines.append(Line2D([], [], color="black", lw=1, label="truth"))
    if len(lines) == len(shown) or any(e.predicted.any() for e in examples):
        lines.append(Line2D([], [], color="black", lw=1, ls="dashed", label="prediction"))
    return lines


def _box(ax: Axes, position: float, values: np.ndarray, phase: str) -> None:
    """One box with its points, which are spread evenly and not at random."""
    if not values.size:
        return
    colour = PHASE_COLOURS[phase]
    ax.boxplot(
        [values],
        positions=[position],
        widths=0.24,
        showfliers=False,
        patch_artist=True,
        boxprops={"facecolor": colour, "alpha": 0.35, "edgecolor": colour},
        medianprops={"color": "black"},
        whiskerprops={"color": colour},
        capprops={"color": colour},
    )
    spread = 0.05 * np.sin(2.4 * np.arange(values.size))
    ax.scatter(position + spread, values, s=6, color=colour, alpha=0.8, linewidths=0, zorder=3)


def _draw_limits(ax: Axes, agreement: BlandAltman, unit: str) -> None:
    """Bias and limits of agreement with their confidence bands, named at the right."""
    lines = (("bias", agreement.bias, "solid"), ("-1.96 sd", agreement.lower, "dashed"),
             ("+1.96 sd", agreement.upper, "dashed"))  # fmt: skip
    for name, interval, style in lines:
        if not np.isfinite(interval.value) or (name != "bias" and agreement.sd < SAME):
            continue
        ax.axhline(interval.value, color="#0072B2", lw=1, ls=style)
        if np.isfinite(interval.low):
            ax.axhspan(interval.low, interval.high, color="#0072B2", alpha=0.12, lw=0)
        text = f"{name}\n{interval.value:+.1f} {unit}"
        ax.annotate(text, (1.01, interval.value), xycoords=("axes fraction", "data"), fontsize=7, va="center")
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, -1), max(high, 1))


def _curve(ax: Axes, history: pd.DataFrame, column: str, *, colour: str, label: str) -> None:
    """One column of the history, if it is there."""
    if column in history and history[column].notna().any():
        ax.plot(history["epoch"], history[column], color=colour, label=label, lw=1.3, marker=".", ms=3)


def _draw_stages(axes: Sequence[Axes], history: pd.DataFrame) -> None:
    """A dotted line where a stage begins."""
    if "stage" not in history:
        return
    begins = history["stage"].ne(history["stage"].shift()) & (np.arange(len(history)) > 0)
    for epoch in history.loc[begins, "epoch"]:
        for ax in axes:
            ax.axvline(epoch - 0.5, color="#BBBBBB", lw=0.8, ls="dotted", zorder=0)
