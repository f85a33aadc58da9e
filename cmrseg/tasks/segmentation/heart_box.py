"""Which part of every slice holds the heart: the rest of the field need not go through the network.

Boxes lie on multiples of `DIVISOR` pixels. A network halves its images on a grid that begins at their corner:
on any other grid it gives other masks of the same heart (Dice 0.98 instead of 0.998).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from cmrseg.preprocess import DIVISOR, Box

MARGIN_MM = 30.0  # a network sees this far beyond the heart; less costs Dice at base and apex
NEAR_MM = 15.0  # what comes nearer to the edge of its box is segmented again, in a wider one
Pixels = tuple[float, float]  # mm, along rows and columns


def slice_boxes(heart: np.ndarray, pixel_mm: Pixels) -> list[Box]:
    """A box around the heart for every slice of a stack.

    Parameters
    ----------
    heart
        Where any structure was found in one frame, ``bool`` ``(z, H, W)``, not empty.
    pixel_mm
        Size of a pixel along rows and columns.

    Returns
    -------
    Rows and columns by slice, with a margin of `MARGIN_MM`. A box holds what was found in the slice and in
    those above and below, because the heart moves through the slices; where that is nothing, in the nearest.
    """
    seen = np.flatnonzero(heart.any(axis=(1, 2)))
    boxes = []
    for z in range(len(heart)):
        reach = max(1, np.abs(seen - z).min())
        near = np.any(heart[max(0, z - reach) : z + reach + 1], axis=0)
        boxes.append(_around(near, pixel_mm, MARGIN_MM))
    return boxes


def stack_box(boxes: Sequence[Box]) -> Box:
    """The smallest box that holds those of all slices: a stack is shown as one."""
    return reduce(_hull, boxes)


def wide_enough(box: Box, found: np.ndarray, shape: tuple[int, int], pixel_mm: Pixels) -> Box:
    """The same box, or a wider one where a structure comes near its edge.

    Parameters
    ----------
    box
        Rows and columns of the padded image.
    found
        Where any structure was found in it in any frame, ``bool`` ``(h, w)``.
    shape
        Rows and columns of the padded image, whose edge is no reason to widen.
    pixel_mm
        Size of a pixel along rows and columns.
    """
    if not found.any():
        return box
    whole = np.zeros(shape, bool)
    whole[box] = found
    if _hull(box, _around(whole, pixel_mm, NEAR_MM)) == box:
        return box
    return _hull(box, _around(whole, pixel_mm, MARGIN_MM))


def _around(found: np.ndarray, pixel_mm: Pixels, margin_mm: float) -> Box:
    """Rows and columns of what was found and of a margin, on multiples of `DIVISOR` and within the field."""

    def side(axis: int) -> slice:
        inside = np.flatnonzero(found.any(axis=1 - axis))
        margin = margin_mm / pixel_mm[axis]
        first = max(0, (inside[0] - margin) // DIVISOR * DIVISOR)
        last = min(found.shape[axis], -(-(inside[-1] + 1 + margin) // DIVISOR) * DIVISOR)
        return slice(int(first), int(last))

    return side(0), side(1)


def _hull(a: Box, b: Box) -> Box:
    """The smallest box that holds two."""
    rows, columns = (slice(min(p.start, q.start), max(p.stop, q.stop)) for p, q in zip(a, b, strict=True))
    return rows, columns
