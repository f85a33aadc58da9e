"""Outlines of structures as closed polygons in the pixels of an image, from masks and back.

Coordinates are ``(x, y)`` = (column, row), counted from 0 at the centre of the first pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from skimage.measure import find_contours, grid_points_in_poly

from cmrseg.cine import Cine
from cmrseg.io.dicom import DicomImage
from cmrseg.io.dicom_planes import Plane, plane_of, planes_of
from cmrseg.labels import STRUCTURES, Label

Polygon = Float[np.ndarray, "n 2"]

_HALF_OPEN = (1e-6, 1.7e-6)  # pixels; of two opposite borders through pixel centres, one is inside
_TOUCHING = np.ones((3, 3))


class Outline(StrEnum):
    """What a contour goes around, by its word in the names of files."""

    ENDOCARDIUM = "icontour"
    EPICARDIUM = "ocontour"
    RV = "rvcontour"


Polygons = Mapping[Outline, Polygon]


def outline(mask: Bool[np.ndarray, "x y"], *, around: Bool[np.ndarray, "x y"] | None = None) -> Polygon:
    """The border of the largest piece of a mask, its holes filled.

    The border runs half-way between the centres of neighbouring pixels inside and outside. It encloses
    exactly the pixels of the piece, and half a pixel less than their area.

    Parameters
    ----------
    mask
        One structure in one image, shape ``(x, y)``.
    around
        Another mask: the piece that holds most of it is taken instead of the largest, if there is one.

    Returns
    -------
    Points ``(x, y)`` in pixels, each once, shape ``(n, 2)``; no points for an empty mask.
    """
    inside = np.argwhere(mask)
    if not len(inside):
        return np.empty((0, 2))
    corner, end = inside.min(axis=0), inside.max(axis=0) + 1
    framed = np.pad(mask[corner[0] : end[0], corner[1] : end[1]], 1)
    pieces, _ = ndimage.label(framed, _TOUCHING)
    within = pieces[1:-1, 1:-1][around[corner[0] : end[0], corner[1] : end[1]]] if around is not None else ()
    piece = pieces == 1 + np.bincount(within if np.any(within) else pieces[framed])[1:].argmax()
    filled = ndimage.binary_fill_holes(piece).astype(np.uint8)
    (border,) = find_contours(filled, 0.5, fully_connected="high")
    return border[:-1] + corner - 1


def outlines(labels: UInt8[np.ndarray, "x y"]) -> dict[Outline, Polygon]:
    """Contours of one labelled image.

    Parameters
    ----------
    labels
        `Label` ids, shape ``(x, y)``.

    Returns
    -------
    Endocardium (LV), epicardium (LV and myocardium together, where there is myocardium) and RV; what the
    image does not show is left out.
    """
    labels = np.asarray(labels)
    lv, myo, rv = (labels == label for label in STRUCTURES)
    found = {
        Outline.ENDOCARDIUM: outline(lv),
        Outline.EPICARDIUM: outline(lv | myo, around=lv) if myo.any() else np.empty((0, 2)),
        Outline.RV: outline(rv),
    }
    if np.array_equal(found[Outline.EPICARDIUM], found[Outline.ENDOCARDIUM]):
        del found[Outline.EPICARDIUM]  # the myocardium lies apart
    return {kind: polygon for kind, polygon in found.items() if len(polygon)}


def rasterise(polygon: Polygon, size: tuple[int, int]) -> Bool[np.ndarray, "x y"]:
    """The pixels whose centres lie in a polygon.

    Contours that people draw often run through the centres of pixels. Of these, one side is inside, so that
    the number of pixels is the area of the polygon on average.

    Parameters
    ----------
    polygon
        Points ``(x, y)`` in pixels, shape ``(n, 2)``.
    size
        ``(x, y)`` of the mask.

    Returns
    -------
    Mask of shape ``size``.
    """
    mask = np.zeros(size, bool)
    low = np.clip(np.floor(np.min(polygon, axis=0)), 0, size).astype(int)
    high = np.clip(np.ceil(np.max(polygon, axis=0)) + 1, low, size).astype(int)
    inside = grid_points_in_poly(tuple(high - low), np.asarray(polygon) - low + _HALF_OPEN)
    mask[low[0] : high[0], low[1] : high[1]] = inside
    return mask


def label_map(polygons: Polygons, size: tuple[int, int]) -> UInt8[np.ndarray, "x y"]:
    """One labelled image from its contours: the inverse of `outlines`.

    Parameters
    ----------
    polygons
        Contours of the image; without an epicardium there is no myocardium.
    size
        ``(x, y)`` of the mask.

    Returns
    -------
    `Label` ids, shape ``size``. Where contours overlap, LV goes before myocardium, myocardium before RV.
    """
    labels = np.zeros(size, np.uint8)
    order = ((Outline.RV, Label.RV), (Outline.EPICARDIUM, Label.MYO), (Outline.ENDOCARDIUM, Label.LV))
    for kind, label in order:
        if kind in polygons:
            labels[rasterise(polygons[kind], size)] = label
    return labels


def polygon_area(polygon: Polygon) -> float:
    """Area inside a polygon without crossings, in pixels."""
    x, y = np.asarray(polygon, float).T
    return float(abs(x @ np.roll(y, -1) - np.roll(x, -1) @ y) / 2)


def cine_to_source(cine: Plane, source: Plane) -> Float[np.ndarray, "2 3"]:
    """Where the pixels of a cine lie in the image that they come from.

    Parameters
    ----------
    cine, source
        Pixel grids of a slice of the cine and of the source image, see `cmrseg.io.dicom_planes`.

    Returns
    -------
    Matrix ``m``: ``m[:, :2] @ (x, y) + m[:, 2]`` is the (column, row) in the source. A slice that curation
    left as it was keeps its pixels, although the affine of a stack is not exact for every slice.
    """
    if cine.has_grid_of(source):
        return np.eye(2, 3)
    to_column, to_row = source.row / source.spacing[0], source.column / source.spacing[1]
    axes = np.stack([cine.row * cine.spacing[0], cine.column * cine.spacing[1], cine.corner - source.corner])
    return np.stack([axes @ to_column, axes @ to_row])


def moved(polygon: Polygon, matrix: Float[np.ndarray, "2 3"]) -> Polygon:
    """A polygon in the pixels of another image, see `cine_to_source`."""
    return np.asarray(polygon) @ matrix[:, :2].T + matrix[:, 2]


def inverse(matrix: Float[np.ndarray, "2 3"]) -> Float[np.ndarray, "2 3"]:
    """The inverse of a matrix of `cine_to_source`."""
    turned = np.linalg.inv(matrix[:, :2])
    return np.column_stack([turned, -turned @ matrix[:, 2]])


def mask_contours(
    mask: Cine, images: Mapping[tuple[int, int], DicomImage]
) -> dict[DicomImage, dict[Outline, Polygon]]:
    """Contours of a mask, in the pixels of the images that it was drawn on.

    Parameters
    ----------
    mask
        `Label` ids, shape ``(x, y, z, t)``, with an affine.
    images
        Source image of slices and frames, by ``(z, t)``. Where curation filled a gap in time with a copy, the
        first frame of an image counts; a slice that it filled in has no image.

    Returns
    -------
    Contours of every image that shows a structure.
    """
    planes = planes_of(mask)
    found: dict[DicomImage, dict[Outline, Polygon]] = {}
    for (z, t), image in sorted(images.items(), key=lambda item: item[0]):
        source = plane_of(image)
        if image in found or not is_slice_of(planes[z], source, mask.spacing[2]):
            continue
        matrix = cine_to_source(planes[z], source)
        if polygons := {kind: moved(p, matrix) for kind, p in outlines(mask.array[:, :, z, t]).items()}:
            found[image] = polygons
    return found


def is_slice_of(cine: Plane, source: Plane, distance_mm: float) -> bool:
    """Whether a slice of a cine shows its source image: slices that curation filled in name a neighbour's.

    Parameters
    ----------
    cine, source
        Planes of both.
    distance_mm
        Distance of slices.
    """
    return cine.distance_mm(source) < distance_mm / 2
