"""A mask and its image: the same place, turned or flipped, or what differs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np

from cmrseg.io.grid import Grid
from cmrseg.problems import DataError

Turn = Callable[[np.ndarray], np.ndarray]
_HALF = 0.5  # of the smallest pixel: editors round
_NO_CHANCE = 1e-3  # mm
_SAME = 0.01  # relative difference of two spacings that is rounding
_ON_IMAGE = "save it on the grid of the image"


def turn_onto(mask: Grid, image: Grid, name: str) -> Turn:
    """What brings the array of a mask's file onto the grid of its image.

    Editors and converters flip and exchange axes and say so in the affine: that loses nothing and is undone.
    Where one of the two headers says nothing of the place, only the shapes can be compared, unless its axes
    are turned so that both fill the same box.

    Parameters
    ----------
    mask, image
        What the headers tell.
    name
        Of the mask, for the sentence that tells what differs.

    Returns
    -------
    Function from the array as the file has it to ``(x, y, z, t)`` on the grid of the image; the number of
    frames is the mask's.

    Raises
    ------
    DataError
        If the mask has another size or spacing, or lies elsewhere.
    """
    to_cine = mask.axes.to_cine if mask.axes else _as_it_is
    is_placed = mask.is_placed and image.is_placed
    if not is_placed and not _fill_one_box(mask, image):
        _check_shapes(mask.shape[:3], image.shape[:3], name)
        return to_cine
    matrix = np.linalg.inv(image.affine) @ mask.affine
    turn = _turn_of(matrix[:3, :3], mask.shape[:3])
    if turn is None:
        raise DataError(f"{name} lies elsewhere than its image: {_other_axes(mask, image)}; {_ON_IMAGE}")
    axes, signs = np.abs(turn).argmax(axis=1), turn.sum(axis=1)
    _check_shapes(tuple(mask.shape[axis] for axis in axes), image.shape[:3], name)
    shift, pixel = _shift_mm(matrix, turn, mask, image), np.linalg.norm(image.affine[:3, :3], axis=0).min()
    if shift > _HALF * pixel:
        raise DataError(f"{name} lies elsewhere than its image: shifted by {shift:.1f} mm; {_ON_IMAGE}")
    flips = tuple(slice(None, None, -1 if sign < 0 else 1) for sign in signs)
    return lambda array: to_cine(array).transpose([*axes, 3])[flips]


def _fill_one_box(mask: Grid, image: Grid) -> bool:
    """Whether exchanged and flipped axes bring a mask exactly onto its image, as no lost header does."""
    if not (np.isfinite([mask.affine, image.affine]).all() and abs(np.linalg.det(image.affine)) > _NO_CHANCE):
        return False
    matrix = np.linalg.inv(image.affine) @ mask.affine
    turn = _turn_of(matrix[:3, :3], mask.shape[:3])
    return turn is not None and _shift_mm(matrix, turn, mask, image) < _NO_CHANCE


def _as_it_is(array: np.ndarray) -> np.ndarray:
    """The array itself."""
    return array


def _turn_of(matrix: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """A matrix as exchange and flips of axes; None where it is something else.

    The distance of slices is no matter where there is one.
    """
    scaled = matrix.copy()
    for axis in range(3):
        if shape[axis] == 1:
            scaled[:, axis] /= np.abs(scaled[:, axis]).max()
    turn = np.round(scaled)
    is_turn = np.array_equal(np.abs(turn).sum(axis=0), (1, 1, 1)) and np.array_equal(
        np.abs(turn).sum(axis=1), (1, 1, 1)
    )
    return turn if is_turn and np.abs(scaled - turn).max() < 0.1 else None


def _shift_mm(matrix: np.ndarray, turn: np.ndarray, mask: Grid, image: Grid) -> float:
    """How far the corners of the mask lie from those of the image at most."""
    last = np.array(mask.shape[:3]) - 1
    corners = np.array(list(product((0, 1), repeat=3))) * last
    found = corners @ matrix[:3, :3].T + matrix[:3, 3]
    ends = np.where(turn.sum(axis=1) < 0, np.array(image.shape[:3]) - 1, 0)
    return float(np.linalg.norm((found - corners @ turn.T - ends) @ image.affine[:3, :3].T, axis=1).max())


def _other_axes(mask: Grid, image: Grid) -> str:
    """What makes two grids differ that have no axes in common."""
    one, other = (np.sort(np.linalg.norm(grid.affine[:3, :3], axis=0)) for grid in (mask, image))
    if not np.allclose(one, other, rtol=_SAME):
        ours, theirs = (" x ".join(f"{length:.4g}" for length in grid.spacing) for grid in (mask, image))
        return f"its spacing is {ours} mm, not {theirs} mm"
    directions = [grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0) for grid in (mask, image)]
    cosine = np.abs(directions[0].T @ directions[1]).max(axis=0).min()
    return f"its axes are turned by {np.degrees(np.arccos(min(cosine, 1.0))):.0f} degrees"


def _check_shapes(mask: tuple[int, ...], image: tuple[int, ...], name: str) -> None:
    """Both have as many pixels along every axis."""
    if mask != image:
        shapes = (" x ".join(map(str, shape)) for shape in (mask, image))
        raise DataError(
            "{} of shape {} does not fit its image of shape {}: it is on another grid; {}".format(
                name, *shapes, _ON_IMAGE
            )
        )
