"""DICOM files to image headers.

A header keeps where its pixels lie, so that uncompressed ones are later read without parsing the file again.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
)

from cmrseg.io import dicom_header as read
from cmrseg.io.dicom_deflated import check_deflated
from cmrseg.io.dicom_header import Header
from cmrseg.io.dicom_plain import plain_elements
from cmrseg.io.dicom_words import known_codes
from cmrseg.problems import DataError

_MR_CLASSES = tuple(f"1.2.840.10008.5.1.4.1.1.4{suffix}" for suffix in ("", ".1", ".4"))
_VR_IS_WRITTEN = {
    ExplicitVRLittleEndian: True,
    ImplicitVRLittleEndian: False,
}  # uncompressed transfer syntaxes
_JPEG = {*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes}
_PIXEL_DATA = b"\xe0\x7f\x10\x00"
_UNDEFINED_LENGTH = 0xFFFFFFFF
_START_BYTES = 1 << 18  # holds the header of nearly every file with one image
_FRAME_ATTRIBUTES = {
    "ImagePositionPatient": "ImagePositionPatient",
    "ImageOrientationPatient": "ImageOrientationPatient",
    "PixelSpacing": "PixelSpacing",
    "SpacingBetweenSlices": "SpacingBetweenSlices",
    "RescaleSlope": "RescaleSlope",
    "RescaleIntercept": "RescaleIntercept",
    "NominalCardiacTriggerDelayTime": "TriggerTime",
    "ActualCardiacTriggerDelayTime": "ActualCardiacTriggerDelayTime",
    "TemporalPositionIndex": "TemporalPositionIndex",
    "RRIntervalTimeNominal": "NominalInterval",
    "FrameAcquisitionDateTime": "AcquisitionDateTime",
    "FrameAcquisitionNumber": "AcquisitionNumber",
    "FrameType": "ImageType",
    "ComplexImageComponent": "ComplexImageComponent",
    "EffectiveEchoTime": "EchoTime",
    "RepetitionTime": "RepetitionTime",
    "FlipAngle": "FlipAngle",
    "PixelBandwidth": "PixelBandwidth",
    "SliceThickness": "SliceThickness",
}
Parsed = tuple[Header, Dataset, BinaryIO]  # with a stream that stands before the pixels


class NotAnImage(DataError):
    """A file without an MR image plane: no DICOM at all, a report, a screenshot."""


class UnusableImage(DataError):
    """An MR image that cannot be used although its header can be read, with what this says of whose it is."""

    def __init__(self, reason: str, header: Header) -> None:
        super().__init__(reason)
        self.study_uid = read.text(header, "StudyInstanceUID")
        self.patient_id = read.text(header, "PatientID")


@dataclass(frozen=True, slots=True)
class PixelData:
    """Where the pixels of a file lie and what their values mean.

    Attributes
    ----------
    offset
        Where they begin, bytes; -1: they are compressed.
    dtype
        NumPy type of the place that a value has.
    bits, below
        How many bits of it are the value (0: all), and how many lie below them; the rest may hold overlays.
    inverted
        Whether small values are bright.
    padding
        The smallest and the largest value of pixels that were not measured.
    """

    offset: int
    dtype: str
    bits: int = 0
    below: int = 0
    inverted: bool = False
    padding: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class DicomImage:
    """Header of one image plane; a multi-frame file holds several.

    Attributes
    ----------
    path, name, frame
        File, its path in the source, and the number of the plane in it (from 0).
    instance_uid, study_uid, series_uid, series_number, description, instance, acquisition
        What the file calls itself; a missing number is -1.
    kind
        Third value of ImageType: ``M`` magnitude, ``P`` phase, ...
    sequence
        Scanning sequence and its variant, such as ``GR/SS``, in codes of the standard.
    rows, columns, spacing
        Matrix, and pixel size ``(dx, dy)`` in mm (columns are ``dx`` apart).
    position, orientation
        Centre of the first pixel (mm) and directions of a row and of a column, LPS patient coordinates.
    slice_spacing_mm, trigger_ms, acquired_s, interval_ms
        Distance of slices by the header, time after the R wave, time of day, RR interval; nan where absent.
    delay_ms, phase
        Measured time after the R wave (nan where absent), and number of the phase in the cycle (-1).
    slope, intercept
        Stored value to intensity.
    pixels
        Where the pixel values lie.
    patient_id, study_date
        Whose image it is, and when it was made.
    frame_of_reference, whose, visit
        UID of the patient's place in the scanner; what patient and scanner are like, see
        `cmrseg.io.dicom_header.WHOSE`; and what numbers a visit, see `cmrseg.io.dicom_header.VISIT`.
    image_type
        All values of ImageType.
    acquired_with
        Values of `cmrseg.io.dicom_header.ACQUIRED`.
    location_mm
        SliceLocation, by which some programs order slices; nan where absent.
    label
        What the file is called in all that is written; empty until it is numbered.

    Of the texts only ``label`` and ``sequence`` may be written or shown: paths, descriptions, UIDs and kinds
    are what a file says, and may lead to the patient.
    """

    path: Path
    name: str
    frame: int
    instance_uid: str
    study_uid: str
    series_uid: str
    series_number: int
    description: str
    instance: int
    acquisition: int
    kind: str
    sequence: str
    rows: int
    columns: int
    spacing: tuple[float, float]
    position: tuple[float, float, float]
    orientation: tuple[float, float, float, float, float, float]
    slice_spacing_mm: float
    trigger_ms: float
    acquired_s: float
    interval_ms: float
    slope: float
    intercept: float
    pixels: PixelData
    patient_id: str
    study_date: str
    delay_ms: float = math.nan
    phase: int = -1
    label: str = ""
    frame_of_reference: str = ""
    whose: tuple[str, ...] = ()
    visit: tuple[str, ...] = ()
    image_type: str = ""
    acquired_with: tuple[float, ...] = ()
    location_mm: float = math.nan


def read_headers(path: Path, name: str = "") -> list[DicomImage]:
    """Headers of the image planes in one file.

    Parameters
    ----------
    path
        File to read.
    name
        Its path in the source; the path itself by default.

    Returns
    -------
    One header, or one per frame of a multi-frame file.

    Raises
    ------
    NotAnImage
        If the file is no DICOM file, or holds no MR image plane.
    DataError
        If it is an MR image that cannot be used; the message says why.
    """
    try:
        with read.quiet_pydicom(), path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            header, dataset, stream = _plain(file) or _parsed(file)
            _check_is_image(header)
            pixels = _find_pixels(header, _syntax(header, dataset), stream, size)
            try:
                return list(_planes(dataset, header, path, name or path.as_posix(), pixels))
            except DataError as error:
                raise UnusableImage(str(error), header) from None
    except InvalidDicomError:
        raise NotAnImage("no DICOM file") from None
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"the file cannot be read ({read.reason(error)})") from None
    # Damaged or hostile bytes make a parser fail with whatever comes to hand.
    except Exception as error:
        raise DataError(f"the file is damaged or truncated ({read.reason(error)})") from None


def _plain(file: BinaryIO) -> Parsed | None:
    """Header of a file with one image, written as scanners do it."""
    data = file.read(_START_BYTES)
    found = plain_elements(data, read.TAGS)
    if found is None or not _is_single(found[0]):
        return None
    stream = BytesIO(data)
    stream.seek(found[1])
    return found[0], Dataset(), stream


def _is_single(header: Header) -> bool:
    """Whether all that is known of a file's only image stands outside of functional groups."""
    return read.whole(header, "NumberOfFrames", 1) == 1 and read.has(header, "ImagePositionPatient")


