"""Cines that lie in several NIfTI files: one per slice, one per phase, or one per both."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cmrseg.data.layouts import ALL, ImageFile
from cmrseg.io.grid import Grid
from cmrseg.io.images import is_nifti, read_grid
from cmrseg.problems import DataError, Problem

_PHASE = re.compile(r"(?<![a-z])(?:frame|phase|time|trigger|ph|fr|tp|t)[-_ ]?(\d+)", re.IGNORECASE)
_SLICE = re.compile(r"(?:(?<![a-z])(?:slice|slc|sl)|(?<=sax)|(?<=sa))[-_ ]?(\d+)", re.IGNORECASE)
_NUMBER = re.compile(r"(\d+)(?!.*\d)")
_ASIDE_MM = 1.0  # a slice may lie beside the axis of its stack
_UNEVEN = 0.05  # of the distance of slices


@dataclass(frozen=True)
class _Part:
    """A file that may be a part of a cine.

    Its grid, the numbers of its name (-1 where it has none), whether one is called a slice's, its subject.
    """

    file: ImageFile
    grid: Grid
    phase: int
    number: int
    is_slice: bool
    subject: str


def join_parts(files: Sequence[ImageFile]) -> tuple[list[ImageFile], list[str], list[Problem]]:
    """Put files together that are slices or phases of one cine.

    Slices are told by their place: they have the same size and directions, and lie one behind the other.
    Phases are told by their names, which have a number after a word for time, and by one grid.

    Parameters
    ----------
    files
        Image files of which the data set says nothing but a name; others are returned as they are.

    Returns
    -------
    Files with subject, slice, frame and distance of slices; notes; and stacks with a gap, which are left out.
    """
    groups: dict[tuple, list[_Part]] = defaultdict(list)
    for file in files:
        if (part := _part(file)) is not None:
            groups[part.file.image.parent, part.subject, part.grid.shape].append(part)
    replaced: dict[Path, ImageFile | None] = {}
    notes, problems = [], []
    for parts in groups.values():
        if len(parts) < 2:
            continue
        try:
            joined = _slices(parts) or _phases(parts)
        except DataError as error:
            replaced |= {part.file.image: None for part in parts}
            problems.append(Problem(parts[0].subject, "slices missing", "left out", extra_info=str(error)))
            continue
        if joined:
            replaced |= {file.image: file for file in joined}
            notes.append(f"{len(joined)} files are one cine: {parts[0].subject}")
        elif parts[0].grid.shape[2] == 1:
            notes.append(
                f"{len(parts)} files named {parts[0].subject} show one slice each and lie in no stack: "
                "each is a study of its own"
            )
    kept = [replaced.get(file.image, file) for file in files]
    return [file for file in kept if file is not None], notes, problems


def _part(file: ImageFile) -> _Part | None:
    """A file as a part of something, by the numbers of its name; None where it cannot be one."""
    is_bare = file.mask is None and file.frame == file.slice == ALL and not file.phase
    if not (is_bare and is_nifti(file.image)):
        return None
    try:
        grid = read_grid(file.image)
    except DataError:
        return None  # the catalog tells it
    name, phase = _taken(_PHASE, file.subject)
    left, number = _taken(_SLICE, name)
    is_slice = number >= 0
    if number < 0 and (phase < 0 or grid.shape[2] == 1):
        left, number = _taken(_NUMBER, name)
    if number < 0 and phase < 0:
        return None
    subject = re.sub(r"[-_. ]+$|^[-_. ]+", "", re.sub(r"[-_. ]{2,}", "_", left)) or file.image.parent.name
    return _Part(file, grid, phase, number, is_slice, subject)


def _taken(pattern: re.Pattern, name: str) -> tuple[str, int]:
    """A name without the last number of a kind, and the number; -1 where there is none."""
    found = list(pattern.finditer(name))
    if not found or len(found[-1][1]) > 9:
        return name, -1
    return name[: found[-1].start()] + name[found[-1].end() :], int(found[-1][1])


def _slices(parts: list[_Part]) -> list[ImageFile] | None:
    """Files of one slice that lie one behind the other, of one or more phases; None where they do not."""
    if parts[0].grid.shape[2] != 1 or len({part.number for part in parts}) == 1:
        return None
    if not all(part.grid.is_placed for part in parts):
        return _without_place(parts)
    affines = np.array([part.grid.affine for part in parts])
    if (depth := _depth(affines, parts[0].grid.spacing[0])) is None:
        return None
    by_phase = defaultdict(list)
    for part, z in zip(parts, depth, strict=True):
        by_phase[part.phase if part.grid.shape[3] == 1 else ALL].append((round(float(z), 2), part))
    places = [sorted(z for z, _ in found) for found in by_phase.values()]
    if len(places[0]) < 2 or len(set(places[0])) < len(places[0]):
        return None
    if any(len(other) != len(places[0]) or not np.allclose(other, places[0], atol=0.1) for other in places):
        raise DataError(f"{parts[0].subject}: its phases do not show the same slices; complete them")
    return _stacked(by_phase, _distance(places[0], parts[0].subject))


def _without_place(parts: list[_Part]) -> None:
    """Slices by their names whose headers do not tell their distance; other files are nobody's slices."""
    if all(part.is_slice for part in parts) and len(parts) > 2:
        raise DataError(
            f"{parts[0].subject}: {len(parts)} files show one slice each and do not say where it lies; save "
            "them as one file with the axes x y z t"
        )


