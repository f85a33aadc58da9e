"""Where the pixels of a file lie: spacing, place and time, by a header that may contradict itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cmrseg.cine import CYCLE_MS, Cine, FileAxes
from cmrseg.io.axes import AXES_NEEDED, Array, Pixels, find_axes
from cmrseg.problems import DataError

Spacing = tuple[float, float, float]
UNKNOWN_SPACING: Spacing = (np.nan, np.nan, np.nan)

MM_PER_UNIT = {"meter": 1e3, "micron": 1e-3}
_TIME_UNITS_PER_MS = {"sec": 1e-3, "msec": 1.0, "usec": 1e3}
_SAME = 0.01  # relative difference of two spacings that is rounding
_PIXEL_MM, _SLICE_MM, _LONGEST_MM = (0.2, 5.0), (1.0, 30.0), (0.05, 100.0)
_VECTOR_INTENTS = {1006, 1007, 2003, 2004}


@dataclass(frozen=True)
class Grid:
    """What a header tells of an image.

    Attributes
    ----------
    shape
        Of the cine, ``(x, y, z, t)``.
    spacing
        ``(dx, dy, dz)`` in mm; ``nan`` where it is unknown.
    affine
        Voxel index to scanner coordinates (mm), shape ``(4, 4)``.
    is_placed
        Whether the affine says where the image lies; False for PNG and headers that lost it.
    frame_times_ms
        Empty when unknown.
    axes
        How the file orders its axes; None for PNG.
    notes
        What a user should know of it, without the name of the file.
    """

    shape: tuple[int, int, int, int]
    spacing: Spacing
    affine: np.ndarray
    is_placed: bool = False
    frame_times_ms: tuple[float, ...] = ()
    axes: FileAxes | None = None
    notes: tuple[str, ...] = ()

    def cine(self, array: np.ndarray) -> Cine:
        """Pixels ``(x, y, z, t)`` on this grid."""
        return Cine(array, self.spacing, self.affine, self.frame_times_ms, self.axes)

    @classmethod
    def of(cls, cine: Cine) -> Grid:
        """The grid of a cine in memory."""
        lengths = np.linalg.norm(cine.affine[:3, :3], axis=0)
        is_placed = cine.has_spacing and np.allclose(lengths, cine.spacing, rtol=_SAME)
        is_placed &= cine.axes is None or cine.axes.spacing is not None
        shape = cine.array.shape
        return cls(shape, cine.spacing, cine.affine, is_placed, cine.frame_times_ms, cine.axes)  # type: ignore


@dataclass(frozen=True)
class _Space:
    """Spacing and affine along the axes of the file, and whether the affine says where the image lies."""

    spacing: Spacing
    affine: np.ndarray
    is_placed: bool
    notes: tuple[str, ...] = ()


def nifti_grid(header: Any, name: str, pixels: Pixels | None = None, *, like: FileAxes | None = None) -> Grid:
    """The grid of a NIfTI file.

    Parameters
    ----------
    header
        As nibabel reads it, unchecked.
    name
        Of the file.
    pixels
        Gives the array of the file; asked only where the header does not tell which axis is which.
    like
        Axes of another file; one with its header has the same, which labels tell worse than grey values.

    Raises
    ------
    DataError
        If the header contradicts itself and it cannot be told which part is right.
    """
    shape = tuple(int(n) for n in header.get_data_shape())
    if len(shape) > 4 and int(header["intent_code"]) in _VECTOR_INTENTS and 1 < shape[4] <= 4:
        raise DataError(f"{name} holds vectors; grey values or label ids are needed")
    space = _space(header, shape, name)
    pixdim = np.asarray(header["pixdim"], float)[1:]
    steps = (*space.spacing, *pixdim[3:])[: len(shape)]
    is_like = like is not None and _has_grid_of(header, shape, like)
    order = like.order if is_like else find_axes(Array(name, shape, steps, pixels))
    four = tuple(shape[axis] if axis >= 0 else 1 for axis in order)
    spacing, is_own = _spacing_of(order, (*space.spacing, *pixdim[3:]), name)
    is_of_space = is_own and max(order[:3]) < 3  # an affine says nothing of a fourth axis
    axes = FileAxes(order, shape, header, spacing if is_of_space else None)
    affine = axes.columns(space.affine) if is_own else space.affine
    times, time_notes = _frame_times_ms(header, pixdim[order[3] if is_own and order[3] >= 0 else 3], four[3])
    return Grid(
        four,  # type: ignore[arg-type]
        spacing,
        affine,
        space.is_placed and is_of_space,
        times,
        axes,
        (*_order_notes(axes), *space.notes, *time_notes),
    )


def _has_grid_of(header: Any, shape: tuple[int, ...], like: FileAxes) -> bool:
    """Whether a header is that of another file, but for the number of frames."""
    used = [axis for axis in like.order[:3] if axis >= 0]
    is_same = len(shape) == len(like.shape) and all(shape[axis] == like.shape[axis] for axis in used)
    return is_same and np.allclose(header.get_best_affine(), like.header.get_best_affine(), atol=1e-3)


def _space(header: Any, shape: tuple[int, ...], name: str) -> _Space:
    """What pixdim, qform and sform say together; ones and zeros say nothing."""
    unit, axes = MM_PER_UNIT.get(_units(header)[0], 1.0), slice(0, min(len(shape), 3))
    pixdim = unit * np.abs(np.asarray(header["pixdim"], float)[1:4])
    real = [axis for axis in range(3)[axes] if shape[axis] > 1]
    told = np.isfinite(pixdim) & (pixdim > 0) & _says(pixdim, shape, unit)
    has_pixdim = bool(told[real].all() and (told & (pixdim != unit))[axes].any())
    affine, is_placed = _affine(header, name)
    affine = np.diag([unit, unit, unit, 1.0]) @ affine
    columns = np.linalg.norm(affine[:3, :3], axis=0)
    has_columns = is_placed and not np.allclose(columns, unit, rtol=1e-6)
    said = np.where(_says(columns, shape, unit), columns, np.nan) if has_columns else np.full(3, np.nan)
    spacing, notes = np.where(told, pixdim, said) if has_pixdim else said, ()
    if not has_pixdim and not has_columns:
        return _Space(UNKNOWN_SPACING, affine, is_placed=False)
    if has_columns and not np.allclose(columns[real], pixdim[real], rtol=_SAME, atol=0):
        spacing, *notes = _settled(pixdim, columns, has_pixdim=has_pixdim, name=name)
    is_placed = has_columns and np.allclose(columns[real], spacing[real], rtol=_SAME, atol=0)
    return _Space(_plausible(spacing[axes], real, name), affine, is_placed, tuple(notes))


def _says(lengths: np.ndarray, shape: tuple[int, ...], unit: float) -> np.ndarray:
    """Whether a length means something: a distance of 1 between the slices of a single one does not."""
    is_single = len(shape) > 2 and shape[2] == 1
    return ~(np.array([False, False, is_single]) & np.isclose(lengths, unit, rtol=1e-6))


def _settled(
    pixdim: np.ndarray, columns: np.ndarray, *, has_pixdim: bool, name: str
) -> tuple[np.ndarray, str]:
    """Which of two spacings is right, where one of them is unset or in another unit."""
    told = f"pixdim says {_mm(pixdim)}, the sform {_mm(columns)}"
    ratio = pixdim / columns
    is_unit_error = np.allclose(ratio, ratio[0], rtol=_SAME) and not 1 / 9 < ratio[0] < 9
    if _is_stack(columns) and (not has_pixdim or (is_unit_error and not _is_stack(pixdim))):
        return columns, f"{told}: that of the sform counts"
    if is_unit_error and _is_stack(pixdim):
        return pixdim, f"{told}: that of pixdim counts"
    raise DataError(f"{name}: {told}; correct the one that is wrong, as volumes depend on it")


def _plausible(mm: np.ndarray, real: Sequence[int], name: str) -> Spacing:
    """A spacing that an image can have; a 2D image has no distance between slices."""
    wrong = [axis for axis in real if not _LONGEST_MM[0] <= mm[axis] <= _LONGEST_MM[1]]
    if wrong:
        raise DataError(f"{name}: a spacing of {_mm(mm)} is none of a heart's image; correct the header")
    rounded = [max(round(float(length), 6), 1e-6) for length in mm]
    return (*rounded, *UNKNOWN_SPACING[len(rounded) :])  # type: ignore[return-value]


def _is_stack(mm: Sequence[float]) -> bool:
    """Whether a spacing is one of a short-axis stack, whatever its order."""
    one, other, slices = sorted(mm)
    in_plane = _PIXEL_MM[0] <= one <= other <= _PIXEL_MM[1]
    return in_plane and _SLICE_MM[0] <= slices <= _SLICE_MM[1]


def _affine(header: Any, name: str) -> tuple[np.ndarray, bool]:
    """The affine in the units of the header, and whether it says where the image lies."""
    if int(header["sform_code"]) > 0:
        affine = header.get_sform()
        if not np.isfinite(affine).all():
            raise DataError(f"{name}: its sform is no number; correct the header")
        if abs(np.linalg.det(affine[:3, :3])) > 1e-12:
            return affine, True
    if int(header["qform_code"]) > 0:
        affine = header.get_qform()
        if not np.isfinite(affine).all():
            raise DataError(f"{name}: its qform is no number; correct the header")
        return affine, abs(np.linalg.det(affine[:3, :3])) > 1e-12
    return header.get_base_affine(), False


def _spacing_of(order: Sequence[int], steps: Sequence[float], name: str) -> tuple[Spacing, bool]:
    """Spacing of x, y and z, and whether it is that of their own axes.

    Whoever moves the axes of an array may forget the header: then its lengths are those of x y z in order.
    """
    own = tuple(float(steps[axis]) if axis >= 0 else np.nan for axis in order[:3])
    declared = tuple(float(step) for step in steps[:3])
    is_space = order[3] not in (0, 1, 2) and max(order[:3]) < 3
    if order[2] < 0 or (is_space and (list(order[:3]) == sorted(order[:3]) or own[2] == max(own))):
        return own, True  # type: ignore[return-value]
    if not np.isfinite(declared).all():
        return UNKNOWN_SPACING, is_space
    if _is_in_order(own) != _is_in_order(declared):
        return (own, True) if _is_in_order(own) else (declared, False)  # type: ignore[return-value]
    raise DataError(
        f"{name}: its axes are not x y z t, and which of them the spacing {_mm(declared)} belongs to cannot "
        f"be told; {AXES_NEEDED}"
    )


def _is_in_order(mm: Sequence[float]) -> bool:
    """Whether lengths are those of square pixels and of slices farther apart."""
    return _is_stack(mm) and mm[2] == max(mm) and abs(mm[0] - mm[1]) <= _SAME * mm[0]


def _units(header: Any) -> tuple[str, str]:
    """Units of length and time by the header; unknown where it holds a code that NIfTI does not have."""
    try:
        return header.get_xyzt_units()
    except KeyError:
        return "unknown", "unknown"


def _frame_times_ms(header: Any, step: float, frames: int) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Evenly spaced frame times, where the header gives the step and its unit and a heart can beat so."""
    unit = _units(header)[1]
    if frames == 1 or unit not in _TIME_UNITS_PER_MS or not step > 0:
        return (), ()
    step_ms = float(step) / _TIME_UNITS_PER_MS[unit]
    if not CYCLE_MS[0] <= frames * step_ms <= CYCLE_MS[1]:
        return (), (
            f"{frames} frames of {step_ms:g} ms are no heart beat: the times of frames are left empty",
        )
    return tuple(frame * step_ms for frame in range(frames)), ()


def _order_notes(axes: FileAxes) -> tuple[str, ...]:
    """The order of the axes, where it is not that of every other file."""
    used = [axis for axis in axes.order if axis >= 0]
    if used == sorted(used):
        return ()
    names = {axis: name for axis, name in zip(axes.order, "xyzt", strict=True) if axis >= 0}
    told = " ".join(names[axis] for axis in sorted(names))
    return (f"its axes are {told}; masks are written in the same order",)


def _mm(lengths: Sequence[float]) -> str:
    """Lengths as ``1.8 x 1.8 x 10 mm``."""
    return " x ".join(f"{length:.4g}" for length in lengths) + " mm"
