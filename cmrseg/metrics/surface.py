"""Distances between the surfaces of two masks, in mm.

The definitions are MONAI's (``compute_hausdorff_distance`` and ``compute_average_surface_distance``
with ``spacing``); here both come from one pair of distance maps on a cropped grid, without torch.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool
from scipy.ndimage import binary_erosion, distance_transform_edt, generate_binary_structure


class SurfaceDistances(NamedTuple):
    """Distances between two surfaces.

    Attributes
    ----------
    hd
        Hausdorff distance in mm: the largest distance from either surface to the other.
    hd95
        The larger of the two directed 95th percentiles, in mm.
    assd
        Average symmetric surface distance in mm: mean over the voxels of both surfaces.
    """

    hd: float
    hd95: float
    assd: float


def surface_distances(
    pred: Bool[np.ndarray, "x y z"],
    truth: Bool[np.ndarray, "x y z"],
    spacing: tuple[float, float, float],
) -> SurfaceDistances:
    """Hausdorff distance, its 95th percentile and the average surface distance of one structure.

    The surface of a mask is its voxels with a face neighbour outside; at the first and the last
    slice that is the whole cross-section. A single slice is compared by its 2D outline.

    Parameters
    ----------
    pred, truth
        Masks of one structure, shape ``(x, y, z)``.
    spacing
        ``(dx, dy, dz)`` in mm; ``nan`` where it is unknown.

    Returns
    -------
    Distances in mm. All are 0 if the structure is absent from both masks, and ``nan`` if it is
    absent from exactly one (there is no surface to measure to; Dice tells that it was missed) or
    if the spacing is unknown. ``dz`` is not needed for a single slice.

    Raises
    ------
    ValueError
        If the shapes differ or a spacing is not positive.

    References
    ----------
    Huttenlocher et al., IEEE PAMI 15:850 (1993), doi:10.1109/34.232073;
    Heimann et al., IEEE TMI 28:1251 (2009), doi:10.1109/TMI.2009.2013851 (ASSD);
    Maier-Hein, Reinke et al., Nat Methods 21:195 (2024), doi:10.1038/s41592-023-02151-z.
    """
    pred, truth = np.asarray(pred, bool), np.asarray(truth, bool)
    if pred.shape != truth.shape or pred.ndim != 3:
        raise ValueError(f"pred {pred.shape} and truth {truth.shape} must have one shape (x, y, z)")
    if any(s <= 0 for s in spacing):
        raise ValueError(f"spacing must be positive (mm), got {spacing}")
    sampling = spacing if pred.shape[2] > 1 else spacing[:2]
    if not pred.any() and not truth.any():
        return SurfaceDistances(0.0, 0.0, 0.0)
    if not (pred.any() and truth.any()) or not all(math.isfinite(s) for s in sampling):
        return SurfaceDistances(math.nan, math.nan, math.nan)
    if pred.shape[2] == 1:
        pred, truth = pred[..., 0], truth[..., 0]
    return _distances(*_crop(pred, truth), sampling)


def _crop(pred: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both masks on their common bounding box, which holds all that a distance depends on."""
    either = np.nonzero(pred | truth)
    box = tuple(slice(axis.min(), axis.max() + 1) for axis in either)
    return pred[box], truth[box]


def _surface(mask: np.ndarray) -> np.ndarray:
    """Voxels of the mask that have a face neighbour outside it."""
    return mask & ~binary_erosion(mask, generate_binary_structure(mask.ndim, 1))


def _distances(pred: np.ndarray, truth: np.ndarray, sampling: tuple[float, ...]) -> SurfaceDistances:
    """Distances between two surfaces that both exist."""
    a, b = _surface(pred), _surface(truth)
    to_truth = distance_transform_edt(~b, sampling)[a]
    to_pred = distance_transform_edt(~a, sampling)[b]
    return SurfaceDistances(
        hd=float(max(to_truth.max(), to_pred.max())),
        hd95=float(max(np.percentile(to_truth, 95), np.percentile(to_pred, 95))),
        assd=float(np.concatenate([to_truth, to_pred]).mean()),
    )
