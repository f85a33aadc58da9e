"""Which axes of an array are those of a slice, which one counts the slices, and which one the frames.

Notes
-----
Axes that only pixels tell are not told by labels: a mask with the header of its image takes the axes of its
image before any search (``nifti_grid(like=)``). Masks are read with ``load_mask(..., image=)``, which
brings flipped or turned ones onto their image, and never compared by shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from cmrseg.problems import DataError

Order = tuple[int, int, int, int]  # axes of the file that are x, y, z and t; -1 where there is none
Pixels = Callable[[], np.ndarray]
AXES_NEEDED = "save it with the axes x y z t"

_CLEARLY_WIDER = 1.5  # distance of slices over the size of a pixel; 2.5 to 8 in short-axis stacks
_CLEARLY_FEWER = 2  # pixels along a slice over the number of slices
_MOST_STACK_MM = 400.0
_MANY = 32  # pixels along a slice rather than slices
_CLEARLY_CALMER = 3.5  # change between slices over change between frames; 4.6 to 10 in cines
_SECONDS_NOT_MM = 0.2
_MOST_LABELS = 8  # values of a mask, whose slices are often equal: it casts no doubt on a good header


class Array(NamedTuple):
    """What a header tells of an array: counts, distances (nan where unknown); and how to see its pixels."""

    name: str
    shape: tuple[int, ...]
    steps: tuple[float, ...]
    pixels: Pixels | None = None


def find_axes(array: Array) -> Order:
    """The axes of slices and frames of an array in any order.

    The slices are those that lie farthest apart, or else the axis with the fewest steps. The frames are the
    last axis, as NIfTI has it, unless counts or distances speak against it: then the pixels decide, because
    a heart changes less from frame to frame than from slice to slice.

    Parameters
    ----------
    array
        Its header, and its pixels for the case that this does not tell.

    Returns
    -------
    Axes of the array that are x, y, z and t, with -1 for those that it does not have.

    Raises
    ------
    DataError
        If the axes cannot be told.
    """
    axes = _used(array)
    if len(axes) == 2:
        return (*axes, -1, -1)
    if len(axes) == 3:
        return _three(array, axes)
    if (moved := _moved(array, axes)) is not None:
        return moved
    return (*_slices_last(array, axes[:3]), axes[3])


def contradicted(pixels: np.ndarray, order: Order) -> bool:
    """Whether the frames of an array change so much more than its slices that one must be the other."""
    _, _, slices, frames = order
    if min(slices, frames) < 0 or min(pixels.shape[slices], pixels.shape[frames]) < 3:
        return False
    return _clearly_calmer(pixels, slices, frames)


def _used(array: Array) -> tuple[int, ...]:
    """Up to four axes: those of length 1 beyond the third say nothing."""
    axes = [axis for axis, n in enumerate(array.shape) if axis < 3 or n > 1]
    while len(axes) > 4 and any(array.shape[axis] == 1 for axis in axes):
        axes.remove(next(axis for axis in axes if array.shape[axis] == 1))
    if not 2 <= len(axes) <= 4:
        raise DataError(f"{array.name} has {len(array.shape)} dimensions; 2 to 4 (x y z t) are needed")
    return tuple(axes)


def _three(array: Array, axes: Sequence[int]) -> Order:
    """Slices of one frame, or frames of one slice where the last distance must be one in time."""
    *sides, step = (array.steps[axis] for axis in axes)
    if array.shape[axes[2]] > 1 and 0 < step < _SECONDS_NOT_MM * min(sides):
        return axes[0], axes[1], -1, axes[2]
    if axes[2] > 2:  # x y 1 t is one slice, and a lost third axis stays where it was
        return axes[0], axes[1], -1, axes[2]
    return (*_slices_last(array, axes), -1)


def _slices_last(array: Array, axes: Sequence[int]) -> tuple[int, int, int]:
    """Three axes, that of the slices at the end."""
    wide, few = _evidence(array, axes)
    if _disagree(array, axes):
        steps, counts = ([values[axis] for axis in axes] for values in (array.steps, array.shape))
        raise DataError(
            f"{array.name}: the distances ({_by(steps)} mm) and the numbers of pixels ({_by(counts)}) name "
            f"different axes for the slices; {AXES_NEEDED}"
        )
    found = next((axis for axis in (wide, few) if axis is not None), axes[2])
    return (*(axis for axis in axes if axis != found), found)  # type: ignore[return-value]


def _evidence(array: Array, axes: Sequence[int]) -> tuple[int | None, int | None]:
    """The axis of the slices by distance and by number."""
    wide = _outstanding([array.steps[axis] for axis in axes], _CLEARLY_WIDER)
    few = _outstanding([1 / array.shape[axis] for axis in axes], _CLEARLY_FEWER)
    return (None if wide is None else axes[wide]), (None if few is None else axes[few])


def _disagree(array: Array, axes: Sequence[int]) -> bool:
    """Whether the axis of the largest distance is too long for a stack, and another one is short."""
    wide, few = _evidence(array, axes)
    if wide is None or few in (None, wide):
        return False
    return array.shape[wide] * array.steps[wide] > _MOST_STACK_MM


def _outstanding(values: Sequence[float], factor: float) -> int | None:
    """Which of some values is clearly the largest."""
    if not np.isfinite(values).all():
        return None
    *_, second, first = np.argsort(values)
    return int(first) if values[first] >= factor * values[second] else None


def _moved(array: Array, axes: Sequence[int]) -> Order | None:
    """The order of an array by its pixels, where its header casts doubt on the last axis; None elsewhere."""
    if array.pixels is None or not (_is_strange(array, axes) or _has_few_frames(array, axes)):
        return None
    plane = _plane(array, axes)
    first, last = (axis for axis in axes if axis not in plane) if plane else (-1, -1)
    pixels = array.pixels() if plane and min(array.shape[first], array.shape[last]) > 1 else None
    if plane and pixels is not None and (_is_strange(array, axes) or np.unique(pixels).size > _MOST_LABELS):
        for slices, frames in ((first, last), (last, first)):
            if _clearly_calmer(pixels, frames, slices):
                return (*plane, slices, frames)
    if _is_strange(array, axes):
        raise DataError(
            f"{array.name}: which axis of {_by(array.shape)} counts slices and which frames cannot be told; "
            f"{AXES_NEEDED}"
        )
    return None


def _is_strange(array: Array, axes: Sequence[int]) -> bool:
    """Whether counts and distances cannot be those of x y z t."""
    space, frames = axes[:3], array.shape[axes[3]]
    steps = [array.steps[axis] for axis in space]
    is_wide = frames >= _MANY and frames > _CLEARLY_FEWER * sorted(array.shape[axis] for axis in space)[1]
    return is_wide or 0 < min(steps) < _SECONDS_NOT_MM * sorted(steps)[1] or _disagree(array, space)


def _has_few_frames(array: Array, axes: Sequence[int]) -> bool:
    """Whether there are fewer frames than slices."""
    slices = _slices_last(array, axes[:3])[2]
    return 1 < array.shape[axes[3]] < array.shape[slices]


def _plane(array: Array, axes: Sequence[int]) -> tuple[int, int] | None:
    """The two axes that are clearly longer than the others."""
    *_, third, second, first = sorted(axes, key=lambda axis: array.shape[axis])
    is_clear = array.shape[second] >= _CLEARLY_WIDER * array.shape[third]
    return (min(first, second), max(first, second)) if is_clear else None


def _clearly_calmer(pixels: np.ndarray, one: int, other: int) -> bool:
    """Whether pixels change clearly less along one axis than along another."""
    plane = [axis for axis in range(pixels.ndim) if axis not in (one, other)]
    few = tuple(slice(None, None, 2) if axis in plane else slice(None) for axis in range(pixels.ndim))
    quick, slow = (
        float(np.abs(np.diff(pixels[few].astype(np.float32), axis=a)).mean()) for a in (one, other)
    )
    return slow > _CLEARLY_CALMER * quick


def _by(values: Sequence[float]) -> str:
    """Values as ``96 x 96 x 10``."""
    return " x ".join(f"{value:g}" for value in values)
