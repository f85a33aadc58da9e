"""What a DICOM segmentation takes over from the images that it was drawn on."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.valuerep import DA, TM

from cmrseg.cine import Cine
from cmrseg.io.dicom import DicomImage, read_headers
from cmrseg.io.dicom_planes import Plane, plane_of, planes_of
from cmrseg.problems import DataError

_MULTI_FRAME = (uid.EnhancedMRImageStorage, uid.LegacyConvertedEnhancedMRImageStorage)
_IMAGES = (uid.MRImageStorage, *_MULTI_FRAME)
_SEXES = ("M", "F", "O")
_COMPRESSIONS = ("ISO_10918_1", "ISO_14495_1", "ISO_15444_1", "ISO_15444_2", "ISO_15444_15")
# highdicom asks for these, be they empty.
_REQUIRED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
)
_PATIENT = (
    *_REQUIRED,
    "IssuerOfPatientID",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "StudyDescription",
)


Sources = Mapping[tuple[int, int], tuple[Path, int]]  # slice, frame -> file, number of the plane in it
Images = dict[tuple[int, int], DicomImage]


@dataclass(frozen=True)
class SegSource:
    """What all segmentation objects of a study share.

    Attributes
    ----------
    header
        Patient, study and place, as the header of a single image.
    planes
        Where the slices of the mask lie.
    images
        The images that slices and frames were drawn on.
    sop_classes
        SOP class by the UID of the series.
    """

    header: Dataset
    planes: list[Plane]
    images: Images
    sop_classes: dict[str, str]


def read_sources(mask: Cine, sources: Sources, pseudonym: str | None) -> SegSource:
    """Read the headers of the source images, and find out which slices of the mask lie on them.

    Parameters
    ----------
    mask
        With an affine and spacing.
    sources
        The images that slices and frames were drawn on.
    pseudonym
        Name and id of the patient, all that is told of who it is; ``None`` keeps the patient of the images.

    Raises
    ------
    DataError
        If no image is known, one cannot be read, or all lie elsewhere.
    """
    images = read_images(sources)
    if not images:
        raise DataError("a DICOM segmentation refers to its source images, and none of them is known")
    planes, gap_mm = planes_of(mask), mask.spacing[2]
    images = {at: i for at, i in images.items() if planes[at[0]].is_slice_of(plane_of(i), gap_mm)}
    if not images:
        raise DataError("the source images lie elsewhere than the mask; name the images of the same study")
    headers = {image.series_uid: image for image in images.values()}
    headers = {series: _read_header(image) for series, image in headers.items()}
    for (z, _), image in images.items():
        # An affine only approximates it: the slices of a real stack are not exactly even and aligned.
        if planes[z].has_grid_of(plane_of(image)):
            planes[z] = plane_of(image)
    first = images[min(images)]
    return SegSource(
        _header(headers[first.series_uid], first, planes[min(images)[0]], pseudonym),
        planes,
        images,
        {series: _sop_class(header) for series, header in headers.items()},
    )


def refer(segmentation: Dataset, source: SegSource, t: int) -> None:
    """Name the images that the slices of one phase were drawn on.

    highdicom does so for the images of one series only, and names all phases of a multi-frame file.

    Parameters
    ----------
    segmentation
        The object of the phase; it is changed.
    source
        The images.
    t
        Number of the phase.
    """
    images = {z: image for (z, frame), image in sorted(source.images.items()) if frame == t}
    corners = np.array([plane.corner for plane in source.planes])
    for group in segmentation.PerFrameFunctionalGroupsSequence:
        corner = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        z = int(np.linalg.norm(corners - corner, axis=1).argmin())
        group.DerivationImageSequence = [_derivation(images[z], z, source)] if z in images else []
    del segmentation.SourceImageSequence, segmentation.ReferencedSeriesSequence
    if not images:
        return
    files: defaultdict[str, defaultdict[str, list[DicomImage]]] = defaultdict(lambda: defaultdict(list))
    for image in images.values():
        files[image.series_uid][image.instance_uid].append(image)
    series = {name: [_reference(file, source) for file in found.values()] for name, found in files.items()}
    segmentation.SourceImageSequence = [item for items in series.values() for item in items]
    segmentation.ReferencedSeriesSequence = [_series(name, items) for name, items in series.items()]


def _derivation(image: DicomImage, z: int, source: SegSource) -> Dataset:
    """That a slice is the segmentation of an image."""
    item = _reference([image], source)
    item.PurposeOfReferenceCodeSequence = [_coded(codes.cid7202.SourceImageForImageProcessingOperation)]
    item.SpatialLocationsPreserved = "YES" if source.planes[z].has_grid_of(plane_of(image)) else "NO"
    derivation = Dataset()
    derivation.DerivationCodeSequence = [_coded(codes.cid7203.SegmentationImageDerivation)]
    derivation.SourceImageSequence = [item]
    return derivation


def _reference(images: Sequence[DicomImage], source: SegSource) -> Dataset:
    """Images of one file."""
    item = Dataset()
    item.ReferencedSOPClassUID = source.sop_classes[images[0].series_uid]
    item.ReferencedSOPInstanceUID = images[0].instance_uid
    if item.ReferencedSOPClassUID in _MULTI_FRAME:
        item.ReferencedFrameNumber = [image.frame + 1 for image in images]
    return item


def _series(series_uid: str, references: list[Dataset]) -> Dataset:
    """The images of one series."""
    item = Dataset()
    item.SeriesInstanceUID, item.ReferencedInstanceSequence = series_uid, references
    return item


def _coded(code: Code) -> Dataset:
    """A code as a header holds it."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code[:3]
    return item


