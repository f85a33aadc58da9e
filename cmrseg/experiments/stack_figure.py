"""The slices of a volume as several models see them: the poster's rows of images, truth and predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cmrseg.data.catalog import VolumeRef, load_volume_image, load_volume_mask
from cmrseg.evaluation import Evaluation
from cmrseg.experiments.predictions import PALETTE
from cmrseg.labels import STRUCTURES
from cmrseg.report.figures import COLOURS, Example, blank_figure, heart_box

MOST_SLICES = 12  # side by side
_CELL, _SIDE, _FOOT = 0.85, 1.0, 0.5  # inches


@dataclass(frozen=True)
class StackExample:
    """One volume with its truth and what the models say.

    Attributes
    ----------
    image, truth
        Shape ``(x, y, z)``.
    predicted
        By name of the model, of the same shape.
    title
        Why it is shown, and what it is.
    """

    image: np.ndarray
    truth: np.ndarray
    predicted: Mapping[str, np.ndarray]
    title: str


def pick_stacks(evaluations: Mapping[str, Evaluation]) -> list[StackExample]:
    """Best, median and worst volume by the mean Dice of all structures and models.

    Parameters
    ----------
    evaluations
        Of the same subjects, by name of the model.
    """
    parts = [found.metrics[found.metrics["metric"] == "dice"] for found in evaluations.values()]
    means = [part.groupby(["subject", "frame"])["value"].mean() for part in parts]
    places = set.intersection(*(set(mean.index) for mean in means)) if means else set()
    ranked = sorted(places, key=lambda place: (sum(mean[place] for mean in means), place))
    if not ranked:
        return []
    roles = {len(ranked) - 1: "best", len(ranked) // 2: "median", 0: "worst"}
    chosen = {rank: roles[rank] for rank in sorted(roles, reverse=True)}
    return [_load(evaluations, ranked[rank], role) for rank, role in chosen.items()]


def _load(evaluations: Mapping[str, Evaluation], place: tuple[str, int], role: str) -> StackExample:
    """Pixels of a volume and its masks."""
    pairs: dict[str, tuple[VolumeRef, VolumeRef]] = {
        name: next(p for p in found.pairs if (p[0].subject, p[0].frame) == place)
        for name, found in evaluations.items()
    }
    truth = next(iter(pairs.values()))[0]
    masks = {name: load_volume_mask(other).array[..., 0] for name, (_, other) in pairs.items()}
    where = ", ".join(filter(None, (truth.subject, truth.phase or f"frame {truth.frame}")))
    return StackExample(
        load_volume_image(truth).array[..., 0],
        load_volume_mask(truth).array[..., 0],
        masks,
        f"{role}: {where}",
    )


def stack_figure(example: StackExample) -> Figure:
    """Rows of slices: image, truth, and the masks of every model.

    Returns
    -------
    Figure cropped around the heart; of more than 12 slices some are shown, evenly spread.
    """
    slices = np.unique(np.linspace(0, example.image.shape[2] - 1, MOST_SLICES).round().astype(int))
    rows = {"truth": example.truth, **example.predicted}
    every = np.maximum.reduce([mask.max(axis=2) for mask in rows.values()])
    box = heart_box(Example(example.image[..., 0], every, None, "", "", 0))
    figure = blank_figure(_SIDE + _CELL * len(slices), _FOOT + _CELL * (1 + len(rows)))
    axes = figure.subplots(1 + len(rows), len(slices), squeeze=False)
    low, high = np.percentile(example.image[box], (1, 99))
    for ax, z in zip(axes[0], slices, strict=True):
        _show(ax, example.image[box][..., z], title=str(z), cmap="gray", vmin=low, vmax=max(high, low + 1e-6))
    for line, mask in zip(axes[1:], rows.values(), strict=True):
        for ax, z in zip(line, slices, strict=True):
            _show(ax, PALETTE[mask[box][..., z]])
    for ax, name in zip(axes[:, 0], ("image", *rows), strict=True):
        ax.set_ylabel(name, fontsize=7, rotation=0, ha="right", va="center")
    figure.suptitle(example.title, fontsize=9)
    handles = [Patch(color=COLOURS[s], label=s.name) for s in STRUCTURES]
    figure.legend(handles=handles, fontsize=7, frameon=False, loc="outside lower center", ncols=3)
    return figure


def _show(ax: Axes, pixels: np.ndarray, *, title: str = "", **colours: Any) -> None:
    """One slice, x to the right and y down."""
    ax.imshow(np.swapaxes(pixels, 0, 1), interpolation="nearest", **colours)
    ax.set_title(title, fontsize=7, pad=2)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
