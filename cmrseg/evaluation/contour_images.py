"""Which image of a cine a contour was drawn on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from cmrseg.cine import Cine
from cmrseg.curation import kinds
from cmrseg.curation.private_files import FILES, PRIVATE, is_number, source_paths
from cmrseg.data.predictions import NOT_EVALUATED
from cmrseg.data.tables import as_numbers, need_columns, numbers_of, read_published
from cmrseg.io.contours import ImageNumber, check_inside, find_contour_files, read_contour
from cmrseg.io.cvi42 import read_cvi42
from cmrseg.io.dicom import DicomImage, read_headers
from cmrseg.io.dicom_planes import plane_of, planes_of
from cmrseg.io.outlines import Outline, Polygon, cine_to_source, inverse, is_slice_of, moved
from cmrseg.io.tables import read_table
from cmrseg.problems import DataError, Problem

UNKNOWN_IMAGE = "contour of an unknown image"
BAD_CONTOUR = "contour unusable"
_COLUMNS = ("study", "slice", "frame", "series", "file")
_RESAMPLED = {kinds.ROTATION, kinds.PIXEL_SPACING, kinds.IMAGE_SIZE, kinds.SHIFT, kinds.TOO_LARGE}


@dataclass(frozen=True)
class SourceImage:
    """An image of a cine as its source had it.

    Attributes
    ----------
    z, t
        Slice and frame of the cine.
    file, plane
        What curation calls the file, and number in that file.
    number
        Series and instance, by the header or, where there is none at hand, by the name of the file.
    uid
        SOPInstanceUID, empty where no header is at hand.
    size
        ``(columns, rows)`` of the source.
    to_cine
        From pixels of the source to those of the cine, shape ``(2, 3)``.
    """

    z: int
    t: int
    file: str
    plane: int
    number: ImageNumber
    uid: str
    size: tuple[int, int]
    to_cine: np.ndarray = field(default_factory=lambda: np.eye(2, 3))


@dataclass(frozen=True)
class DrawnImage:
    """An image of a cine with its contours, in pixels of the cine."""

    image: SourceImage
    polygons: dict[Outline, Polygon]


def source_images(curated: Path, study: str, cine: Cine, dicom: Path | None = None) -> list[SourceImage]:
    """The images that a cine consists of.

    Parameters
    ----------
    curated
        Folder with ``used_images.tsv`` (and ``problems.tsv``) of `cmrseg curate`.
    study
        Name of the study.
    cine
        The cine, or a mask on its grid.
    dicom
        The source that was curated. Without it images are known by the last number in the names of their
        files, by that of the header where no name is known, and the pixels of the cine must be those of the
        source.

    Returns
    -------
    Images by slice and frame; where curation filled a gap with a copy, the first frame counts.

    Raises
    ------
    DataError
        If the table cannot be read, does not know the study, or curation has resampled it and the source is
        not given.
    """
    rows = _with_paths(_rows(curated / "used_images.tsv", study, cine), source_paths(curated, study))
    if dicom is None:
        _refuse_resampled(rows, curated / "problems.tsv", study)
        images = _by_name(rows, cine.array.shape[:2])
    else:
        images = _by_header(rows, dicom, cine)
    unique: dict[tuple[str, int], SourceImage] = {}
    for image in images:
        unique.setdefault((image.file, image.plane), image)
    return list(unique.values())


def draw(
    images: list[SourceImage], contours: Path, *, study: str, first_pixel: int = 0
) -> tuple[list[DrawnImage], list[Problem]]:
    """The images of a cine that have contours.

    Parameters
    ----------
    images
        From `source_images`.
    contours
        Folder of contours as text, or an XML workspace of cvi42.
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
        If no contour is about an image of the cine.
    """
    found, problems = _read(images, contours, study, first_pixel)
    drawn: dict[tuple[int, int], DrawnImage] = {}
    for image, kind, polygon, name in found:
        try:
            check_inside(polygon, image.size, name)
        except DataError as error:
            problems.append(Problem(study, BAD_CONTOUR, NOT_EVALUATED, name, str(error)))
            continue
        place = drawn.setdefault((image.z, image.t), DrawnImage(image, {}))
        place.polygons[kind] = moved(polygon, image.to_cine)
    if not drawn:
        reason = problems[0].extra_info if problems else "none is about its images"
        raise DataError(f"no contour of {contours} can be used for {study}: {reason}")
    return [drawn[key] for key in sorted(drawn)], problems


Found = tuple[SourceImage, Outline, Polygon, str]


def _read(
    images: list[SourceImage], contours: Path, study: str, first_pixel: int
) -> tuple[list[Found], list[Problem]]:
    """Contours in pixels of the source, each with its image and name; and those that cannot be used."""
    if contours.is_file():
        return _read_workspace(images, contours), []
    found, problems = [], []
    for (number, kind), path in find_contour_files(contours).items():
        try:
            polygon = read_contour(path, first_pixel=first_pixel)
        except DataError as error:
            problems.append(Problem(study, BAD_CONTOUR, NOT_EVALUATED, path.name, str(error)))
            continue
        if image := _numbered(images, number):
            found.append((image, kind, polygon, path.name))
        else:
            info = f"the cine has no image of the number {number.instance}, or several"
            problems.append(Problem(study, UNKNOWN_IMAGE, NOT_EVALUATED, path.name, info))
    return found, problems


def _read_workspace(images: list[SourceImage], path: Path) -> list[Found]:
    """Contours of a workspace; it may hold those of other series too."""
    if not any(image.uid for image in images):
        raise DataError(f"{path} names images by UIDs; name the DICOM folder that was curated with --dicom")
    by_uid = {image.uid: image for image in images}
    return [
        (by_uid[uid], kind, polygon, f"{kind} of {by_uid[uid].file}")
        for uid, polygons in read_cvi42(path).items()
        if uid in by_uid
        for kind, polygon in polygons.items()
    ]


def _numbered(images: list[SourceImage], number: ImageNumber) -> SourceImage | None:
    """The only image of that instance number, or the only one of that series too."""
    same = [image for image in images if image.number.instance == number.instance]
    if len(same) > 1:
        same = [image for image in same if image.number.series == number.series]
    return same[0] if len(same) == 1 else None


def _rows(path: Path, study: str, cine: Cine) -> pd.DataFrame:
    """Rows of ``used_images.tsv`` that are about a study, with a number of the plane in every file."""
    if not path.exists():
        raise DataError(f"{path} does not exist; name the folder that `cmrseg curate` wrote with --curated")
    table = read_published(path, text=["study", "file"])
    need_columns(table, _COLUMNS, path)
    rows = table[table["study"] == study]
    if rows.empty:
        raise DataError(f"{path} does not know the study {study}; name the folder of its curation")
    rows = pd.DataFrame({"plane": 0, "instance": -1, **rows})  # tables of the past do not tell them
    places = as_numbers(rows, ["slice", "frame", "plane"], path, key="file", whole=True).astype(int)
    instances = numbers_of(rows["instance"]).fillna(-1).astype(int)
    if (places[["slice", "frame"]] >= list(cine.array.shape[2:])).any(axis=None):
        raise DataError(
            f"{path} names slices or frames of {study} that its mask does not have; predict it again"
        )
    return rows.assign(**places, instance=instances).sort_values(["slice", "frame"])


def _with_paths(rows: pd.DataFrame, paths: Mapping[str, str]) -> pd.DataFrame:
    """Rows with the path in the source of every file; tables with kept ids name the paths themselves."""
    return rows.assign(path=rows["file"].map(lambda file: paths.get(file, file)))


def _by_header(rows: pd.DataFrame, dicom: Path, cine: Cine) -> Iterator[SourceImage]:
    """Images with what their headers tell; slices that curation filled in have none."""
    planes, headers = planes_of(cine), {}
    for row in rows.itertuples():
        if row.file not in headers:
            headers[row.file] = _headers(dicom / row.path, row.file)
        if row.plane >= len(headers[row.file]):
            raise DataError(
                f"{row.file} of {dicom} does not hold the image number {row.plane} that was curated"
            )
        image = headers[row.file][row.plane]
        own, source = planes[row.slice], plane_of(image)
        if is_slice_of(own, source, cine.spacing[2]):
            yield SourceImage(
                *(row.slice, row.frame, row.file, row.plane),
                ImageNumber(image.series_number, image.instance),
                image.instance_uid,
                (image.columns, image.rows),
                inverse(cine_to_source(own, source)),
            )


def _headers(path: Path, label: str) -> list[DicomImage]:
    """Headers of the images of a file of the source; messages name it as the tables do."""
    if not path.is_file():
        raise DataError(
            f"{label} of the source does not exist; --dicom must name the folder that was curated, and "
            f"{PRIVATE}/{FILES} of the curation must tell the path of a number"
        )
    try:
        return read_headers(path)
    except DataError as error:
        raise DataError(f"{label} of the source: {error}") from None


def _by_name(rows: pd.DataFrame, size: tuple[int, int]) -> Iterator[SourceImage]:
    """Images with the last number in the names of their files, or of the header where no name is known."""
    for row in rows.itertuples():
        digits = [] if is_number(row.path) else re.findall(r"\d+", PurePosixPath(row.path).stem)
        number = ImageNumber(row.series, int(digits[-1]) if digits else row.instance)
        yield SourceImage(row.slice, row.frame, row.file, row.plane, number, "", size)


def _refuse_resampled(rows: pd.DataFrame, path: Path, study: str) -> None:
    """The pixels of the cine are those of the source, and no slice was filled in."""
    changed = rows.groupby(["file", "plane"])["slice"].nunique().max() > 1
    if path.is_file():
        problems = read_table(path, str, keep_default_na=False)
        changed |= (problems["problem"].isin(_RESAMPLED) & (problems["study"] == study)).any()
    if changed:
        raise DataError(
            f"{study} was resampled when it was curated ({path}), so contours do not fit its pixels; "
            "name the DICOM folder that was curated with --dicom"
        )