def read_images(sources: Sources) -> Images:
    """Headers of the source images; a file that holds several is read once."""
    files: dict[Path, list[DicomImage]] = {}
    images = {}
    for (z, t), (path, number) in sorted(sources.items()):
        try:
            if path not in files:
                files[path] = read_headers(path)
            images[z, t] = _referable(files[path], number)
        except DataError as error:  # without the path, which may name the patient
            raise DataError(f"the source image of slice {z}, frame {t} cannot be used: {error}") from None
    return images


def _referable(images: Sequence[DicomImage], number: int) -> DicomImage:
    """One image of a file, if other objects can refer to it."""
    if number >= len(images):
        raise DataError(f"its file holds {len(images)} image(s), and none of number {number}")
    image = images[number]
    if not (image.study_uid and image.series_uid and image.instance_uid):
        raise DataError("its header lacks the UIDs by which other objects refer to it")
    return image


def _read_header(image: DicomImage) -> Dataset:
    """Everything that a file tells but its pixels."""
    return pydicom.dcmread(image.path, stop_before_pixels=True, force=True)


def _header(told: Dataset, image: DicomImage, plane: Plane, pseudonym: str | None) -> Dataset:
    """What highdicom reads in a source image, valid whatever the file tells."""
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"
    for name in _REQUIRED:
        setattr(header, name, "")
    for name, value in _compression(told).items():
        setattr(header, name, value)
    if pseudonym is None:
        for name in _PATIENT:
            if value := _valid(name, _get(told, name)):
                setattr(header, name, value)
    else:
        header.PatientName, header.PatientID = f"{pseudonym}^", pseudonym
    header.StudyInstanceUID, header.SeriesInstanceUID = image.study_uid, image.series_uid
    header.SOPClassUID, header.SOPInstanceUID = uid.MRImageStorage, image.instance_uid
    place = uid.UID(str(_get(told, "FrameOfReferenceUID") or ""))
    header.FrameOfReferenceUID = place if place.is_valid else uid.generate_uid()
    header.Modality = "MR"
    header.Rows, header.Columns = plane.size
    header.ImagePositionPatient = decimals(plane.corner)
    header.ImageOrientationPatient = decimals((*plane.row, *plane.column))
    header.PixelSpacing = decimals(plane.spacing[::-1])
    if thickness := _thickness(told):
        (header.SliceThickness,) = decimals([thickness])
    return header


def decimals(values: Iterable[float]) -> list[str]:
    """Numbers as a header holds them, at most 16 characters each."""
    return [f"{value:.10g}" for value in values]


def _sop_class(told: Dataset) -> str:
    """What kind of image the standard says it is; anything else is told as a plain MR image."""
    name = _get(told, "SOPClassUID")
    return name if name in _IMAGES else uid.MRImageStorage


def _compression(told: Dataset) -> dict[str, object]:
    """What a lossy compression did to the images, in the words of the standard."""
    if _get(told, "LossyImageCompression") != "01":
        return {}
    ratios, methods = (_several(_get(told, f"LossyImageCompression{name}")) for name in ("Ratio", "Method"))
    found = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": decimals(r for ratio in ratios if (r := _positive(ratio))),
        "LossyImageCompressionMethod": [method for method in methods if method in _COMPRESSIONS],
    }
    return {name: value for name, value in found.items() if value}


def _get(told: Dataset, name: str) -> object:
    """A value of a header; None where it is missing or makes no sense."""
    try:
        return told.get(name)
    # pydicom converts a value when it is asked for, and a header may hold anything.
    except Exception:
        return None


def _several(value: object) -> Sequence[object]:
    """The values of an element that may hold none, one or more."""
    return value if isinstance(value, (list, MultiValue)) else [value]


def _positive(value: object) -> float | None:
    """A number that a header may hold as text."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if 0 < number < math.inf else None


def _thickness(told: Dataset) -> float | None:
    """Slice thickness, which a multi-frame file tells in its functional groups."""
    groups = [
        group
        for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
        for group in (told.get(name) or [])[:1]
    ]
    measures = [item for group in groups for item in group.get("PixelMeasuresSequence") or []]
    return next((v for item in (told, *measures) if (v := _positive(_get(item, "SliceThickness")))), None)


def _valid(name: str, value: object) -> object:
    """A value of a header, or nothing where the standard forbids it: archives blank dates with zeros."""
    try:
        if name.endswith("Date"):
            DA(value)
        if name.endswith("Time"):
            TM(value)
    except ValueError:
        return None
    if name == "PatientSex" and value not in _SEXES:
        return None
    return str(value) if name.endswith("Name") and value is not None else value
