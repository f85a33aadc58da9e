"""All repairs in their order, and the cine that comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cmrseg.cine import Cine
from cmrseg.curation.cycle import synchronise
from cmrseg.curation.grid import align, limit_size
from cmrseg.curation.phases import equalise_phases
from cmrseg.curation.pictures import Pictures, take_pictures
from cmrseg.curation.planes import remove_collisions
from cmrseg.curation.rules import Rules
from cmrseg.curation.slices import Slice
from cmrseg.curation.spacing import fill_missing, in_order, note_metadata, remove_excess, usual_spacing
from cmrseg.problems import DataError, Problem

Repair = Callable[[Sequence[Slice], Rules], tuple[list[Slice], list[Problem]]]

REPAIRS: tuple[Repair, ...] = (
    note_metadata,
    remove_collisions,
    remove_excess,
    align,
    synchronise,
    equalise_phases,
    remove_excess,  # a slice with too few frames may have left a gap at the end
    fill_missing,
    limit_size,
)
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Repaired:
    """Slices in the order along the normal, what was done to them, and pictures of that."""

    slices: list[Slice]
    problems: list[Problem]
    pictures: Pictures


def repair(slices: Sequence[Slice], rules: Rules) -> Repaired:
    """Apply all repairs to the slices of one measurement.

    Parameters
    ----------
    slices
        Parallel slices with their frames.
    rules
        Tolerances and choices.

    Returns
    -------
    Slices with equal grids and frame counts in the order along the normal, and what was done.

    Raises
    ------
    DataError
        If too few slices are left, or the stack falls into parts.
    """
    problems: list[Problem] = []
    pictures: Pictures = []
    left = list(slices)
    for step in REPAIRS:
        _check_enough(left, rules)
        before = left
        left, found = step(left, rules)
        problems += [problem for problem in found if problem not in problems]
        pictures += take_pictures(before, left, found)
    _check_enough(left, rules)
    _check_even(left, rules)
    return Repaired(in_order(left)[0], problems, pictures)


def to_cine(slices: Sequence[Slice]) -> Cine:
    """Equal slices as one array.

    Parameters
    ----------
    slices
        What `repair` returned.

    Returns
    -------
    Cine whose affine maps voxels to RAS coordinates in mm; frame times are medians over the slices.
    """
    ordered, along = in_order(slices)
    first = ordered[0]
    dz = usual_spacing(ordered)
    stack = np.empty(
        (len(first.images), len(ordered), *first.size), np.result_type(*(s.frames for s in ordered))
    )
    for z, s in enumerate(ordered):
        stack[:, z] = s.frames
    start = float(np.median(along - dz * np.arange(len(ordered)))) - along[0]
    axes = np.stack(
        [first.row * first.spacing[0], first.column * first.spacing[1], first.normal * dz], axis=1
    )
    affine = np.eye(4)
    affine[:3, :3] = LPS_TO_RAS @ axes
    affine[:3, 3] = LPS_TO_RAS @ (_mean_corner(ordered) + first.normal * start)
    times = np.median([s.times_ms for s in ordered], axis=0)
    return Cine(
        stack.T,
        (*(float(v) for v in first.spacing), dz),
        affine,
        tuple(map(float, times)) if np.isfinite(times).all() else (),
    )


def rotated(cine: Cine) -> Cine:
    """A cine with more columns than rows, turned by 90 degrees so that it has more rows.

    The affine is turned with it: every voxel keeps its place in the patient.
    """
    columns = cine.array.shape[0]
    turn = np.array([[0.0, -1, 0, columns - 1], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    array = np.rot90(cine.array, 3)
    dx, dy, dz = cine.spacing
    return Cine(array, (dy, dx, dz), cine.affine @ turn, cine.frame_times_ms)


def _mean_corner(slices: Sequence[Slice]) -> np.ndarray:
    """Corner of the first slice, with the rounding of all corners taken out."""
    first = slices[0]
    offsets = np.array([s.corner - first.corner for s in slices])
    in_plane = offsets - np.outer(offsets @ first.normal, first.normal)
    return first.corner + in_plane.mean(axis=0)


def _check_even(slices: Sequence[Slice], rules: Rules) -> None:
    """An evenly spaced stack is all that a NIfTI file can hold."""
    _, along = in_order(slices)
    spacing = usual_spacing(slices)
    off = along - spacing * np.arange(len(along))
    worst = float(abs(off - np.median(off)).max())
    if rules.missing_slice != "leave" and worst > rules.max_uneven_spacings * spacing:
        raise DataError(
            f"the slices are not evenly spaced: one lies {worst:.1f} mm from its place in a stack of "
            f"{spacing:.1f} mm; name the series of one stack with --series"
        )


def _check_enough(slices: Sequence[Slice], rules: Rules) -> None:
    """A stack is at least a few slices."""
    if len(slices) < rules.min_slices:
        raise DataError(f"{len(slices)} usable slice(s) are left; at least {rules.min_slices} are needed")
