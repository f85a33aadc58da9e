"""What the starts of a study predict for the same test images, in the style of the paper's Fig. 5."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cmrseg.evaluation import Evaluation
from cmrseg.evaluation.masks_report import load_example
from cmrseg.labels import STRUCTURES, Label
from cmrseg.report.figures import COLOURS, Example, blank_figure, heart_box

ERROR_KEY = "errors: true structure, or the predicted one outside the heart"
_PLACE = ["subject", "frame", "slice"]
_PLAIN = "#EEEEEE"
PALETTE = np.array([to_rgb(COLOURS.get(label, _PLAIN)) for label in Label])
_CELL, _SIDE, _FOOT = 1.4, 0.5, 0.3  # inches


def pick_by_dice(evaluations: Mapping[str, Evaluation], *, by: str) -> dict[str, list[Example]]:
    """Mid-ventricular images of high, middle and low Dice, as every start predicts them.

    Parameters
    ----------
    evaluations
        Of the same test subjects, by start.
    by
        The start whose Dice chooses the images.

    Returns
    -------
    The same images for every start: those whose mean Dice over the structures is highest, median and lowest
    among the images in the middle third of their volume. Fewer where there are fewer images.

    Raises
    ------
    ValueError
        If there is no start ``by``.

    References
    ----------
    Ankenbrand et al. (2020), doi:10.1101/2020.06.15.20131656, Fig. 5.
    """
    if by not in evaluations:
        raise ValueError(f"by must be one of {', '.join(evaluations)}, got '{by}'")
    tables = {start: found.images.set_index(_PLACE, drop=False) for start, found in evaluations.items()}
    ranked = _middle_thirds(evaluations[by].images).sort_values("dice", kind="stable")
    places = list(ranked[_PLACE].itertuples(index=False, name=None))
    places = [place for place in places if all(place in table.index for table in tables.values())]
    roles = [(places[rank], role) for rank, role in _roles(len(places))]
    return {
        start: [_load(found, tables[start].loc[place], role) for place, role in roles]
        for start, found in evaluations.items()
    }


def prediction_figure(rows: Mapping[str, Sequence[Example]]) -> Figure:
    """Images with predicted classes and errors, for one start or several beside each other.

    The errors are the pixels where prediction and truth differ, in the colour of the true structure, or of
    the predicted one where the truth is background.

    Parameters
    ----------
    rows
        The same images for every start, from `pick_by_dice`; all have a truth.

    Returns
    -------
    Figure cropped around the heart. With one start every image is a row: image, truth, prediction, errors.
    With several, image and truth stand one above the other, and so do prediction and errors of each start.

    Raises
    ------
    ValueError
        If there is no image, the starts show different ones, or one has no truth.

    References
    ----------
    Ankenbrand et al. (2020), doi:10.1101/2020.06.15.20131656, Fig. 5.
    """
    _check(rows)
    blocks = list(zip(*rows.values(), strict=True))
    high, wide = (1, 4) if len(rows) == 1 else (2, 1 + len(rows))
    figure = blank_figure(_SIDE + _CELL * wide, _FOOT + (_CELL + 0.2) * high * len(blocks))
    parts = figure.subfigures(len(blocks), 1, squeeze=False)[:, 0]
    for part, examples in zip(parts, blocks, strict=True):
        axes = part.subplots(high, wide, squeeze=False)
        _draw_block(axes.T.ravel(), dict(zip(rows, examples, strict=True)))
    handles = [Patch(color=COLOURS[s], label=s.name) for s in _shown(rows)]
    handles.append(Line2D([], [], lw=0, label=ERROR_KEY))
    figure.legend(handles=handles, fontsize=8, frameon=False, loc="outside lower center", ncols=4)
    return figure


def _middle_thirds(images: pd.DataFrame) -> pd.DataFrame:
    """Images in the middle third of the slices of their volume, at least one of each."""
    slices = images.groupby(["subject", "frame"])["slice"]
    count = slices.transform("size")
    from_middle = (slices.rank() - (count + 1) / 2).abs()
    return images[from_middle <= np.maximum(0.5, count / 6)]


def _roles(n: int) -> list[tuple[int, str]]:
    """Which of the images in rising order are shown, the best first; of two, none is in the middle."""
    roles = {n // 2: "middle", 0: "low", n - 1: "high"} if n else {}
    return sorted(roles.items(), reverse=True)


def _load(evaluation: Evaluation, row: pd.Series, role: str) -> Example:
    """Pixels of one image with one start's prediction."""
    pairs = {(truth.subject, truth.frame): (truth, other) for truth, other in evaluation.pairs}
    return load_example(row, *pairs[row["subject"], int(row["frame"])], role=role)


def _check(rows: Mapping[str, Sequence[Example]]) -> None:
    """All starts show the same images, with a truth."""
    shown = {start: [(e.subject, e.phase, e.slice) for e in examples] for start, examples in rows.items()}
    first = next(iter(shown.values()), [])
    if not first:
        raise ValueError("rows must hold at least one image, got none")
    other = [start for start, images in shown.items() if images != first]
    if other:
        raise ValueError(f"rows must show the same images for every start, got others for {', '.join(other)}")
    if any(e.truth is None for examples in rows.values() for e in examples):
        raise ValueError("rows must hold images with a truth, got one without")


def _draw_block(axes: Sequence[Axes], examples: Mapping[str, Example]) -> None:
    """One image: itself and the truth, then prediction and errors of every start."""
    first = next(iter(examples.values()))
    predicted = np.maximum.reduce([e.predicted for e in examples.values()])
    box = heart_box(replace(first, predicted=predicted))
    for ax in axes:
        ax.set_xticks([])
        ax.set_yticks([])
        ax.spines[:].set_visible(False)
    image = first.image[box]
    low, high = np.percentile(image, (1, 99))
    axes[0].imshow(image.T, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), interpolation="bilinear")
    axes[0].set_title("image", fontsize=8)
    lines = (first.role, first.subject, ", ".join(filter(None, (first.phase, f"slice {first.slice}"))))
    axes[0].set_ylabel("\n".join(filter(None, lines)), fontsize=8)
    masks = [("truth", first.truth), *_masks(examples)]
    for ax, (title, mask) in zip(axes[1:], masks, strict=True):
        ax.imshow(PALETTE[mask[box].T], interpolation="nearest")
        ax.set_title(title, fontsize=8)


def _masks(examples: Mapping[str, Example]) -> Iterator[tuple[str, np.ndarray]]:
    """Title and mask of prediction and errors, for every start."""
    for start, example in examples.items():
        yield f"{start}, Dice {example.dice:.2f}", example.predicted
        yield "errors", error_map(example.predicted, example.truth)


def error_map(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Label that each wrong pixel is about.

    Parameters
    ----------
    predicted, truth
        Masks in `Label` ids, of one shape.

    Returns
    -------
    Mask of the same shape: 0 where both agree, else the true label, or the predicted one where the truth
    is background.
    """
    concerned = np.where(truth > 0, truth, predicted)
    return np.where(predicted == truth, Label.BACKGROUND, concerned)


def _shown(rows: Mapping[str, Sequence[Example]]) -> list[Label]:
    """Structures that a mask shows."""
    masks = [m for examples in rows.values() for e in examples for m in (e.predicted, e.truth)]
    return [s for s in STRUCTURES if any((m == s).any() for m in masks)]
