"""Slice positions of an examination: from single images to one acquisition per series and position."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from cmrseg.curation import kinds
from cmrseg.curation.timing import acquisitions, in_time, numbering, with_times
from cmrseg.io.dicom import DicomImage
from cmrseg.io.dicom_pixels import read_pixels
from cmrseg.problems import DataError, Problem

SAME_POSITION_MM = 0.05  # the rounding of positions in headers


@dataclass(frozen=True, eq=False)
class Slice:
    """One slice over the cardiac cycle, as one series measured it.

    Attributes
    ----------
    images
        Where the frames come from, one entry per frame, in the order of time.
    frames
        Intensities, shape ``(t, rows, columns)``; empty until they are read.
    times_ms
        Time of every frame after the R wave, shape ``(t,)``; nan where unknown.
    corner, row, column
        Centre of the first pixel (mm) and the directions of a row and a column, LPS patient coordinates.
    spacing
        Pixel size ``(dx, dy)`` in mm.
    """

    images: tuple[DicomImage, ...]
    frames: np.ndarray
    times_ms: np.ndarray
    corner: np.ndarray
    row: np.ndarray
    column: np.ndarray
    spacing: tuple[float, float]

    @cached_property
    def normal(self) -> np.ndarray:
        """Direction across the slice."""
        return np.cross(self.row, self.column)

    @property
    def size(self) -> tuple[int, int]:
        """``(rows, columns)`` of the frames, or of the images that are not read yet."""
        return self.frames.shape[1:] if self.frames.size else (self.images[0].rows, self.images[0].columns)

    @cached_property
    def centre(self) -> np.ndarray:
        """Centre of the image, mm."""
        rows, columns = self.size
        dx, dy = self.spacing
        return self.corner + self.row * dx * (columns - 1) / 2 + self.column * dy * (rows - 1) / 2

    @cached_property
    def when(self) -> tuple[int, float, int, str]:
        """Sorts slices by what is later: the number of the series, the clock, the instance, the file."""
        first = min(self.images, key=lambda image: image.instance)
        clock = first.acquired_s if math.isfinite(first.acquired_s) else 0.0
        return first.series_number, clock, first.instance, first.name

    def problem(self, kind: str, resolution: str, extra_info: str = "") -> Problem:
        """What was wrong with this slice."""
        return Problem("", kind, resolution, self.images[0].label, extra_info)


def find_slices(images: Iterable[DicomImage]) -> tuple[list[Slice], list[Problem]]:
    """Slices of the images of one examination, their pixels not read yet.

    Parameters
    ----------
    images
        All image planes, in any order; copies of the same image count once.

    Returns
    -------
    One slice per series, kind of image and position, its frames in the order of time; and bad times.
    """
    groups: defaultdict[tuple, list[DicomImage]] = defaultdict(list)
    for image in _without_copies(images):
        geometry = tuple(round(value, 3) for value in (*image.orientation, *image.spacing))
        groups[(image.series_uid, image.kind, image.rows, image.columns, *geometry)].append(image)
    slices, problems, positions = [], [], []
    for group in groups.values():
        for position in _positions(group):
            timed, problem = with_times(position)
            positions.append(timed)
            problems += problem
    numbered = numbering(positions)
    for position in positions:
        for acquisition in acquisitions(position):
            found, problem = _slice(acquisition, numbered)
            slices += [found] * (found is not None)
            problems += problem
    return sorted(slices, key=lambda s: s.when), problems


def load_frames(slices: Sequence[Slice]) -> tuple[list[Slice], list[Problem]]:
    """Read the pixels of some slices; frames that cannot be read are left out and logged."""
    pixels = read_pixels([image for s in slices for image in s.images])
    loaded, problems = [], []
    for s in slices:
        read = list(islice(pixels, len(s.images)))
        good = [n for n, frame in enumerate(read) if not isinstance(frame, DataError)]
        problems += [
            Problem("", kinds.UNREADABLE, "image left out", image.label, str(frame))
            for image, frame in zip(s.images, read, strict=True)
            if isinstance(frame, DataError)
        ]
        if good:
            kept = tuple(s.images[n] for n in good)
            loaded.append(
                replace(s, images=kept, frames=np.stack([read[n] for n in good]), times_ms=s.times_ms[good])
            )
    return loaded, problems


def largest_mode(values: Sequence) -> Any:
    """The most frequent value; of equally frequent ones the largest, as in the published curation."""
    counts = Counter(values)
    return max(counts, key=lambda value: (counts[value], value))


def mean_normal(slices: Sequence[Slice]) -> np.ndarray:
    """Unit normal of parallel slices, seen from where most of them are seen."""
    normals = np.array([s.normal for s in slices])
    side = np.sign(normals @ normals[0])
    normals *= (side if side.sum() >= 0 else -side)[:, None]
    mean = normals.mean(axis=0)
    return mean / np.linalg.norm(mean)


def are_parallel(slices: Sequence[Slice], tolerance: float) -> np.ndarray:
    """Which slices are parallel to which, shape ``(n, n)``; ``tolerance`` is 1 - cosine of the angle."""
    normals = np.array([s.normal for s in slices])
    return abs(normals @ normals.T) >= 1 - tolerance


def position_numbers(slices: Sequence[Slice], distance_mm: float) -> np.ndarray:
    """Numbers of the positions of parallel slices along their normal; closer ones have the same number.

    Returns
    -------
    Shape ``(n,)``, ascending from 0 along the normal.
    """
    along = np.array([s.centre @ slices[0].normal for s in slices])
    return _cluster(along, distance_mm)


def typical_gap_mm(slices: Sequence[Slice], tolerance: float) -> float:
    """Distance of neighbouring positions in the largest group of parallel slices, nan where there is none.

    It is the upper quartile, because repeated and stray slices only add small distances.
    """
    if not slices:
        return math.nan
    groups = are_parallel(slices, tolerance)
    members = groups[int(groups.sum(axis=1).argmax())]
    normal = next(s for s, member in zip(slices, members, strict=True) if member).normal
    along = np.sort([s.centre @ normal for s, member in zip(slices, members, strict=True) if member])
    gaps = np.diff(along)
    gaps = gaps[gaps > SAME_POSITION_MM]
    return float(np.percentile(gaps, 75)) if len(gaps) else math.nan


def angle_deg(s: Slice, normal: np.ndarray) -> float:
    """Angle between a slice and the plane of a unit normal."""
    return math.degrees(math.acos(float(np.clip(abs(s.normal @ normal), 0, 1))))


def _without_copies(images: Iterable[DicomImage]) -> list[DicomImage]:
    """Images in a fixed order, each once although a tree may hold its file twice."""
    unique: dict[tuple, DicomImage] = {}
    for image in sorted(images, key=lambda i: (i.name, i.frame)):
        name = image.instance_uid or image.name
        unique.setdefault((name, image.frame, image.position, image.instance, image.trigger_ms), image)
    return list(unique.values())


def _positions(images: list[DicomImage]) -> list[list[DicomImage]]:
    """Images of equal orientation and size by their position."""
    orientation = np.array(images[0].orientation)
    normal = np.cross(orientation[:3], orientation[3:])
    axes = np.stack([normal, orientation[:3], orientation[3:]])
    coordinates = np.array([image.position for image in images]) @ axes.T
    labels = np.stack([_cluster(coordinate, SAME_POSITION_MM) for coordinate in coordinates.T], axis=1)
    groups: defaultdict[tuple, list[DicomImage]] = defaultdict(list)
    for label, image in zip(map(tuple, labels), images, strict=True):
        groups[label].append(image)
    return list(groups.values())


def _cluster(values: np.ndarray, distance: float) -> np.ndarray:
    """Numbers of groups of values, ascending; neighbours in a group are closer than ``distance``."""
    order = np.argsort(values, kind="stable")
    labels = np.empty(len(values), int)
    labels[order] = np.cumsum(np.diff(values[order], prepend=values[order[0]]) >= distance)
    return labels


def _slice(
    images: list[DicomImage], numbered: Mapping[tuple[str, str], tuple[int, str]]
) -> tuple[Slice | None, list[Problem]]:
    """One acquisition in the order of time; none where that cannot be told."""
    ordered, times_ms, order = in_time(images, numbered)
    first = ordered[0]
    if not order and len(images) > 1:
        _, other = numbered[
            first.kind, first.sequence
        ]  # an image that stays, so that the row finds its study
        what = f"missing in all {len(images)} images; instance numbers contradict the times of other slices"
        return None, [Problem("", kinds.TRIGGER_TIME, "slice removed", other, what)]
    found = Slice(
        images=tuple(ordered),
        frames=np.empty((0, 0, 0)),
        times_ms=times_ms,
        corner=np.array(first.position),
        row=np.array(first.orientation[:3]),
        column=np.array(first.orientation[3:]),
        spacing=first.spacing,
    )
    if order == "trigger time" or len(images) == 1:
        return found, []
    if order.startswith("trigger time"):
        return found, [found.problem(kinds.TRIGGER_TIME, f"ordered by {order}", "repeated")]
    told = sum(math.isfinite(image.trigger_ms) for image in images)
    what = "repeated" if told == len(images) else f"missing in {len(images) - told} of {len(images)} images"
    return found, [found.problem(kinds.TRIGGER_TIME, f"ordered by {order}", what)]
