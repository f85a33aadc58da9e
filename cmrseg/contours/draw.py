"""The images of a cine with the contours that belong to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cmrseg.contours.files import read_contour_files
from cmrseg.contours.images import SourceImage
from cmrseg.contours.match import Found, match
from cmrseg.data.predictions import NOT_EVALUATED
from cmrseg.io.contours import check_inside
from cmrseg.io.drawn import ContourFile
from cmrseg.io.outlines import Outline, Polygon, moved
from cmrseg.problems import DataError, Problem

UNKNOWN_IMAGE = "contour of an unknown image"
BAD_CONTOUR = "contour unusable"
Faults = defaultdict[tuple[int, int], set[Outline]]  # slice and frame -> contours that it lacks


@dataclass(frozen=True)
class DrawnImage:
    """An image of a cine with its contours, in pixels of the cine."""

    image: SourceImage
    polygons: dict[Outline, Polygon]


def draw(
    images: list[SourceImage], contours: Path, *, study: str, first_pixel: int = 0
) -> tuple[list[DrawnImage], list[Problem]]:
    """The images of a cine that have contours.

    Parameters
    ----------
    images
        From `cmrseg.contours.images.source_images`.
    contours
        Folder or file, see `cmrseg.contours.files.read_contour_files`.
    study
        Name of the study, for the problems.
    first_pixel
        What text files call the centre of the first pixel.

    Returns
    -------
    Images with their contours in the order of slices and frames, and contours that cannot be used.

    Raises
    ------
    DataError
        If no contour is about an image of the cine, or two are of one structure and image.
    """
    files, unreadable = read_contour_files(contours, first_pixel=first_pixel)
    if unreadable:
        raise DataError(unreadable[0][1])
    if not any(image.uid for image in images) and all(d.where.uid for f in files for d in f.drawn):
        raise DataError(
            f"{contours} names images by UIDs; name the DICOM folder that was curated with --dicom"
        )
    drawn, problems, _ = draw_files(images, files, study=study, resolution=NOT_EVALUATED)
    if not drawn:
        reason = problems[0].extra_info if problems else "none is about its images"
        raise DataError(f"no contour of {contours} can be used for {study}: {reason}")
    return drawn, problems


def draw_files(
    images: Sequence[SourceImage],
    files: Iterable[ContourFile],
    *,
    study: str,
    resolution: str,
    reverse: bool = False,
) -> tuple[list[DrawnImage], list[Problem], Faults]:
    """The images of a cine that have contours in some files.

    Parameters
    ----------
    images
        Of the cine, as their source had them.
    files
        Contours.
    study, resolution
        For the problems.
    reverse
        See `cmrseg.contours.match.match`.

    Returns
    -------
    Images with their contours, perhaps none; contours that cannot be used; and which contours these images
    lack therefore.

    Raises
    ------
    DataError
        If two files are about one structure of an image.
    """
    problems: list[Problem] = []
    found: list[Found] = []
    for file in files:
        matched, lost = match(file, images, reverse=reverse)
        found += matched
        problems += [Problem(study, UNKNOWN_IMAGE, resolution, name, why) for name, why in lost]
    drawn: dict[tuple[int, int], DrawnImage] = {}
    faults: Faults = defaultdict(set)
    for contour in _once(found):
        image = contour.image
        try:
            if contour.fault:
                raise DataError(contour.fault)
            check_inside(contour.polygon, image.size, contour.name)
        except DataError as error:
            problems.append(Problem(study, BAD_CONTOUR, resolution, contour.name, str(error)))
            faults[image.z, image.t].add(contour.kind)
            continue
        place = drawn.setdefault((image.z, image.t), DrawnImage(image, {}))
        place.polygons[contour.kind] = moved(contour.polygon, image.to_cine)
    return [drawn[key] for key in sorted(drawn)], problems, faults


def _once(found: Sequence[Found]) -> Iterable[Found]:
    """The contours, if every structure of an image has one; equal ones count once."""
    known: dict[tuple[str, int, Outline], Found] = {}
    for contour in found:
        key = contour.image.file, contour.image.plane, contour.kind
        other = known.setdefault(key, contour)
        if other.polygon is contour.polygon or _is_same(other, contour):
            continue
        raise DataError(
            f"two contours ({other.format}: {other.name}; {contour.format}: {contour.name}) are of the same "
            "image; name the folder of one study and reader"
        )
    return known.values()


def _is_same(one: Found, other: Found) -> bool:
    return one.polygon.shape == other.polygon.shape and bool(np.allclose(one.polygon, other.polygon))
