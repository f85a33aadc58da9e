"""Masks that a person has corrected: they are kept and measured, on the grid of their image.

An editor may turn the axes, save another type of number, or save the one frame that was corrected. All of
that is taken as long as nothing is lost; frames that were not corrected keep the model's mask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cmrseg.arrays import CineLabels
from cmrseg.cine import Cine
from cmrseg.io.grid import Grid
from cmrseg.io.images import load_mask, read_grid
from cmrseg.labels import Label
from cmrseg.metrics.volumes import ed_es_frames, pixel_curve
from cmrseg.problems import DataError

_REPAIR = (
    "save it with the geometry of the image and 0, 1 LV, 2 MYO, 3 RV, or delete it to have it made again"
)
_AS_GOOD = 0.01  # Dice: among frames that are this alike, a reader has contoured ED or ES
_ALIKE = 0.5  # Dice with the model's mask, below which a single frame belongs to none of the cine


@dataclass(frozen=True)
class Corrected:
    """A corrected mask.

    Attributes
    ----------
    mask
        `Label` ids on the grid of the image.
    told
        How it was taken, where that is not simply as it is.
    """

    mask: Cine
    told: str = ""


def read_corrected(path: Path, image: Cine, model_mask: Callable[[], Cine]) -> Corrected:
    """The mask that a person has changed.

    Parameters
    ----------
    path
        Its file.
    image
        What it is a mask of, ``(x, y, z, t)``.
    model_mask
        Makes the model's mask of that image; asked only for frames that were not corrected.

    Raises
    ------
    DataError
        If the mask cannot be read, holds other values, or lies elsewhere than the image.
    """
    grid = Grid.of(image)
    try:
        mask = load_mask(path, "cmrseg", image=grid)
    except DataError as error:
        what = str(error).partition("; ")[0].replace(str(path), short_name(path))
        raise DataError(f"{what}; {_REPAIR}") from None
    if grid.is_placed and not read_grid(path, image=grid).is_placed:
        raise _other_grid(path, "its header does not say where it lies")
    frames, wanted = mask.array.shape[3], image.array.shape[3]
    if frames == wanted:
        return _filled(mask.array, image, model_mask)
    if frames == 1:
        return _one_frame(path, mask.array, image, model_mask())
    raise _other_grid(path, f"{frames} frames for {wanted}")


def short_name(path: Path) -> str:
    """A mask with its folder: where results are can tell who a patient is, and this is written into them."""
    return f"{path.parent.name}/{path.name}"


def _filled(array: CineLabels, image: Cine, model_mask: Callable[[], Cine]) -> Corrected:
    """Frames without any contour get the model's mask where others have some."""
    empty = ~array.any(axis=(0, 1, 2))
    if empty.all() or not empty.any():
        return Corrected(image.with_array(array))
    drawn = np.flatnonzero(~empty)
    told = f"corrected in {_frames(drawn)}; the frames without contours have the model's mask"
    return Corrected(image.with_array(np.where(empty, model_mask().array, array)), told)


def _one_frame(path: Path, array: CineLabels, image: Cine, made: Cine) -> Corrected:
    """The model's mask with the most similar frame replaced: ED or ES where that is as good."""
    if not array.any():
        raise _other_grid(path, f"an empty frame for {image.array.shape[3]}")
    alike = np.array([_dice(array[..., 0], made.array[..., t]) for t in range(made.array.shape[3])])
    if alike.max() < _ALIKE:
        raise _other_grid(path, f"one frame, which is like none of the cine (Dice {alike.max():.2f})")
    # As measured: a person corrects the frame that looks largest or smallest.
    both = ed_es_frames(pixel_curve(made.array, Label.LV), smooth=False)
    ends = [t for t in both if alike[t] >= alike.max() - _AS_GOOD]
    frame = max(ends, key=alike.__getitem__) if ends else int(alike.argmax())
    joined = made.array.copy()
    joined[..., frame] = array[..., 0]
    told = f"one frame, taken for frame {frame}, whose model's mask it is most like; the others have theirs"
    return Corrected(image.with_array(joined), told)


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    """Dice of all structures together."""
    total = np.count_nonzero(one) + np.count_nonzero(other)
    return 2 * np.count_nonzero((one == other) & (one > 0)) / total if total else 0.0


def _other_grid(path: Path, what: str) -> DataError:
    """What is wrong with the grid of a mask."""
    return DataError(f"{short_name(path)} is on another grid than its image ({what}); {_REPAIR}")


def _frames(numbers: np.ndarray) -> str:
    """Up to five frames."""
    names = ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")
    return f"frame{'s' * (len(numbers) > 1)} {names}"
