"""Where the pixels of a slice lie in the patient, and whether two slices are on the same pixel grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cmrseg.cine import Cine
from cmrseg.io.dicom import DicomImage

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
_SAME_PLACE_MM, _SAME_PLACE_PIXELS = 1.0, 1.0  # curation leaves slices as they are that lie closer


@dataclass(frozen=True, eq=False)
class Plane:
    """Pixel grid of one slice, LPS patient coordinates.

    Attributes
    ----------
    corner, row, column
        Centre of the first pixel (mm), and the unit directions of a row and of a column.
    spacing
        ``(dx, dy)`` in mm; columns are ``dx`` apart.
    size
        ``(rows, columns)``.
    """

    corner: np.ndarray
    row: np.ndarray
    column: np.ndarray
    spacing: tuple[float, float]
    size: tuple[int, int]

    @cached_property
    def normal(self) -> np.ndarray:
        """Direction across the plane."""
        return np.cross(self.row, self.column)

    @cached_property
    def corners(self) -> np.ndarray:
        """Centres of the first pixel, of the last in its row, of the last in its column, shape ``(3, 3)``."""
        (dx, dy), (rows, columns) = self.spacing, self.size
        ends = (0 * self.row, self.row * dx * (columns - 1), self.column * dy * (rows - 1))
        return self.corner + np.array(ends)

    def distance_mm(self, other: Plane) -> float:
        """How far the furthest corner of another plane is above or below this one."""
        return float(abs((other.corners - self.corner) @ self.normal).max())

    def is_slice_of(self, other: Plane, gap_mm: float) -> bool:
        """Whether both are the same slice of a stack whose slices are ``gap_mm`` apart."""
        return self.distance_mm(other) < gap_mm / 2

    def has_grid_of(self, other: Plane) -> bool:
        """Whether both have the same pixels, when seen along the normal."""
        apart = other.corners - self.corners
        sideways = apart - np.outer(apart @ self.normal, self.normal)
        near = min(_SAME_PLACE_MM, _SAME_PLACE_PIXELS * min(self.spacing))
        return self.size == other.size and float(np.linalg.norm(sideways, axis=1).max()) <= near


def plane_of(image: DicomImage) -> Plane:
    """The plane of an image, by its header."""
    row, column = np.array(image.orientation).reshape(2, 3)
    return Plane(np.array(image.position), row, column, image.spacing, (image.rows, image.columns))


def planes_of(cine: Cine) -> list[Plane]:
    """The planes of all slices of a cine, by its affine."""
    axes = LPS_TO_RAS @ cine.affine[:3, :3]
    row, column, _ = (axes / np.linalg.norm(axes, axis=0)).T
    columns, rows, slices, _ = cine.array.shape
    corners = [LPS_TO_RAS @ (cine.affine @ [0, 0, z, 1])[:3] for z in range(slices)]
    return [Plane(corner, row, column, cine.spacing[:2], (rows, columns)) for corner in corners]
