"""Repairs in the plane of a slice: rotation, pixel size, matrix and shift against most of the stack."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from skimage.transform import resize

from cmrseg.curation import kinds
from cmrseg.curation.rules import Rules
from cmrseg.curation.slices import Slice, largest_mode
from cmrseg.problems import Problem

_MAX_SHIFT_PIXELS = 2  # where pixels are far below a millimetre
_SAME_PIXEL = 0.02  # pixels; closer coordinates are the same pixel, and nothing is interpolated


@dataclass(frozen=True)
class Plane:
    """The grid that the slices of a study share: directions, pixel size (mm), matrix, axis of the stack."""

    row: np.ndarray
    column: np.ndarray
    spacing: tuple[float, float]
    size: tuple[int, int]
    centre: np.ndarray

    def corner_of(self, s: Slice) -> np.ndarray:
        """Where the first pixel of the grid lies in the plane of a slice."""
        normal = np.cross(self.row, self.column)
        rows, columns = self.size
        half = self.row * self.spacing[0] * (columns - 1) / 2 + self.column * self.spacing[1] * (rows - 1) / 2
        return self.centre + normal * float((s.centre - self.centre) @ normal) - half


def align(slices: Sequence[Slice], rules: Rules) -> tuple[list[Slice], list[Problem]]:
    """Bring slices with another orientation, pixel size, matrix or position onto the grid of most slices.

    Pixels go where the header says that they are: rotated, scaled, cropped and padded in one linear
    interpolation, or moved without any where the grids coincide.
    """
    plane = _usual_plane(slices)
    aligned, problems = [], []
    for s in slices:
        found = _deviations(s, plane, rules)
        problems += found
        aligned.append(_resampled(s, plane) if found else s)
    return aligned, problems


def limit_size(slices: Sequence[Slice], rules: Rules) -> tuple[list[Slice], list[Problem]]:
    """Scale down images that are larger than the rules allow."""
    rows, columns = slices[0].size
    if not rules.max_size or max(rows, columns) <= rules.max_size:
        return list(slices), []
    factor = rules.max_size / max(rows, columns)
    size = max(round(rows * factor), 1), max(round(columns * factor), 1)
    problem = Problem(
        "", kinds.TOO_LARGE, "scaled", "", f"({columns}, {rows}) pixels scaled down with factor: {factor:.6f}"
    )
    return [_scaled(s, size) for s in slices], [problem]


def _usual_plane(slices: Sequence[Slice]) -> Plane:
    """Directions, pixel size and matrix that most slices have, and the axis through their centres."""
    orientation = largest_mode([_rounded_orientation(s) for s in slices])
    like = [s for s in slices if _rounded_orientation(s) == orientation]
    spacing = largest_mode([tuple(round(v, 6) for v in s.spacing) for s in slices])
    size = largest_mode([s.size for s in slices])
    usual = [s for s in like if s.size == size and np.allclose(s.spacing, spacing, atol=1e-6)] or like
    first = usual[0]
    offsets = [_in_plane(s.centre - first.centre, first) for s in usual]
    u, v = np.quantile(offsets, 0.5, axis=0, method="nearest")  # an actual slice, which then stays as it is
    return Plane(first.row, first.column, spacing, size, first.centre + u * first.row + v * first.column)


def _rounded_orientation(s: Slice) -> tuple[float, ...]:
    """Directions of a row and a column to three figures."""
    return tuple(round(float(v), 3) + 0.0 for v in (*s.row, *s.column))


def _in_plane(vector: np.ndarray, s: Slice) -> tuple[float, float]:
    """A vector along rows and columns of a slice, mm."""
    return float(vector @ s.row), float(vector @ s.column)


def _deviations(s: Slice, plane: Plane, rules: Rules) -> list[Problem]:
    """In what a slice differs from the others."""
    found = []
    done = "scaling/padding/cropping"
    turned = max(abs(s.row - plane.row).max(), abs(s.column - plane.column).max())
    if turned > rules.orientation_tolerance:
        found.append(s.problem(kinds.ROTATION, "rotation", f"{_rotation_deg(s, plane):.2f} degrees"))
    if abs(np.array(s.spacing) / plane.spacing - 1).max() > rules.spacing_tolerance:
        found.append(
            s.problem(kinds.PIXEL_SPACING, done, f"expected: {_mm(plane.spacing)}, actual: {_mm(s.spacing)}")
        )
    if s.size != plane.size:
        found.append(s.problem(kinds.IMAGE_SIZE, done, f"expected: {plane.size}, actual: {s.size}"))
    off_axis = s.centre - plane.centre
    off_axis = off_axis - s.normal * float(off_axis @ s.normal)
    if np.linalg.norm(off_axis) > min(rules.shift_mm, _MAX_SHIFT_PIXELS * min(plane.spacing)):
        found.append(
            s.problem(kinds.SHIFT, "moved", f"{np.linalg.norm(off_axis):.2f} mm off the axis of the stack")
        )
    return found


def _mm(spacing: tuple[float, float]) -> str:
    """A pixel size for the log."""
    return f"{spacing[0]:.6g} x {spacing[1]:.6g} mm"


def _rotation_deg(s: Slice, plane: Plane) -> float:
    """Angle by which the rows of a slice are turned."""
    return math.degrees(math.acos(float(np.clip(s.row @ plane.row, -1, 1))))


def _resampled(s: Slice, plane: Plane) -> Slice:
    """A slice on the grid of the others."""
    corner = plane.corner_of(s)
    step = np.array(
        [plane.column * plane.spacing[1], plane.row * plane.spacing[0]]
    )  # of one row, of one column
    dx, dy = s.spacing
    to_source = np.array([[v @ s.column / dy, v @ s.row / dx] for v in step]).T
    start = np.array([(corner - s.corner) @ s.column / dy, (corner - s.corner) @ s.row / dx])
    frames = np.stack([_sampled(frame, to_source, start, plane.size) for frame in s.frames])
    return replace(s, frames=frames, corner=corner, row=plane.row, column=plane.column, spacing=plane.spacing)


def _sampled(frame: np.ndarray, matrix: np.ndarray, start: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Values at ``matrix @ (row, column) + start`` for every pixel of a grid; 0 outside."""
    snapped, corner = np.rint(matrix), np.rint(start)
    far = np.array(size) - 1
    drift = abs(matrix - snapped) @ far + abs(start - corner)
    if drift.max() < _SAME_PIXEL:
        return ndimage.affine_transform(frame, snapped, corner, size, order=0)
    return ndimage.affine_transform(frame, matrix, start, size, order=1)


def _scaled(s: Slice, size: tuple[int, int]) -> Slice:
    """A slice with fewer, larger pixels over the same field of view."""
    rows, columns = s.size
    dx, dy = s.spacing[0] * columns / size[1], s.spacing[1] * rows / size[0]
    frames = np.stack(
        [resize(frame, size, order=1, anti_aliasing=True, preserve_range=True) for frame in s.frames]
    )
    if s.frames.dtype.kind in "iu":
        frames = np.rint(frames)
    corner = s.corner + s.row * (dx - s.spacing[0]) / 2 + s.column * (dy - s.spacing[1]) / 2
    return replace(s, frames=frames.astype(s.frames.dtype), corner=corner, spacing=(dx, dy))
