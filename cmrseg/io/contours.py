"""Contours as text files, in the form of the Sunnybrook challenge: one point ``x y`` in pixels per line.

Coordinates are (column, row) of the source image, counted from 0 at the centre of the first pixel.

References
----------
Radau et al., MIDAS Journal (2009), doi:10.54294/g80ruo.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from cmrseg.io.atomic import write_text
from cmrseg.io.dicom import DicomImage
from cmrseg.io.drawn import ContourFile, Drawn, ImageNumber, Where, faulty
from cmrseg.io.outlines import Outline, Polygon, Polygons
from cmrseg.io.settings import read_text
from cmrseg.problems import DataError, existing_folder

FORMAT = "text"
_MIN_POINTS = 3
_FILE = re.compile(r"IM-(\d+)-(\d+)-(icontour|ocontour|rvcontour)-\w+\.txt", re.IGNORECASE)


def image_numbers(images: Iterable[DicomImage]) -> dict[DicomImage, ImageNumber]:
    """Numbers of images for the names of contour files.

    The series is 1, as in the files of the challenge, where instance numbers alone tell the images apart;
    else that of the header; images that even then have one number are counted in their order.
    """
    images = list(images)
    by_instance = [ImageNumber(1, image.instance) for image in images]
    by_series = [ImageNumber(image.series_number, image.instance) for image in images]
    counted = [ImageNumber(1, n) for n in range(1, len(images) + 1)]
    numbers = next(names for names in (by_instance, by_series, counted) if _tell_apart(names))
    return dict(zip(images, numbers, strict=True))


def _tell_apart(numbers: Sequence[ImageNumber]) -> bool:
    """Whether numbers are known and different."""
    return len(set(numbers)) == len(numbers) and all(min(number) >= 0 for number in numbers)


def write_contours(contours: Mapping[DicomImage, Polygons], folder: Path) -> list[Path]:
    """Write contours as text, one file per image and structure, one point ``x y`` per line.

    Parameters
    ----------
    contours
        From `mask_contours`.
    folder
        Gets ``IM-0001-<instance>-icontour-auto.txt`` and so on; those of an earlier run are removed.

    Returns
    -------
    The files.
    """
    numbers = image_numbers(contours)
    written = []
    for image, polygons in contours.items():
        for kind, polygon in polygons.items():
            series, instance = numbers[image]
            path = folder / f"IM-{series:04d}-{instance:04d}-{kind}-auto.txt"
            lines = (f"{x:.2f} {y:.2f}\n" for x, y in polygon)
            written.append(write_text("".join(lines), path))
    for old in set(folder.glob("IM-*contour-auto.txt")) - set(written):
        old.unlink()
    return written


def find_contour_files(folder: Path) -> dict[tuple[ImageNumber, Outline], Path]:
    """Contour files below a folder; those of other structures, such as papillary muscles, are ignored.

    Raises
    ------
    DataError
        If there are none, or two for one image and structure.
    """
    found = _by_image(sorted(existing_folder(folder, "contour").rglob("*.txt")))
    if not found:
        raise DataError(f"{folder} holds no contour such as IM-0001-0059-icontour-manual.txt; check the path")
    return found


def is_contour_file(path: Path) -> bool:
    """Whether a file has the name of a contour, such as ``IM-0001-0059-icontour-manual.txt``."""
    return bool(_FILE.fullmatch(path.name))


def read_text_contours(folder: Path, paths: Iterable[Path], *, first_pixel: int = 0) -> ContourFile:
    """The contours of some text files as one, see `read_contour`.

    Parameters
    ----------
    folder
        In which they lie.
    paths
        Files; those of other names, such as contours of papillary muscles, are counted only.
    first_pixel
        What the files call the centre of the first pixel.

    Raises
    ------
    DataError
        If two are of one image and structure.
    """
    paths = list(paths)
    by_image = _by_image(sorted(paths))
    drawn = []
    for (number, kind), path in by_image.items():
        where = Where(number=number)
        try:
            drawn.append(Drawn(kind, read_contour(path, first_pixel=first_pixel), where, path.name))
        except DataError as error:
            drawn.append(faulty(kind, where, path.name, str(error).replace(f"{path.parent}/", "")))
    return ContourFile(folder, FORMAT, tuple(drawn), unused=len(paths) - len(by_image))


def _by_image(paths: Iterable[Path]) -> dict[tuple[ImageNumber, Outline], Path]:
    """Contour files by what they are about; others are left aside."""
    found: dict[tuple[ImageNumber, Outline], Path] = {}
    for path in paths:
        if not (match := _FILE.fullmatch(path.name)):
            continue
        key = ImageNumber(int(match[1]), int(match[2])), Outline(match[3].lower())
        if key in found:
            raise DataError(
                f"{found[key]} and {path} are contours of the same image; "
                "name the folder of one study and reader"
            )
        found[key] = path
    return found


def read_contour(path: Path, *, first_pixel: int = 0) -> Polygon:
    """Read one contour file.

    Parameters
    ----------
    path
        Text, one point ``x y`` in pixels per line.
    first_pixel
        What the file calls the centre of the first pixel: 0, or 1 as in MATLAB.

    Returns
    -------
    Points counted from 0, shape ``(n, 2)``; a last point that repeats the first is dropped.

    Raises
    ------
    DataError
        If it is missing, empty, no table of two numbers, or has fewer than 3 points.
    """
    try:
        words = [line.split() for line in read_text(path).splitlines() if line.strip()]
        points = np.array(words, float)
    except OSError as error:
        raise DataError(f"contour {path} cannot be read ({error.strerror}); check the path") from None
    except ValueError:  # also of text that is no UTF-8, and of lines of different length
        raise DataError(f"contour {path} must hold two numbers 'x y' per line; export it again") from None
    return checked(points - first_pixel, str(path))


def checked(points: np.ndarray, what: str) -> Polygon:
    """Points as a polygon, without one that the next repeats.

    Raises
    ------
    DataError
        If they are no finite pairs, or fewer than 3.
    """
    if points.size and (points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all()):
        raise DataError(f"contour {what} must hold two numbers 'x y' per line; export it again")
    if len(points):
        points = points[(points != np.roll(points, -1, axis=0)).any(axis=1)]
    if len(points) < _MIN_POINTS:
        raise DataError(f"contour {what} has {len(points)} point(s), at least 3 are needed; draw it again")
    return points


def check_inside(polygon: Polygon, size: tuple[int, int], what: str) -> None:
    """A contour lies in its image of ``(columns, rows)``.

    Raises
    ------
    DataError
        If a point lies outside.
    """
    outside = (polygon < -0.5) | (polygon > np.array(size) - 0.5)
    if outside.any():
        x, y = polygon[outside.any(axis=1)][0]
        raise DataError(
            f"contour {what}: the point {x:.2f} {y:.2f} lies outside of its image of {size[0]} x {size[1]} "
            "pixels; is it that of another image?"
        )
