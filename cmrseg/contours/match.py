"""Which image of a cine a contour was drawn on: by its UID, else by geometry, else by number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from cmrseg.contours.images import SourceImage
from cmrseg.io.dicom_planes import Plane, plane_of
from cmrseg.io.drawn import ContourFile, Drawn
from cmrseg.io.outlines import Outline, Polygon

MOST_APART_MM = 1.0  # of a contour in mm from the plane of its image; slices are 5 mm or more apart
_NO_NUMBER = "the cine has no image of the number {}, or several"


class Found(NamedTuple):
    """A contour in the pixels of its image, its name in problems, its format, and its fault if it has one."""

    image: SourceImage
    kind: Outline
    polygon: Polygon
    name: str
    format: str
    fault: str = ""


class Lost(NamedTuple):
    """A contour without an image."""

    name: str
    reason: str


def match(
    file: ContourFile, images: Sequence[SourceImage], *, reverse: bool = False
) -> tuple[list[Found], list[Lost]]:
    """The images of a cine that the contours of a file were drawn on.

    Parameters
    ----------
    file
        Contours.
    images
        Images of a cine.
    reverse
        Count slices from the other end, where the file counts them.

    Returns
    -------
    Contours with their images, and those that have none. Contours of UIDs that the cine does not have are of
    other series and no problem, unless all of them are.
    """
    if file.size and (other := {i.size for i in images} - {file.size}):
        told = "{} x {}".format(*file.size)
        reason = f"they are of images of {told} pixels, and the cine has {'{} x {}'.format(*min(other))}"
        return [], [Lost(f"{len(file.drawn)} contours", reason)]
    find = _Finder(images, file.phases, reverse)
    found, lost = [], []
    for contour in file.drawn:
        placed = find(contour)
        if isinstance(placed, str):
            if placed:
                lost.append(Lost(contour.name, contour.fault or placed))
            continue
        image, polygon = placed
        name = contour.name if contour.where.number else f"{contour.kind} of {image.file}"
        found.append(Found(image, contour.kind, polygon, name, file.format, contour.fault))
    return found, lost


class _Finder:
    """Images of a cine by all that a contour may say of its image."""

    def __init__(self, images: Sequence[SourceImage], phases: int | None, reverse: bool) -> None:
        self._images = images
        self._phases = phases
        self._by_uid: defaultdict[str, list[SourceImage]] = defaultdict(list)
        self._by_number: defaultdict[int, list[SourceImage]] = defaultdict(list)
        for image in images:
            self._by_uid[image.uid].append(image)
            self._by_number[image.number.instance].append(image)
        self._stack = _stack(images, reverse)

    def __call__(self, contour: Drawn) -> tuple[SourceImage, Polygon] | str:
        """Image and contour in its pixels, or why there is none; nothing to say for other series."""
        where = contour.where
        if where.uid and where.uid in self._by_uid:
            image = self._of_uid(where.uid, where.frame)
        elif where.uid and not contour.is_in_space:
            return ""
        elif contour.is_in_space:
            image = self._in_space(contour.points, where.phase)
        elif where.number is not None:
            image = self._numbered(*where.number) or _NO_NUMBER.format(where.number.instance)
        else:
            image = self._at(where.slice, where.phase)
        if isinstance(image, str) or not contour.is_in_space:
            return image if isinstance(image, str) else (image, contour.points)
        if image.header is None:
            return "the headers of the images are needed for contours in mm"
        polygon, apart = projected(contour.points, plane_of(image.header))
        if apart > MOST_APART_MM:
            return f"it lies {apart:.1f} mm beside the image that it names"
        return image, polygon

    def _of_uid(self, uid: str, frame: int) -> SourceImage | str:
        """The image of a file, or of a plane in it."""
        same = [i for i in self._by_uid[uid] if not frame or i.plane == frame - 1]
        return same[0] if len(same) == 1 else "its file holds several images, and it does not say which"

    def _numbered(self, series: int, instance: int) -> SourceImage | None:
        """The only image of that instance number, or the only one of that series too."""
        same = self._by_number.get(instance, [])
        if len(same) > 1:
            same = [image for image in same if image.number.series == series]
        return same[0] if len(same) == 1 else None

    def _in_space(self, points: np.ndarray, phase: int) -> SourceImage | str:
        """The image of a phase whose plane holds the points."""
        slices = {rows[0].z: rows for rows in self._stack if rows[0].header is not None}
        near = {z: projected(points, plane_of(rows[0].header))[1] for z, rows in slices.items()}  # type: ignore[arg-type]
        z = min(near, key=lambda z: near[z], default=-1)
        if z < 0 or near[z] > MOST_APART_MM:
            return "no image lies in its plane"
        rows = slices[z]
        if phase < 0:
            return (
                rows[0]
                if len(rows) == 1
                else "it does not say its phase, and its image is not known by a UID"
            )
        if self._phases not in (None, len(rows)):
            return f"it is of {self._phases} phases, and the cine has {len(rows)}"
        return rows[phase] if phase < len(rows) else f"the cine has no phase {phase + 1}"

    def _at(self, z: int, t: int) -> SourceImage | str:
        """The image of a slice and phase, both counted from 0."""
        if not (0 <= z < len(self._stack) and 0 <= t < len(self._stack[z])):
            return f"the cine has no slice {z} with a phase {t}"
        return self._stack[z][t]


def _stack(images: Iterable[SourceImage], reverse: bool) -> list[list[SourceImage]]:
    """Images by slice, from the lowest SliceLocation, and in time."""
    rows: defaultdict[int, list[SourceImage]] = defaultdict(list)
    for image in sorted(images, key=lambda image: (image.z, image.t)):
        rows[image.z].append(image)
    return sorted(rows.values(), key=lambda row: _location(row[0]), reverse=reverse)


def _location(image: SourceImage) -> float:
    """SliceLocation; where the header does not tell it, the place along the normal."""
    if image.header is None:
        return image.z
    plane = plane_of(image.header)
    location = image.header.location_mm
    return location if np.isfinite(location) else float(plane.corner @ plane.normal)


def projected(points: np.ndarray, plane: Plane) -> tuple[Polygon, float]:
    """Points in mm in the pixels of a plane, and how far the furthest lies from it."""
    beside = points - plane.corner
    polygon = np.column_stack(
        [beside @ plane.row / plane.spacing[0], beside @ plane.column / plane.spacing[1]]
    )
    return polygon, float(abs(beside @ plane.normal).max())
