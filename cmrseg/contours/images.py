"""Which image of a cine a contour was drawn on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from cmrseg.cine import Cine
from cmrseg.curation import kinds
from cmrseg.curation.private_files import FILES, PRIVATE, is_number, source_paths
from cmrseg.curation.run import Planes
from cmrseg.data.tables import as_numbers, need_columns, numbers_of, read_published
from cmrseg.io.dicom import DicomImage, read_headers
from cmrseg.io.dicom_planes import plane_of, planes_of
from cmrseg.io.drawn import ImageNumber
from cmrseg.io.outlines import cine_to_source, inverse, is_slice_of
from cmrseg.io.tables import read_table
from cmrseg.problems import DataError

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
    header
        What the file says of the image, None where it is not at hand.
    """

    z: int
    t: int
    file: str
    plane: int
    number: ImageNumber
    uid: str
    size: tuple[int, int]
    to_cine: np.ndarray = field(default_factory=lambda: np.eye(2, 3))
    header: DicomImage | None = None


def source_images(
    curated: Path, study: str, cine: Cine, dicom: Path | None = None, *, planes: Planes | None = None
) -> list[SourceImage]:
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
    planes
        Of a curation that has just ended: the file, and the number of the plane in it, of every slice and
        frame. Then neither names of files nor ``dicom`` are needed.

    Returns
    -------
    Images by slice and frame; where curation filled a gap with a copy, the first frame counts.

    Raises
    ------
    DataError
        If the table cannot be read, does not know the study, or curation has resampled it and the source is
        not given.
    """
    rows = _rows(curated / "used_images.tsv", study, cine)
    if planes is not None:
        rows = rows.assign(path=[planes[z, t][0] for z, t in zip(rows["slice"], rows["frame"], strict=True)])
        return _unique(_by_header(rows, Path(), cine))
    rows = _with_paths(rows, source_paths(curated, study))
    if dicom is None:
        _refuse_resampled(rows, curated / "problems.tsv", study)
        images = _by_name(rows, cine.array.shape[:2])
    else:
        images = _by_header(rows, dicom, cine)
    return _unique(images)


def _unique(images: Iterable[SourceImage]) -> list[SourceImage]:
    """Every image once: where curation filled a gap with a copy, the first frame counts."""
    unique: dict[tuple[str, int], SourceImage] = {}
    for image in images:
        unique.setdefault((image.file, image.plane), image)
    return list(unique.values())


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
                image,
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