def _depth(affines: np.ndarray, pixel_mm: float) -> np.ndarray | None:
    """Where slices lie along their normal (mm); None where they are not parallel or not in one line."""
    first = affines[0, :3]
    if not np.allclose(affines[:, :3, :2], first[:, :2], rtol=0, atol=1e-3 * pixel_mm):
        return None
    normal = np.cross(first[:, 0], first[:, 1])
    normal /= np.linalg.norm(normal)
    moved = affines[:, :3, 3] - first[:, 3]
    depth = moved @ normal
    aside = np.linalg.norm(moved - np.outer(depth, normal), axis=1)
    return depth if aside.max() <= _ASIDE_MM else None


def _stacked(by_phase: dict[int, list[tuple[float, _Part]]], distance: float) -> list[ImageFile]:
    """The files of a stack with their slices, in the direction in which their names count."""
    joined = []
    for phase, found in sorted(by_phase.items()):
        ordered = sorted(found, key=lambda item: item[0])
        if ordered[0][1].number > ordered[-1][1].number:
            ordered.reverse()
        for z, (_, part) in enumerate(ordered):
            spacing = (np.nan, np.nan, distance)
            joined.append(
                replace(
                    part.file,
                    subject=part.subject,
                    slice=z,
                    frame=ALL if phase < 0 else phase,
                    spacing=spacing,
                )
            )
    return joined


def _distance(places: Sequence[float], subject: str) -> float:
    """The distance of slices, which is the same between all of them."""
    steps = np.diff(places)
    if np.ptp(steps) > _UNEVEN * np.median(steps):
        told = ", ".join(f"{step:.1f}" for step in steps)
        raise DataError(f"{subject}: its slices lie {told} mm apart, so that some are missing; add them")
    return round(float(np.mean(steps)), 3)


def _phases(parts: list[_Part]) -> list[ImageFile] | None:
    """Files of one frame each on one grid whose names count phases; None where they are something else."""
    numbers = {part.phase for part in parts}
    is_counted = min(numbers) >= 0 and len(numbers) == len(parts)
    if parts[0].grid.shape[3] != 1 or not is_counted or len({part.number for part in parts}) > 1:
        return None
    if not all(np.allclose(part.grid.affine, parts[0].grid.affine, atol=1e-2) for part in parts):
        return None
    return [replace(part.file, subject=part.subject, frame=part.phase) for part in parts]