def _parsed(file: BinaryIO) -> Parsed:
    """Any other header."""
    check_deflated(file)
    dataset = pydicom.dcmread(file, stop_before_pixels=True, force=_lacks_preamble(file))
    return read.elements(dataset), dataset, file


def _lacks_preamble(file: BinaryIO) -> bool:
    """Whether the file starts with a data element at once, as old archives write it."""
    start = file.read(132)
    file.seek(0)
    return start[128:] != b"DICM" and start[:2] in (b"\x02\x00", b"\x08\x00") and start[3:4] == b"\x00"


def _syntax(header: Header, dataset: Dataset) -> str:
    """Transfer syntax; a file without a preamble does not tell it."""
    if read.has(header, "TransferSyntaxUID"):
        return read.text(header, "TransferSyntaxUID")
    told = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    return told or (ImplicitVRLittleEndian if dataset.original_encoding[0] else ExplicitVRLittleEndian)


def _check_is_image(header: Header) -> None:
    """Whether the file claims to be an MR image plane."""
    is_mr = _is_mr(header)
    if not is_mr and not read.has(header, "Rows"):
        raise NotAnImage("no image")
    if not is_mr and not read.has(header, "ImagePositionPatient"):
        raise NotAnImage("an image without a position")
    if colour := read.colour(header):
        raise NotAnImage(f"a colour image ({colour})")


def _is_mr(header: Header) -> bool:
    """MR images in their classic, enhanced and legacy forms; by the modality where the class is missing."""
    sop_class = read.text(header, "SOPClassUID")
    return sop_class in _MR_CLASSES if sop_class else read.text(header, "Modality") == "MR"


