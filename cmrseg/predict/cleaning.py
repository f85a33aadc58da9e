"""What is left of a mask when specks are removed."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from cmrseg.labels import STRUCTURES


def largest_components(mask: np.ndarray) -> np.ndarray:
    """Keep the largest connected piece of every structure, frame by frame.

    Parameters
    ----------
    mask
        `Label` ids, shape ``(x, y, z, t)``.

    Returns
    -------
    Mask of the same shape; smaller pieces became background. Pieces connect within a slice and to the
    slices above and below, diagonals included.
    """
    kept = np.zeros_like(mask)
    for t in range(mask.shape[3]):
        for structure in STRUCTURES:
            found = mask[..., t] == structure
            box = _bounding_box(found)
            pieces, n = ndimage.label(found[box], np.ones((3, 3, 3)))
            if n:
                sizes = np.bincount(pieces.ravel())[1:]
                kept[..., t][box][pieces == 1 + sizes.argmax()] = structure
    return kept


def _bounding_box(found: np.ndarray) -> tuple[slice, ...]:
    """The part of a volume outside of which there is nothing: empty slices where there is nothing at all."""
    box = ()
    for axis in range(found.ndim):
        inside = np.flatnonzero(found.any(axis=tuple(a for a in range(found.ndim) if a != axis)))
        box += (slice(inside[0], inside[-1] + 1) if inside.size else slice(0),)
    return box