def _find_pixels(header: Header, syntax: str, stream: BinaryIO, size: int) -> PixelData:
    """Where the pixels begin in a file of ``size`` bytes; the stream stands before their element."""
    bits, stored, below = read.stored_bits(header)
    dtype = f"<{'i' if read.whole(header, 'PixelRepresentation', 0) else 'u'}{bits // 8}"
    values = (stored, below, read.is_inverted(header), read.padding(header))
    rows, columns = read.matrix(header)
    if below and syntax in _JPEG:
        raise DataError(f"JPEG pixels whose high bit is {stored + below - 1} cannot be read; decompress them")
    if syntax not in _VR_IS_WRITTEN:
        return PixelData(-1, dtype, *values)
    offset, length = _pixel_element(stream, vr_is_written=_VR_IS_WRITTEN[syntax])
    expected = rows * columns * read.frame_count(header) * bits // 8
    available = min(length, size - offset)
    if available < expected:
        raise DataError(f"the file is truncated: {max(available, 0)} of {expected} bytes of pixels are there")
    return PixelData(offset, dtype, *values)


def _pixel_element(stream: BinaryIO, *, vr_is_written: bool) -> tuple[int, int]:
    """Offset and length of the pixel values."""
    size = 12 if vr_is_written else 8
    head = stream.read(size)
    if len(head) < size or head[:4] != _PIXEL_DATA or (vr_is_written and head[4:6] not in (b"OB", b"OW")):
        raise DataError("the file holds no pixels, or is truncated before them")
    length = int.from_bytes(head[-4:], "little")
    if length == _UNDEFINED_LENGTH:
        raise DataError("uncompressed pixels of undefined length cannot be read")
    return stream.tell(), length


def _planes(
    dataset: Dataset, header: Header, path: Path, name: str, pixels: PixelData
) -> Iterator[DicomImage]:
    """One header per plane; those of a multi-frame file look into its functional groups."""
    common = {"path": path, "name": name, "pixels": pixels, **_common(header)}
    count = read.frame_count(header)
    if _is_single(header):  # GE writes an empty group into single images
        yield DicomImage(frame=0, **common, **_plane(header))
        return
    groups = dataset.get("PerFrameFunctionalGroupsSequence") or []
    if len(groups) != count:
        raise DataError(
            f"{count} frames but {len(groups)} descriptions of frames; their positions are unknown"
        )
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    for frame, group in enumerate(groups):
        flat = {read.tag_of("InstanceNumber"): pydicom.DataElement("InstanceNumber", "IS", frame + 1)}
        yield DicomImage(frame=frame, **common, **_plane({**header, **flat, **_flat(shared), **_flat(group)}))


def _flat(group: Dataset) -> Header:
    """Attributes of a functional group under the names that they have in a file of one image."""
    found = {}
    for element in group:
        if element.VR == "SQ" and element.value:
            for name in _FRAME_ATTRIBUTES.keys() & set(element.value[0].dir()):
                found[read.tag_of(_FRAME_ATTRIBUTES[name])] = element.value[0][name]
    return found


def _common(header: Header) -> dict[str, object]:
    """What all planes of a file share."""
    rows, columns = read.matrix(header)
    sequence = (known_codes(read.values(header, name)) for name in ("ScanningSequence", "SequenceVariant"))
    return {
        "instance_uid": read.text(header, "SOPInstanceUID"),
        "study_uid": read.text(header, "StudyInstanceUID"),
        "series_uid": read.text(header, "SeriesInstanceUID"),
        "series_number": read.whole(header, "SeriesNumber", -1),
        "description": read.text(header, "SeriesDescription") or read.text(header, "ProtocolName"),
        "sequence": "/".join(sequence),
        "rows": rows,
        "columns": columns,
        "patient_id": read.text(header, "PatientID"),
        "study_date": read.text(header, "StudyDate"),
        "frame_of_reference": read.text(header, "FrameOfReferenceUID"),
        "whose": read.texts(header, read.WHOSE),
        "visit": read.texts(header, read.VISIT),
    }


def _plane(header: Header) -> dict[str, object]:
    """Geometry, time and scale of one plane, checked."""
    slope, intercept = read.rescale(header)
    return {
        "instance": read.whole(header, "InstanceNumber", -1),
        "acquisition": read.whole(header, "AcquisitionNumber", -1),
        "kind": _kind(header),
        "image_type": read.text(header, "ImageType"),
        "spacing": read.pixel_spacing(header),
        "position": read.position(header),
        "orientation": read.orientation(header),
        "slice_spacing_mm": read.number(header, "SpacingBetweenSlices"),
        "trigger_ms": read.trigger_ms(header),
        "delay_ms": read.delay_ms(header),
        "phase": read.phase(header),
        "acquired_s": read.acquired_s(header),
        "interval_ms": read.interval_ms(header),
        "acquired_with": read.acquired_with(header),
        "location_mm": read.number(header, "SliceLocation"),
        "slope": slope,
        "intercept": intercept,
    }


def _kind(header: Header) -> str:
    """Magnitude, phase, ...: enhanced files tell it apart from the image type."""
    component = read.text(header, "ComplexImageComponent")
    image_type = read.values(header, "ImageType")
    return component if component else str(image_type[2]) if len(image_type) > 2 else ""
